"""Files are old or new, never in between, whatever fails."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from halfulp.study import files
from halfulp.study.files import FileNotWritten, check_target, write_whole

LIMITED = """
import resource, signal, sys
from pathlib import Path
from halfulp.study.files import FileNotWritten, write_whole

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
target, size = Path(sys.argv[1]), int(sys.argv[2])
old, new = b"old" * 100, bytes(range(256)) * (size // 256)
for limit in range(0, size + size // 49, size // 49):
    target.write_bytes(old)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_whole(target, new)
        outcome = new
    except FileNotWritten as error:
        assert str(target) in str(error) and "no space" in str(error), error
        outcome = old
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert target.read_bytes() == outcome
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    print(limit, "new" if outcome is new else "old")
"""


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "file"
    write_whole(target, b"one")
    write_whole(target, b"two")
    assert target.read_bytes() == b"two"
    assert list(target.parent.iterdir()) == [target]


def test_at_each_of_fifty_size_limits_the_file_is_old_or_new(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "file"), "256000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = [line.split()[1] for line in done.stdout.splitlines()]
    assert len(outcomes) >= 50
    assert outcomes.count("old") >= 49
    assert outcomes[-1] == "new"


def test_a_write_that_is_cut_off_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_mode_of_an_old_file_is_kept_and_a_new_one_follows_the_umask(tmp_path: Path) -> None:
    old, new, plain = tmp_path / "old", tmp_path / "new", tmp_path / "plain"
    old.write_bytes(b"")
    old.chmod(0o640)
    plain.write_bytes(b"")
    write_whole(old, b"x")
    write_whole(new, b"x")
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert new.stat().st_mode == plain.stat().st_mode


def test_a_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_device_is_written_directly_and_stays_a_device() -> None:
    write_whole(Path("/dev/null"), b"gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_full_device_is_named() -> None:
    with pytest.raises(FileNotWritten, match=r"/dev/full: no space"):
        write_whole(Path("/dev/full"), b"x" * 10)


def test_a_path_through_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "below"
    with pytest.raises(FileNotWritten, match="below"):
        write_whole(path, b"")
    with pytest.raises(FileNotWritten, match="below"):
        check_target(path)


def test_a_target_is_checked_before_the_work(tmp_path: Path) -> None:
    check_target(tmp_path / "new" / "file")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotWritten, match="is a folder"):
        check_target(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_closed_folder_is_found_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(FileNotWritten, match="may not be written"):
            check_target(tmp_path / "file")
    finally:
        tmp_path.chmod(0o700)


def test_a_reason_names_missing_space() -> None:
    assert files.why(OSError(28, "No space left on device")) == "no space (No space left on device)"
    assert files.why(OSError(13, "Permission denied")) == "Permission denied"
