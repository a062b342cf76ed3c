"""Files are written whole: a reader sees the old file or the new one, never a part of either."""

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FileNotWritten(OSError):
    """A file could not be written; the message names its path, and the old file is untouched."""


def why(error: OSError) -> str:
    """The reason of a failed write in words, with "no space" wherever space is what lacks."""
    reason = error.strerror or str(error)
    return f"no space ({reason})" if error.errno in _NO_SPACE else reason


def check_target(path: Path) -> None:
    """Find out before the work begins whether `path` can be written at its end.

    Raises FileNotWritten when `path` is a folder, or its nearest existing parent is none or is
    closed to this user.
    """
    if str(path) == "-":
        raise FileNotWritten("'-' is no file, and the standard output has the table; name a file")
    if path.is_dir():
        raise FileNotWritten(f"cannot write {path}: it is a folder; name a file in it")
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise FileNotWritten(f"cannot write {path}: {parent} is a file, not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise FileNotWritten(f"cannot write {path}: {parent} may not be written by this user")


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, bring it to the disk, then rename it to `path`.

    Missing folders are made. A link is followed; a device or a pipe is written directly, because
    nothing there can be kept whole.

    Raises FileNotWritten, naming the path and the reason; the old file then stands as it stood.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, data)
    except OSError as error:
        raise FileNotWritten(f"cannot write {path}: {why(error)}; nothing there changed") from error


def _replace(target: Path, data: bytes) -> None:
    beside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        # os.open asks the umask for the mode, which tempfile would not.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            if target.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk; file systems without folder sync answer EINVAL.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
