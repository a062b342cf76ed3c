"""Fresh Python processes with a kernel cache of their own, and what they answer."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import halfulp

PACKAGE = Path(str(halfulp.__file__)).parent
HEAD = """
import json, sys, warnings
import numpy as np
from halfulp.dtypes import round_to
from halfulp.dtypes import jit

def codes(x):
    return np.ascontiguousarray(x).view(np.uint32).ravel().tolist()

"""
#: One cast: the smallest thing that needs a kernel.
ROUND_CODES = "codes(round_to(np.float32([1.005, 3e38, 1e-45, -2.5]), 'bf16'))"
RIGHT_CODES = [0x3F810000, 0x7F620000, 0, 0xC0200000]
ROUND = f"print(json.dumps({ROUND_CODES}))"


def start(
    code: str, cache: Path, *, packages: Path | None = None, **environment: str
) -> subprocess.Popen[str]:
    """A process that runs `code`; with `packages` it takes halfulp from there."""
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "HALFULP_"))}
    settings |= {"HALFULP_CACHE_DIR": str(cache), **environment}
    if packages is not None:
        settings["PYTHONPATH"] = str(packages)
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + code],
        env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[Any, str]:
    """The last line of its output as JSON, and what it said on the side."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1]), err


def answer(code: str, cache: Path, **given: Any) -> Any:
    return finish(start(code, cache, **given))[0]


def copy_of_sources(folder: Path) -> Path:
    """The package's own sources, to be changed."""
    target = folder / "halfulp"
    for layer in ("dtypes", "engines"):
        shutil.copytree(
            PACKAGE / layer,
            target / layer,
            ignore=lambda _, names: [n for n in names if n[-3:] != ".py"],
        )
    for source in PACKAGE.glob("*.py"):
        shutil.copy(source, target / source.name)
    return folder


def entries(cache: Path) -> list[Path]:
    """Files that numba keeps."""
    return sorted(path for path in cache.rglob("*.nb*") if path.is_file())
