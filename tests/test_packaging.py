"""What is built from the tree: a wheel with halfulp/ alone, a source distribution of the whole."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import halfulp
from tests.tree import LAYERS, ROOT, product_files, project_files

BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""
DATA = "halfulp/study/data"
METADATA = f"halfulp-{halfulp.__version__}.dist-info"


def _build(kind: str, tree: Path, out: Path) -> Path:
    """Build without isolation and hence without a network; the name of the file comes last."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind, str(out)], cwd=tree, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's files: builds leave folders behind, and must not see older ones."""
    copy = tmp_path_factory.mktemp("tree")
    for path in project_files():
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return copy


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("build_sdist", tree, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From the source distribution, as a release is made: what is missing there is missing here."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (root,) = unpacked.iterdir()
    return _build("build_wheel", root, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> frozenset[str]:
    with zipfile.ZipFile(wheel) as archive:
        return frozenset(archive.namelist())


def test_the_wheel_holds_the_package_and_nothing_beside_it(names: frozenset[str]) -> None:
    assert {PurePosixPath(name).parts[0] for name in names} == {"halfulp", METADATA}
    kinds = {".py", ".typed"}
    odd = [n for n in names if n.startswith("halfulp/") and PurePosixPath(n).suffix not in kinds]
    assert all(name.startswith(f"{DATA}/") for name in odd)


def test_the_wheel_holds_every_module_of_the_tree_and_no_other(names: frozenset[str]) -> None:
    expected = {
        f"halfulp/{path.relative_to(ROOT).as_posix()}".replace("halfulp/src/halfulp", "halfulp")
        for path in product_files()
    }
    assert {name for name in names if name.endswith(".py")} == expected


def test_the_wheel_says_that_it_is_typed(names: frozenset[str]) -> None:
    assert "halfulp/py.typed" in names
    assert {f"halfulp/{layer}/py.typed" for layer in LAYERS} <= names


def test_the_shipped_data_is_the_manifest_and_no_more(names: frozenset[str], wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        manifest = json.loads(archive.read(f"{DATA}/manifest.json"))
    listed = {f"{DATA}/{name}" for name in manifest} | {f"{DATA}/manifest.json"}
    assert {name for name in names if name.startswith(f"{DATA}/")} == listed


def test_licence_metadata_and_command_are_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        licence = archive.read(f"{METADATA}/licenses/LICENSE")
        metadata = archive.read(f"{METADATA}/METADATA").decode()
        entries = ConfigParser()
        entries.read_string(archive.read(f"{METADATA}/entry_points.txt").decode())
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert entries["console_scripts"]["halfulp"] == "halfulp.study.cli:main"
    assert f"\nVersion: {halfulp.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata


def test_the_wheel_needs_what_pyproject_says_and_no_torch_by_itself(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{METADATA}/METADATA").decode()
    lines = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ")]
    needed = {line.removeprefix("Requires-Dist: ") for line in lines if "extra ==" not in line}
    assert needed == set(project["dependencies"])
    extras = [line for line in metadata.splitlines() if line.startswith("Provides-Extra: ")]
    assert {line.removeprefix("Provides-Extra: ") for line in extras} == set(
        project["optional-dependencies"]
    )


def test_the_source_distribution_holds_the_tree(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = [member for member in archive.getmembers() if not member.isdir()]
    found = {PurePosixPath(*PurePosixPath(m.name).parts[1:]).as_posix() for m in members}
    expected = {path.relative_to(ROOT).as_posix() for path in project_files()}
    # what only a repository needs
    expected -= {".gitignore", ".gitattributes"}
    assert expected - found == set()
    assert all(m.isfile() and not PurePosixPath(m.name).is_absolute() for m in members)


def test_an_installed_wheel_runs_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-deps", "--no-index", "--no-compile", "--target", str(target), str(wheel)],
        check=True,
        capture_output=True,
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}

    def said(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=elsewhere, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert said("-c", "import halfulp; print(halfulp.__file__)").startswith(str(target))
    assert said("-m", "halfulp", "--version") == f"halfulp {halfulp.__version__}\n"
    assert "e4m3" in said("-m", "halfulp", "formats")
    assert said(str(target / "bin" / "halfulp"), "--version") == f"halfulp {halfulp.__version__}\n"
    check = "from halfulp.study.artifacts import *; print(len([artifact(n) for n in manifest()]))"
    assert int(said("-c", check)) > 0


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(exactly and version for _, exactly, version in pins)
    assert len({canonicalize_name(name) for name, _, _ in pins}) == len(pins)
    return {canonicalize_name(name): version for name, _, version in pins}


def test_constraints_pin_exactly_and_name_no_build_and_no_index() -> None:
    for name, pinned in _pins().items():
        odd = set("+*;@/= ") & set(name + pinned)
        assert not odd, f"{name}=={pinned}: no local version, marker, address or hash"


def _closure(root: str, extra: str) -> set[str]:
    """Every distribution that `root[extra]` needs here, itself among them."""
    seen: set[tuple[str, str]] = set()
    waiting = [(root, extra)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for need in map(Requirement, distribution(name).requires or ()):
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(need.name), wanted) for wanted in ("", *need.extras)]
    return {name for name, _ in seen}


def test_constraints_hold_every_package_of_the_development_environment() -> None:
    pins = _pins()
    for name, pinned in pins.items():
        installed = distribution(name).version.partition("+")[0]
        if installed != pinned:
            pytest.skip(f"another environment: {name} {installed} in place of {pinned}")
    # what a build of torch for CUDA brings along is pinned by torch itself
    cuda = ("nvidia-", "cuda-", "triton")
    needed = {name for name in _closure("halfulp", "dev") if not name.startswith(cuda)}
    assert needed - {"halfulp"} - set(pins) == set()
