"""What the optional dependencies are, and the line that installs them."""

INSTALL_EXTRAS = "pip install 'halfulp[torch,study]'"
#: Distributions of the extras `torch` and `study`.
EXTRAS = (
    "torch",
    "transformers",
    "huggingface_hub",
    "safetensors",
    "tokenizers",
    "scipy",
    "matplotlib",
    "gmpy2",
    "pyarrow",
)
