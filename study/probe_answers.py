"""What a machine answered to inputs: arrays of numpy, or a text of hexadecimal words."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.wording import counted
from halfulp.engines.alternatives import Words
from halfulp.study.files import write_whole
from halfulp.study.probe_files import UNREADABLE, BadProbe, Probe, load

_NPY, _ZIP = b"\x93NUMPY", b"PK"
_WORD = re.compile(r"(?:0x)?([0-9a-f]{8})", re.IGNORECASE)
_OF = re.compile(r"#\s*inputs ([0-9a-f]{64})\s*")
_LONGEST = 200  # of a line of text


class BadAnswers(ValueError):
    """Answers that cannot be read, or are to other inputs; the message says what is needed."""


def text(words: Words, probe: Probe) -> str:
    """The words, one a line, behind a comment that names the inputs."""
    return f"# inputs {probe.sha256}\n" + "".join(f"{word:08x}\n" for word in words.tolist())


def write(path: Path, words: Words, probe: Probe) -> None:
    """Write float32 numbers (n,) for the suffix .npy, with the inputs' name for .npz, else text.

    Raises FileNotWritten.
    """
    data = io.BytesIO()
    if path.suffix == ".npy":
        np.save(data, words.view(np.float32))
    elif path.suffix == ".npz":
        np.savez(data, answers=words.view(np.float32), sha256=np.array(probe.sha256))
    else:
        data.write(text(words, probe).encode())
    write_whole(path, data.getvalue())


def read(path: Path, probe: Probe) -> Words:
    """fp32 words (n,), one for each input; NaN as it was given.

    Raises BadAnswers.
    """
    n = len(probe.inputs)
    try:
        if path.stat().st_size > 4 * n * n + _LONGEST * (n + 100):
            raise BadAnswers(f"{path} is too long; needed: {counted(n, 'answer')}")
        data = path.read_bytes()
    except OSError as error:
        raise BadAnswers(f"cannot read {path}: {error.strerror}") from None
    if data.startswith(_ZIP):
        return _from_array(path, _named(path, probe), n)
    if data.startswith(_NPY):
        try:
            found = np.load(io.BytesIO(data), allow_pickle=False)
        except UNREADABLE as error:
            raise BadAnswers(f"{path} is no readable .npy: {error}") from None
        return _from_array(path, found, n)
    return _from_text(path, data, probe)


def _named(path: Path, probe: Probe) -> npt.NDArray[Any]:
    try:
        arrays = load(path)
    except BadProbe as error:
        raise BadAnswers(str(error)) from None
    _check_name(path, str(arrays.pop("sha256", probe.sha256)), probe)
    if len(arrays) != 1:
        raise BadAnswers(
            f"{path} holds {', '.join(sorted(arrays)) or 'no array'}; needed: one array"
        )
    return next(iter(arrays.values()))


def _check_name(path: Path, given: str, probe: Probe) -> None:
    if given != probe.sha256:
        raise BadAnswers(
            f"{path} answers the inputs with sha256 {given}, not those with {probe.sha256}"
        )


def _from_array(path: Path, found: npt.NDArray[Any], n: int) -> Words:
    native = found.dtype.newbyteorder("=")
    if native not in (np.dtype(np.float32), np.dtype(np.uint32), np.dtype(np.int32)):
        raise BadAnswers(
            f"{path} holds {found.dtype}; needed: float32 numbers, or their bits as uint32"
        )
    if found.shape == (n, n):
        found = found.diagonal()
    if found.shape != (n,):
        raise BadAnswers(f"{path} has shape {found.shape}; needed: ({n},) or ({n}, {n})")
    return np.ascontiguousarray(found, native).view(np.uint32)


def _from_text(path: Path, data: bytes, probe: Probe) -> Words:
    words = []
    for number, line in enumerate(data.decode("latin-1").splitlines(), 1):
        if named := _OF.fullmatch(line):
            _check_name(path, named[1], probe)
        if not line.strip() or line.startswith("#"):
            continue
        match = _WORD.fullmatch(line.strip())
        if match is None:
            raise BadAnswers(
                f"{path}: line {number} is {ascii(line[:40])}; needed: 8 hexadecimal digits, the"
                " bits of an fp32 number, such as 3f800000; NaN may be any, such as 7fc00000"
            )
        words.append(int(match[1], 16))
    n = len(probe.inputs)
    if len(words) != n:
        raise BadAnswers(
            f"{path} has {counted(len(words), 'answer')}; needed: {n}, one word a line"
        )
    return np.array(words, np.uint32)
