"""What a number format is: a frozen value of a few integers; all else is derived from them."""

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum, unique
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from halfulp.dtypes.rounding import choice


@unique
class Specials(StrEnum):
    """Which codes are not finite numbers."""

    IEEE = "ieee"  #: exponent field all ones: fraction 0 is infinity, the others are NaN
    FN = "fn"  #: no infinity; only the code of all ones is NaN (OCP OFP8 1.0, E4M3)


def _integer(value: object, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}={value!r} is not an integer; give {low} to {high}")
    if not low <= value <= high:
        raise ValueError(f"{name}={value} is out of range; allowed: {low} to {high}")
    return int(value)


@dataclass(frozen=True, repr=False)
class FloatFormat:
    """A binary floating-point format: sign, exponent field, trailing significand.

    exponent_bits   1 to 8
    mantissa_bits   stored fraction bits, 0 to 23
    bias            exponent = field - bias; default 2^(exponent_bits-1) - 1
    specials        "ieee" or "fn" (a `Specials`)

    Subnormals exist (exponent field 0). Every value is a float64; most formats fit into float32.

    Raises TypeError for what is no integer, ValueError for what is out of range.
    """

    exponent_bits: int
    mantissa_bits: int
    _: KW_ONLY
    bias: int = None  # type: ignore[assignment]  # None is replaced when the value is made
    specials: Specials = Specials.IEEE

    if TYPE_CHECKING:  # what may be given is wider than what is kept

        def __init__(
            self,
            exponent_bits: int | np.integer[Any],
            mantissa_bits: int | np.integer[Any],
            *,
            bias: int | np.integer[Any] | None = None,
            specials: Specials | str = Specials.IEEE,
        ) -> None: ...

    def __post_init__(self) -> None:
        e = _integer(self.exponent_bits, "exponent_bits", 1, 8)
        m = _integer(self.mantissa_bits, "mantissa_bits", 0, 23)
        specials = choice(Specials, self.specials, "specials")
        if specials is Specials.FN and m == 0:
            raise ValueError(
                "specials='fn' needs mantissa_bits >= 1: without them"
                " its NaN would be a whole binade"
            )
        if e == 1 and m == 0:
            raise ValueError(
                "exponent_bits=1, mantissa_bits=0 holds zero and infinity only; give one more bit"
            )
        top = (1 << e) - 1 - (specials is Specials.IEEE)
        # the smallest normal and the largest finite value must be normal float64, the smallest
        # subnormal must be a float64
        default = (1 << (e - 1)) - 1
        bias = _integer(default if self.bias is None else self.bias, "bias", top - 1023, 1023)
        for name, value in (("exponent_bits", e), ("mantissa_bits", m), ("bias", bias)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "specials", specials)

    def __repr__(self) -> str:
        default = (1 << (self.exponent_bits - 1)) - 1
        bias = "" if self.bias == default else f", bias={self.bias}"
        specials = "" if self.specials is Specials.IEEE else f", specials={self.specials.value!r}"
        return f"FloatFormat({self.exponent_bits}, {self.mantissa_bits}{bias}{specials})"

    def __str__(self) -> str:
        return self.name

    @cached_property
    def name(self) -> str:
        """The shortest name that `parse_format` reads back: "bf16", "cfp8(2,5,bias=3)"."""
        from halfulp.dtypes.formats import name_of

        return name_of(self)

    @classmethod
    def parse(cls, text: str) -> "FloatFormat":
        """The float format that `text` names. Raises UnknownFormat (a ValueError) for others."""
        from halfulp.dtypes.formats import UnknownFormat, parse_format

        fmt = parse_format(text)
        if not isinstance(fmt, cls):
            raise UnknownFormat(f"{text!r} names an integer format; IntFormat.parse reads it")
        return fmt

    @property
    def bits(self) -> int:
        """Width of a code, sign included."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def precision(self) -> int:
        """Significant bits, the implicit one included."""
        return self.mantissa_bits + 1

    @property
    def emin(self) -> int:
        """Exponent of the smallest normal value."""
        return 1 - self.bias

    @property
    def emax(self) -> int:
        """Exponent of the largest finite value."""
        return max((self.max_code >> self.mantissa_bits), 1) - self.bias

    @property
    def has_inf(self) -> bool:
        return self.specials is Specials.IEEE

    @property
    def has_nan(self) -> bool:
        """False for IEEE formats without mantissa bits: their one special code is infinity."""
        return self.specials is Specials.FN or self.mantissa_bits > 0

    @property
    def inf_code(self) -> int | None:
        """Code of +infinity."""
        return self.max_code + 1 if self.has_inf else None

    @property
    def max_code(self) -> int:
        """Code of the largest finite value."""
        if self.specials is Specials.IEEE:
            return (((1 << self.exponent_bits) - 1) << self.mantissa_bits) - 1
        return (1 << (self.exponent_bits + self.mantissa_bits)) - 2

    @property
    def nan_code(self) -> int | None:
        """Code of the canonical NaN: sign 0, top mantissa bit set."""
        if not self.has_nan:
            return None
        if self.specials is Specials.FN:
            return self.max_code + 1
        return self.max_code + 1 + (1 << (self.mantissa_bits - 1))

    @property
    def max(self) -> float:
        """Largest finite value."""
        field, fraction = divmod(self.max_code, 1 << self.mantissa_bits)
        implicit = (1 << self.mantissa_bits) if field else 0
        exponent = max(field, 1) - self.bias - self.mantissa_bits
        return float(np.ldexp(float(implicit + fraction), exponent))

    @property
    def min(self) -> float:
        """Most negative finite value (numpy's finfo.min)."""
        return -self.max

    @property
    def tiny(self) -> float:
        """Smallest positive normal value."""
        return float(np.ldexp(1.0, self.emin))

    smallest_normal = tiny

    @property
    def smallest_subnormal(self) -> float:
        """Smallest positive value; equals `tiny` where there are no mantissa bits."""
        return float(np.ldexp(1.0, self.emin - self.mantissa_bits))

    @property
    def eps(self) -> float:
        """Spacing of the values from 1 to 2."""
        return float(np.ldexp(1.0, -self.mantissa_bits))

    @property
    def code_dtype(self) -> np.dtype[Any]:
        """Smallest of uint8, uint16 and uint32 that holds a code."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16 if self.bits <= 16 else np.uint32)

    @property
    def fits_float32(self) -> bool:
        """Whether float32 holds every value."""
        return self.emin - self.mantissa_bits >= -149 and self.emax <= 127


@dataclass(frozen=True, repr=False)
class IntFormat:
    """Integers of 2 to 32 bits, two's complement when signed.

    Raises TypeError for what is no integer, ValueError for what is out of range.
    """

    bits: int
    _: KW_ONLY
    signed: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", _integer(self.bits, "bits", 2, 32))
        if not isinstance(self.signed, bool):
            raise TypeError(f"signed={self.signed!r} is not a bool")

    def __repr__(self) -> str:
        return f"IntFormat({self.bits}{'' if self.signed else ', signed=False'})"

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @classmethod
    def parse(cls, text: str) -> "IntFormat":
        """The integer format that `text` names. Raises UnknownFormat (a ValueError) for others."""
        from halfulp.dtypes.formats import UnknownFormat, parse_format

        fmt = parse_format(text)
        if not isinstance(fmt, cls):
            raise UnknownFormat(f"{text!r} names a float format; FloatFormat.parse reads it")
        return fmt

    @property
    def min(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        return (1 << (self.bits - self.signed)) - 1

    @property
    def numpy(self) -> np.dtype[Any]:
        """Smallest numpy integer that holds every value."""
        width = 8 if self.bits <= 8 else 16 if self.bits <= 16 else 32
        return np.dtype(f"{'int' if self.signed else 'uint'}{width}")

    @property
    def fits_float32(self) -> bool:
        """Whether float32 holds every value."""
        return self.bits - self.signed <= 24


Format = FloatFormat | IntFormat
