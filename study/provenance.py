"""Where a result comes from: versions, sources, commit, processor, threads."""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import halfulp

_LAYERS = ("dtypes", "engines", "quant", "study")
# These keep and show numbers. Any other file, a new one too, is taken to decide them.
_SHOWING = frozenset(
    f"study/{name}.py"
    for name in (
        *("catalog", "cli", "doctor", "files", "ledger_files", "ledger_rows", "perfetto"),
        *("picture", "plan", "progress", "protobuf", "provenance", "rates_command"),
        *("rates_options", "rates_picture", "rates_running", "rates_text", "report", "running"),
        *("stopping", "store"),
    )
)
LIBRARIES = (
    *("numpy", "numba", "llvmlite", "ml_dtypes", "torch", "transformers", "tokenizers"),
    *("safetensors", "scipy", "matplotlib", "typer", "rich", "platformdirs"),
)


def version(distribution: str) -> str | None:
    """The installed version of a distribution, or None when it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def package_folder() -> Path:
    """The folder of the installed package; of the links, in an editable installation."""
    return Path(str(halfulp.__file__)).parent


@cache
def source_sha256() -> str:
    """Hash of all sources that decide a number, so that changed numerics meet no old result."""
    folder = package_folder()
    digest = hashlib.sha256()
    for file in [file for layer in _LAYERS for file in sorted((folder / layer).rglob("*.py"))]:
        name = file.relative_to(folder).as_posix()
        if name not in _SHOWING:
            content = file.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def commit() -> tuple[str, bool] | None:
    """Commit of the checkout that runs and whether it was changed since; None outside of one."""
    sources = (package_folder() / "study" / "sweep.py").resolve().parent.parent
    git = shutil.which("git")
    if git is None or not (sources / ".git").exists():
        return None
    try:
        head = _git(git, sources, "rev-parse", "HEAD")
        return head, bool(_git(git, sources, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None


def _git(git: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [git, "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()


def cpu_name() -> str:
    """The processor's name as its maker spells it, where the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may use; its affinity where the system has one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_bytes() -> int | None:
    """Memory that is left to a process, by a container's limit too, where the system tells."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * int(line.split()[1]))
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / f"memory.{name}").read_text() for name in ("max", "current"))
        found.append(int(limit) - int(used))  # "max" is no number: no limit
    except (OSError, ValueError):
        pass
    return min(found, default=None)


def provenance() -> dict[str, Any]:
    """All of the above as JSON data."""
    found = commit()
    return {
        "halfulp": halfulp.__version__,
        "source_sha256": source_sha256(),
        "commit": found[0] if found else None,
        "dirty": found[1] if found else None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
    }
