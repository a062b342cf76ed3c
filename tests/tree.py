"""The files of the project, for tests about the tree itself."""

import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
LAYERS = ("dtypes", "engines", "quant", "study")  # each may import itself and those before it

#: What a working tree holds beside its files, where git cannot say.
_MADE = frozenset((".git", ".venv", "build", "dist", "results", "__pycache__"))


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that git tracks or would, absolute; in an unpacked sdist every file there is."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists():
        named = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout
        found = [ROOT / name.decode() for name in named.split(b"\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not _is_made(path.relative_to(ROOT))]
    return tuple(sorted(path for path in found if path.is_file()))


def script(name: str) -> ModuleType:
    """A script that is no part of the package, such as docs/pictures.py, as a module."""
    place = ROOT / name
    spec = importlib.util.spec_from_file_location(place.stem, place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # where dataclasses look for the types of their fields
    sys.modules[place.stem] = module
    spec.loader.exec_module(module)
    return module


def _is_made(path: Path) -> bool:
    return any(p in _MADE or p.endswith((".egg-info", "_cache")) for p in path.parts)


def product_files() -> tuple[Path, ...]:
    """The Python files of the four layers and of the name above them."""
    roots = [ROOT / name for name in (*LAYERS, "src")]
    return tuple(
        path
        for path in project_files()
        if path.suffix == ".py" and any(path.is_relative_to(root) for root in roots)
    )


def text_of(path: Path) -> str | None:
    """The text of a file, or None for data that is not UTF-8 text."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
