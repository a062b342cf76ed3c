"""The folder of the kernel cache belongs to the user alone, else it is not used."""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from halfulp.dtypes import jit
from tests.dtypes.processes import RIGHT_CODES, ROUND, ROUND_CODES, answer, entries

ROOT_USER = hasattr(os, "getuid") and os.getuid() == 0
NOBODY = 65534


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the entries of one cast, to be copied."""
    place = tmp_path_factory.mktemp("warm")
    assert answer(ROUND, place) == RIGHT_CODES
    assert len(entries(place)) >= 4
    return place


def test_kernels_are_kept_in_a_folder_of_the_user_alone(tmp_path: Path) -> None:
    cache = tmp_path / "new" / "place"
    code = f"import os; os.umask(0); {ROUND}"
    assert answer(code, cache) == RIGHT_CODES
    kept = entries(cache)
    assert kept
    folder = cache / "halfulp" / "kernels"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o700 for one in folder.iterdir())
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert answer(ROUND, cache) == RIGHT_CODES
    assert {path: path.stat().st_mtime_ns for path in entries(cache)} == before


def planted(warm: Path, cache: Path) -> Path:
    """A folder with entries that must not be loaded: they are no pickles at all."""
    shutil.copytree(warm, cache, dirs_exist_ok=True)
    for path in entries(cache):
        path.write_bytes(b"not to be loaded")
    return cache / "halfulp" / "kernels"


WHY = f"print(json.dumps([{ROUND_CODES}, jit.cache_refusal(), None is jit.cache_folder()]))"


def refused(cache: Path, words: str) -> None:
    """The kernels run, nothing is read or written, and the reason is given."""
    before = {path: path.read_bytes() for path in entries(cache)}
    codes, why, nowhere = answer(WHY, cache)
    assert codes == RIGHT_CODES
    assert words in why and str(cache) in why and nowhere
    assert {path: path.read_bytes() for path in entries(cache)} == before


@pytest.mark.parametrize("mode", [0o750, 0o701])
def test_a_folder_that_is_open_to_others_is_not_used(warm: Path, tmp_path: Path, mode: int) -> None:
    planted(warm, tmp_path).chmod(mode)
    refused(tmp_path, f"is open to others (mode {mode:04o}); allowed is 0700")


def test_a_folder_of_one_processor_that_is_open_to_others_is_not_used(
    warm: Path, tmp_path: Path
) -> None:
    for place in planted(warm, tmp_path).iterdir():
        place.chmod(0o777)
    before = {path: path.read_bytes() for path in entries(tmp_path)}
    assert answer(ROUND, tmp_path) == RIGHT_CODES
    assert {path: path.read_bytes() for path in entries(tmp_path)} == before


def test_a_link_is_not_used(warm: Path, tmp_path: Path) -> None:
    folder = planted(warm, tmp_path)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    refused(tmp_path, "is not a folder")


def test_a_file_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused(tmp_path / "file", "cannot be made or read (Not a directory)")


@pytest.mark.skipif(not ROOT_USER, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_not_used(warm: Path, tmp_path: Path) -> None:
    os.chown(planted(warm, tmp_path), NOBODY, NOBODY)
    refused(tmp_path, "belongs to another user")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that others may enter, which pytest's own they may not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_folder_that_cannot_be_written_is_not_used(public_folder: Path) -> None:
    place = public_folder / "kernels"
    place.mkdir(mode=0o500)
    if ROOT_USER:  # root may write everywhere: ask as somebody else
        os.chown(place, NOBODY, NOBODY)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if ROOT_USER:
            os.setuid(NOBODY)
        os.write(writing, str(jit._refusal(place)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1000).decode() == f"{place} is not writable"
    os.close(reading)
    os.close(writing)


def test_a_read_only_file_system_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ReadOnly:
        f_flag = os.ST_RDONLY

    monkeypatch.setenv("HALFULP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(os, "statvfs", lambda path: ReadOnly)
    assert jit._cache.__wrapped__() == (
        None,
        f"{tmp_path / 'halfulp' / 'kernels'} is on a read-only file system",
    )


def test_the_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = jit._cache.__wrapped__
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    monkeypatch.delenv("HALFULP_CACHE_DIR", raising=False)
    assert find() == (tmp_path / "numba" / "halfulp" / "kernels", None)
    monkeypatch.setenv("HALFULP_CACHE_DIR", str(tmp_path / "own"))
    assert find() == (tmp_path / "own" / "halfulp" / "kernels", None)
    monkeypatch.delenv("HALFULP_CACHE_DIR")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert find() == (tmp_path / "xdg" / "halfulp" / "kernels", None)
