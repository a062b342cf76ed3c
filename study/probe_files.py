"""The file of inputs that a machine is asked, and the same in hexadecimal words beside it."""

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import BF16, FP16, FP32
from halfulp.dtypes.wording import counted
from halfulp.engines.accumulation import Accumulation
from halfulp.engines.alternative_inputs import DEPTH, Inputs
from halfulp.engines.alternatives import check
from halfulp.engines.presets import PRESETS
from halfulp.study.files import check_target, write_whole
from halfulp.study.provenance import version

SCHEMA = 1
KIND = "halfulp probe"
#: What a machine may be asked in: their codes are the words that it takes.
FORMATS = {str(fmt): fmt for fmt in (BF16, FP16, FP32)}
#: What numpy and zipfile raise for data that is none of theirs; RuntimeError where it is encrypted.
UNREADABLE = (OSError, ValueError, EOFError, KeyError, MemoryError, RuntimeError, SyntaxError,
              zipfile.BadZipFile, zlib.error)  # fmt: skip
_MOST_BYTES = 1 << 26  # of a file: all inputs there are take less


class BadProbe(ValueError):
    """A file that is none of inputs, or was changed; or candidates that do not take its inputs."""


@dataclass(frozen=True)
class Probe:
    """Inputs, and the names of the presets that they are to tell apart."""

    inputs: Inputs
    candidates: tuple[str, ...]

    @cached_property
    def sha256(self) -> str:
        """Of the format, the shape and the words of the inputs, a before b, lowest byte first."""
        inputs = self.inputs
        found = hashlib.sha256(f"{KIND} {inputs.fmt} {len(inputs)} {DEPTH}\n".encode())
        for codes in (inputs.a, inputs.b):
            found.update(codes.astype(codes.dtype.newbyteorder("<")).tobytes())
        return found.hexdigest()

    @property
    def accumulations(self) -> dict[str, Accumulation]:
        """The candidates by name."""
        return accumulations(self.candidates, str(self.inputs.fmt))

    def about(self) -> dict[str, Any]:
        """What the file says of itself."""
        return {
            "kind": KIND, "schema": SCHEMA, "halfulp": version("halfulp"),
            "format": str(self.inputs.fmt), "result": "fp32", "depth": DEPTH,
            "sha256": self.sha256, "inputs": list(self.inputs.names),
            "designed": self.inputs.designed, "candidates": list(self.candidates),
        }  # fmt: skip

    def run(self) -> str:
        """What to do on the machine."""
        n, fmt = len(self.inputs), self.inputs.fmt
        return (
            f"Run one matmul on the machine, {fmt} operands, fp32 result, nothing in the"
            f" accumulator before: a ({n}, {DEPTH}) times b ({DEPTH}, {n}). On a NeuronCore that is"
            f" two nc_matmul calls of 128 rows into the same PSUM tile, rows 0 to 127 first."
            " Answer i is element (i, i) of the result, as the 32 bits that the machine gave. Give"
            f" `halfulp probe read` an .npy of float32 or uint32, ({n},) or the whole ({n}, {n}),"
            f" or a text of {counted(n, 'line')}, one word of 8 hexadecimal digits each. More than"
            " 128 inputs may be run in parts."
        )


def accumulations(names: tuple[str, ...], fmt: str) -> dict[str, Accumulation]:
    """The accumulations of presets, by name. Raises BadProbe for those that do not take `fmt`."""
    found = {}
    for name in names:
        if name not in PRESETS:
            raise BadProbe(f"{name} is no preset of halfulp {version('halfulp')}")
        found[name] = PRESETS[name].accumulation
        try:
            check(found[name], FORMATS[fmt])
        except ValueError as error:
            raise BadProbe(f"{name} does not multiply {fmt} to fp32: {error}") from None
    return found


def beside(path: Path) -> Path:
    """The file of words that belongs to a file of inputs."""
    return path.with_suffix(".json")


def check_targets(path: Path) -> None:
    """Raise ValueError or FileNotWritten for a name under which inputs cannot be written."""
    if path.suffix != ".npz":
        raise ValueError(f"{path} has no suffix .npz")
    for target in (path, beside(path)):
        check_target(target)


def write(path: Path, probe: Probe) -> None:
    """Write the .npz and, before it, the .json with the same words for people.

    Raises FileNotWritten.
    """
    inputs, about = probe.inputs, probe.about()
    digits = inputs.fmt.bits // 4
    words = {
        name: [" ".join(f"{word:0{digits}x}" for word in row) for row in codes.tolist()]
        for name, codes in (("rows of a", inputs.a), ("columns of b", inputs.b))
    }
    text = json.dumps({**about, "run": probe.run(), **words}, indent=1)
    write_whole(beside(path), (text + "\n").encode())
    data = io.BytesIO()
    np.savez(data, a=inputs.a, b=inputs.b.T, about=np.array(json.dumps(about)))
    write_whole(path, data.getvalue())


def read(path: Path) -> Probe:
    """The inputs that were written. Raises BadProbe for a file that is not as it was written."""
    arrays = load(path)
    if set(arrays) != {"a", "b", "about"}:
        raise BadProbe(f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; `probe write` gives"
                       " a, b and about")  # fmt: skip
    try:
        about = json.loads(str(arrays["about"]))
        kind, schema, format = (about[key] for key in ("kind", "schema", "format"))
    except (ValueError, TypeError, KeyError):
        raise BadProbe(f"{path}: about is no description of inputs") from None
    if kind != KIND or schema != SCHEMA or str(format) not in FORMATS:
        raise BadProbe(f"{path} is {kind!r}, schema {schema!r}, format {format!r}; needed:"
                       f" {KIND!r}, {SCHEMA}, one of {', '.join(FORMATS)}")  # fmt: skip
    probe = _probe(path, arrays, about)
    if about.get("sha256") != probe.sha256:
        raise BadProbe(f"{path}: the inputs have sha256 {probe.sha256}, the file says"
                       f" {about.get('sha256')}: it was changed")  # fmt: skip
    return probe


def _probe(path: Path, arrays: dict[str, npt.NDArray[Any]], about: dict[str, Any]) -> Probe:
    fmt = FORMATS[about["format"]]
    names, candidates, designed = (
        about.get(key) for key in ("inputs", "candidates", "designed")
    )  # fmt: skip
    for key, given in (("inputs", names), ("candidates", candidates)):
        if not (isinstance(given, list) and given and all(isinstance(x, str) for x in given)):
            raise BadProbe(f"{path}: {key} is no list of names")
    assert names and candidates
    for key, shape in (("a", (len(names), DEPTH)), ("b", (DEPTH, len(names)))):
        found = arrays[key]
        if found.dtype != fmt.code_dtype or found.shape != shape:
            raise BadProbe(f"{path}: {key} is {found.dtype} {found.shape};"
                           f" needed: {fmt.code_dtype} {shape}")  # fmt: skip
    count = designed if isinstance(designed, int) else 0
    a, b = (np.ascontiguousarray(x) for x in (arrays["a"], arrays["b"].T))
    return Probe(Inputs(fmt, tuple(names), a, b, count), tuple(candidates))


def load(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz, without pickles. Raises BadProbe for anything else."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BadProbe(f"{path} has {path.stat().st_size:,} bytes; at most {_MOST_BYTES:,}")
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_BYTES:
            raise BadProbe(f"{path} unpacks to {size:,} bytes; at most {_MOST_BYTES:,}")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except UNREADABLE as error:
        if isinstance(error, BadProbe):
            raise
        raise BadProbe(f"{path} is no readable .npz: {error}") from None
