"""THE TABLE of other libraries that cast to our formats, and how each is asked."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from halfulp.dtypes import (
    FORMATS,
    FloatFormat,
    Overflow,
    Specials,
    numpy_dtype,
    torch_dtype,
)
from halfulp.dtypes.compatibility import TORCH
from tests.strategies import FLOATS, Array

#: Codes, and the values that the library gives itself.
Answer = tuple[Array, Array]
Cast = Callable[[Array, FloatFormat, Overflow], Answer]


@dataclass(frozen=True)
class Library:
    """A library, the formats that it has, and how it casts.

    formats    names of formats, or a source and a name where it does not cast from every source
    overflows  the policies by which it is compared: its own, and ours where that is another
    given_nan  whether NaN is given where the format has none
    own_nan    whether it has one code for a NaN; in torch that depends on the place in the array,
               in numpy perhaps on the processor, so there any will do
    """

    name: str
    formats: tuple[str, ...]
    overflows: Callable[[FloatFormat], tuple[Overflow, ...]]
    cast: Cast
    given_nan: bool = True
    own_nan: bool = True

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.name) is not None

    @property
    def version(self) -> str:
        """Without the build, which says nothing of the casts."""
        return version(self.name).partition("+")[0]


def _numpy(x: Array, fmt: FloatFormat, overflow: Overflow) -> Answer:
    """numpy's own types and those of ml_dtypes."""
    dtype = numpy_dtype(fmt)
    made = x.astype(dtype)
    return made.view(f"u{dtype.itemsize}"), made.astype(np.float32)


def _torch(x: Array, fmt: FloatFormat, overflow: Overflow) -> Answer:
    import torch

    made = torch.from_numpy(x).to(torch_dtype(fmt))
    word = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32}[made.itemsize]
    return made.view(word).numpy(), made.to(torch.float32).numpy()


def _gfloat(x: Array, fmt: FloatFormat, overflow: Overflow) -> Answer:
    gfloat: Any = importlib.import_module("gfloat")
    info = _gfloat_format(fmt)
    values = gfloat.round_ndarray(info, x, sat=overflow is Overflow.SATURATE_ALL)
    return gfloat.encode_ndarray(info, values), values


def _gfloat_format(fmt: FloatFormat) -> Any:
    types: Any = importlib.import_module("gfloat.types")
    ieee = fmt.specials is Specials.IEEE
    nans = (1 << fmt.mantissa_bits) - 1 if ieee else int(fmt.specials is Specials.FN)
    return types.FormatInfo(
        str(fmt),
        fmt.bits,
        fmt.mantissa_bits + 1,
        bias=fmt.bias,
        is_signed=fmt.signed,
        domain=types.Domain.Extended if ieee else types.Domain.Finite,
        has_nz=fmt.has_minus_zero,
        num_high_nans=nans,
        has_subnormals=fmt.subnormals,
        is_twos_complement=False,
    )


def _apytypes(x: Array, fmt: FloatFormat, overflow: Overflow) -> Answer:
    apytypes: Any = importlib.import_module("apytypes")
    read = apytypes.APyFloatArray.from_array
    made = read(x, fmt.exponent_bits, fmt.mantissa_bits, fmt.bias)
    return made.to_bits(numpy=True), made.to_numpy()


def _ieee(fmt: FloatFormat) -> tuple[Overflow, ...]:
    return (Overflow.INF,)


def _of_torch(fmt: FloatFormat) -> tuple[Overflow, ...]:
    return tuple({Overflow.INF: None, TORCH.overflow(fmt): None})


def _of_gfloat(fmt: FloatFormat) -> tuple[Overflow, ...]:
    """Both that it has; to infinity it refuses where there is neither infinity nor NaN."""
    return (Overflow.INF, Overflow.SATURATE_ALL) if fmt.has_nan else (Overflow.SATURATE_ALL,)


_BYTES = ("e5m2", "e4m3fn", "e5m2fnuz", "e4m3fnuz", "e8m0fnu")
_SMALL = ("e4m3", "e3m4", "e4m3b11fnuz", "e3m2fn", "e2m3fn", "e2m1fn")
LIBRARIES: dict[str, Library] = {
    one.name: one
    for one in (
        Library("numpy", ("fp32", "fp16"), _ieee, _numpy, own_nan=False),
        Library("ml_dtypes", ("bf16", *_BYTES, *_SMALL), _ieee, _numpy),
        Library("torch", ("fp32", "fp16", "bf16", *_BYTES), _of_torch, _torch, own_nan=False),
        Library("gfloat", tuple(FLOATS), _of_gfloat, _gfloat, given_nan=False),
        Library(
            "apytypes",
            tuple(name for name, fmt in FLOATS.items() if fmt.specials is Specials.IEEE),
            _ieee,
            _apytypes,
        ),
    )
}
SOURCES = ("float32", "float64")


@dataclass(frozen=True)
class Case:
    """A library's cast to a format from a source, beside ours with an overflow policy."""

    library: Library
    name: str
    source: str
    overflow: Overflow

    @property
    def fmt(self) -> FloatFormat:
        fmt = FORMATS[self.name]
        assert isinstance(fmt, FloatFormat)
        return fmt

    def __str__(self) -> str:
        return f"{self.library.name} {self.name} {self.source} {self.overflow}"


#: Cases with the same inputs stand together; float32 to fp32 is no cast.
CASES: tuple[Case, ...] = tuple(
    Case(library, name, source, overflow)
    for name in FLOATS
    for source in SOURCES
    for library in LIBRARIES.values()
    if name in library.formats and (name, source) != ("fp32", "float32")
    for overflow in library.overflows(FLOATS[name])
)
