"""THE TABLE of sources that presets name, each at the commit that was read."""

SOURCES: dict[str, str] = {
    "vectors": (
        "outputs of the hardware, published in north-numerical-computing/MATLAB-tensor-core"
        " @b12b5a7 (every second row of them; BSD-2-Clause)"
    ),
    "MMA-Sim": "microsoft/MMA-Sim @c785138, and arXiv 2511.10909",
    "FASI": "Fasi, Higham, Mikaitis, Pranesh: PeerJ Computer Science 7:e330",
    "Zen 4": "outputs of an AMD EPYC, family 25 model 17, that were taken for this project",
    "NKI": "aws-neuron/aws-neuron-sdk @81ce03a, nki/guides/architecture/",
}


def sources(text: str) -> dict[str, str]:
    """Those that a text names."""
    return {name: said for name, said in SOURCES.items() if name in text}
