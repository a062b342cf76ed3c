"""Python for aarch64 and what halfulp needs there, in a folder of its own: qemu-user's root.

Debian's packages of the system's own release and wheels of the versions in constraints.txt; the
system itself is not touched.
"""

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.tree import ROOT

DEBIAN = ("python3", "libstdc++6")
#: What pip calls the systems whose wheels run there.
_PLATFORMS = (
    "manylinux_2_17",
    "manylinux2014",
    "manylinux_2_24",
    "manylinux_2_27",
    "manylinux_2_28",
)


def _run(*command: str | Path) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _apt(state: Path, *command: str) -> None:
    """apt-get with lists, cache and installed packages (none) of its own."""
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # the folder need not be open to apt's user
        "Debug::NoLocking": "true",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    _run("apt-get", "--quiet", *options, *command)


def _requirements() -> list[str]:
    """What the package needs, without what only its command needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [line for line in project["dependencies"] if not line.startswith(("typer", "rich"))]


def _install(root: Path) -> None:
    python = next((root / "usr/bin").glob("python3.[0-9]*"))
    version = python.name.removeprefix("python")
    platforms = [f"--platform={name}_aarch64" for name in _PLATFORMS]
    _run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
        "--target", root / "site", "--only-binary=:all:", *platforms, "--python-version", version,
        "--implementation", "cp", "-c", ROOT / "constraints.txt", *_requirements(),
    )  # fmt: skip


def _digest() -> str:
    """Changes with whatever the folder is made from."""
    total = hashlib.sha256(repr((DEBIAN, _PLATFORMS, _requirements())).encode())
    total.update((ROOT / "constraints.txt").read_bytes())
    return total.hexdigest()[:12]


def prepared(folder: Path) -> Path:
    """The root in `folder`, made beside it and renamed when it is not there yet."""
    target = folder / f"aarch64-{_digest()}"
    if target.exists():
        return target
    new = folder / "aarch64.new"
    shutil.rmtree(new, ignore_errors=True)
    state = new / "apt"
    state.mkdir(parents=True)
    print("aarch64: Debian's packages, 16 MB", flush=True)
    _apt(state, "update")
    _apt(state, "install", "--yes", "--download-only", *DEBIAN)
    for archive in sorted((state / "archives").glob("*.deb")):
        _run("dpkg-deb", "-x", archive, new)
    shutil.rmtree(state)
    print("aarch64: wheels of numpy, numba, ml_dtypes, unpacked 280 MB", flush=True)
    _install(new)
    new.rename(target)
    return target


def python(root: Path) -> Path:
    return next((root / "usr/bin").glob("python3.[0-9]*"))


def environment(root: Path) -> dict[str, str]:
    """Beside PYTHONPATH, which begins with the root's site."""
    return {"PYTHONHOME": str(root / "usr")}
