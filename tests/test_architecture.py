"""Laws of the source tree: who may import whom, and that the tree is what is installed."""

import ast
import importlib
import itertools
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.tree import LAYERS, ROOT

FILES = sorted(f for layer in LAYERS for f in (ROOT / layer).rglob("*.py"))
NUMBERS_ONLY = ("halfulp.dtypes", "halfulp.engines")

#: Packages of the extras: formats, engines and the command itself do without them.
OPTIONAL = (
    *("torch", "transformers", "huggingface_hub", "safetensors", "tokenizers"),
    *("scipy", "gmpy2", "matplotlib", "hypothesis", "sklearn", "mpmath", "pytest", "pyarrow"),
)
#: Put before a script: the optional packages cannot be found.
WITHOUT_OPTIONAL = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def imported(tree: ast.AST) -> set[str]:
    """Every module a file imports, at any depth: inside functions too, and by string."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__"):
            names.update(str(a.value) for a in node.args if isinstance(a, ast.Constant))
    return names


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def fault(layer: str, name: str) -> str | None:
    """What is wrong with this import in this layer."""
    allowed = {*LAYERS[: LAYERS.index(layer) + 1], "__version__"}
    first, *rest = name.split(".")
    if not first:
        return f"{name}: write the full name, halfulp...."
    if first in (*LAYERS, "src"):
        return f"{name}: write halfulp.{name}"
    if first in ("tests", "benchmarks"):
        return f"{name}: tests and benchmarks import the layers, never the reverse"
    if first == "halfulp" and rest and rest[0] not in allowed:
        return f"{layer} must not import {name}"
    return None


def run(script: str) -> str:
    """What a fresh interpreter prints when it runs the script."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_imports_go_down_only(file: Path) -> None:
    layer = file.relative_to(ROOT).parts[0]
    names = imported(ast.parse(file.read_text(encoding="utf-8")))
    assert [fault(layer, name) for name in names if fault(layer, name)] == []


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("dtypes", "import halfulp.engines"),
        ("dtypes", "def f():\n    import halfulp.engines.tensor"),
        ("dtypes", "import importlib\nimportlib.import_module('halfulp.study')"),
        ("engines", "from halfulp import study"),
        ("engines", "from halfulp import quant as q"),
        ("quant", "import dtypes"),
        ("quant", "from .policy import Rule"),
        ("quant", "from . import policy"),
        ("study", "from tests.strategies import FLOATS"),
        ("study", "import benchmarks.accuracy.package"),
    ],
)
def test_a_wrong_import_is_found(layer: str, line: str) -> None:
    assert any(fault(layer, name) for name in imported(ast.parse(line)))


def test_the_package_itself_imports_nothing() -> None:
    assert not imported(ast.parse((ROOT / "src/halfulp/__init__.py").read_text(encoding="utf-8")))


def test_every_folder_is_packaged() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = settings["tool"]["setuptools"]["packages"]
    found = {"halfulp." + ".".join(f.relative_to(ROOT).parent.parts) for f in FILES}
    assert set(listed) == found | {"halfulp"}
    assert set(settings["tool"]["setuptools"]["package-dir"]) == set(listed)


def test_no_folder_at_the_root_hides_the_package() -> None:
    assert not (ROOT / "halfulp").exists()


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_installed_file_is_this_file(file: Path) -> None:
    parts = file.relative_to(ROOT).with_suffix("").parts
    name = ".".join(("halfulp", *parts)).removesuffix(".__init__")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise AssertionError(f"{name} is not installed: run `pip install -e .` again") from error
    assert module.__file__ is not None
    installed = Path(module.__file__).read_bytes()
    assert installed == file.read_bytes(), f"{name}: an old copy is installed"


@pytest.mark.parametrize("package", NUMBERS_ONLY)
def test_numbers_and_engines_do_not_import_torch(package: str) -> None:
    loaded = run(f"import sys, {package}; print(*sys.modules)").split()
    assert package in loaded
    assert not {"torch", "transformers", "matplotlib"} & {m.partition(".")[0] for m in loaded}


@pytest.mark.parametrize("package", NUMBERS_ONLY)
def test_numbers_and_engines_work_without_the_optional_packages(package: str) -> None:
    script = f"""{WITHOUT_OPTIONAL}
import {package}, numpy as np
from halfulp.dtypes import round_to
print(round_to(np.float32(0.3), "e4m3"))
"""
    assert run(script) == "0.3125\n"


def test_an_engine_multiplies_without_the_optional_packages() -> None:
    script = f"""{WITHOUT_OPTIONAL}
import numpy as np
from halfulp.engines import NEURONCORE_V2
x = np.full((3, 4), 1.5, np.float32)
print(NEURONCORE_V2.tensor.matmul(x, x.T, a_format="bf16")[0, 0])
"""
    assert run(script) == "9.0\n"


@pytest.mark.parametrize("command", ["--help", "--version", "sweep --help", "formats", "chips"])
def test_a_command_that_needs_no_model_needs_no_optional_package(command: str) -> None:
    script = f"""{WITHOUT_OPTIONAL}
sys.argv = ["halfulp", *{command!r}.split()]
from halfulp.study.cli import main
main()
"""
    assert "Traceback" not in run(script)


def test_a_missing_package_is_told_with_the_line_that_installs_it() -> None:
    script = f"""{WITHOUT_OPTIONAL}
sys.argv = ["halfulp", "sweep", "--samples", "1"]
from halfulp.study.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "pip install 'halfulp[" in done.stderr


def test_every_optional_package_stands_in_an_extra() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    base = settings["project"]["dependencies"]
    extras = settings["project"]["optional-dependencies"]
    optional = list(itertools.chain(*extras.values()))
    distributions = {"sklearn": "scikit-learn"}
    for name in OPTIONAL:
        wanted = distributions.get(name, name)
        assert any(line.startswith(wanted) for line in optional), f"{wanted} is in no extra"
        assert not any(line.startswith(wanted) for line in base), f"{wanted} is not optional"
