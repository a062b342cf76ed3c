"""What a number format is: a frozen value of a few integers; all else is derived from them."""

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum, unique
from functools import cached_property
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from halfulp.dtypes.checks import flag, integer
from halfulp.dtypes.finfo import FloatInfo
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.rounding import choice


@unique
class Specials(StrEnum):
    """Which codes are not finite numbers."""

    IEEE = "ieee"  #: exponent field all ones: fraction 0 is infinity, the others are NaN
    FN = "fn"  #: no infinity; only the code of all ones is NaN (OCP OFP8 1.0, E4M3)
    FNUZ = "fnuz"  #: no infinity, no -0; the code that would be -0 is the only NaN
    FINITE = "finite"  #: every code is a number (OCP MX 1.0, the 4- and 6-bit elements)


@dataclass(frozen=True, repr=False)
class FloatFormat(FloatInfo):
    """A binary floating-point format: sign, exponent field, trailing significand.

    exponent_bits   1 to 8
    mantissa_bits   stored fraction bits, 0 to 23
    bias            exponent = field - bias; default 2^(exponent_bits-1) - 1, one more for "fnuz"
    specials        "ieee", "fn", "fnuz" or "finite" (a `Specials`)
    signed          False for scales alone: no mantissa bits, no subnormals and "fn" (e8m0)
    subnormals      whether exponent field 0 holds subnormals. Without them it is a binade like the
                    others, and only its first code is zero; a scale has no zero at all.

    float32 holds every value.

    Raises TypeError for what is no integer or bool, ValueError for what is out of range.
    """

    exponent_bits: int
    mantissa_bits: int
    _: KW_ONLY
    bias: int = None  # type: ignore[assignment]  # None is replaced when the value is made
    specials: Specials = Specials.IEEE
    signed: bool = True
    subnormals: bool = True

    if TYPE_CHECKING:  # what may be given is wider than what is kept

        def __init__(
            self,
            exponent_bits: int | np.integer[Any],
            mantissa_bits: int | np.integer[Any],
            *,
            bias: int | np.integer[Any] | None = None,
            specials: Specials | str = Specials.IEEE,
            signed: bool = True,
            subnormals: bool = True,
        ) -> None: ...

    def __post_init__(self) -> None:
        e = integer(self.exponent_bits, "exponent_bits", 1, 8)
        m = integer(self.mantissa_bits, "mantissa_bits", 0, 23)
        specials = choice(Specials, self.specials, "specials")
        flag(self.signed, "signed")
        flag(self.subnormals, "subnormals")
        for name, value in (("exponent_bits", e), ("mantissa_bits", m), ("specials", specials)):
            object.__setattr__(self, name, value)
        self._refuse_contradictions()
        bias = self.default_bias if self.bias is None else self.bias
        low, high = self._allowed_bias()
        if low > high:
            raise ValueError(
                f"float32 does not hold exponent_bits={e}, mantissa_bits={m} with"
                f" specials={specials.value!r}, whatever the bias; give fewer bits"
            )
        if self.bias is None and not low <= bias <= high:
            raise ValueError(
                f"float32 does not hold the values of this format with its default bias {bias};"
                f" give bias={low} to {high}"
            )
        object.__setattr__(self, "bias", integer(bias, "bias", low, high))

    def _refuse_contradictions(self) -> None:
        e, m, specials = self.exponent_bits, self.mantissa_bits, self.specials
        if not self.signed:
            if m or self.subnormals or specials is not Specials.FN:
                raise ValueError(
                    "signed=False is for scales: it needs mantissa_bits=0, subnormals=False"
                    " and specials='fn'"
                )
        elif m == 0 and not self.subnormals:
            raise ValueError("subnormals=False without mantissa bits leaves no zero; give one bit")
        elif m == 0 and specials is Specials.FN:
            raise ValueError(
                "specials='fn' needs mantissa_bits >= 1: without them"
                " its NaN would be a whole binade"
            )
        if e == 1 and m == 0 and specials is Specials.IEEE:
            raise ValueError(
                "exponent_bits=1, mantissa_bits=0 holds zero and infinity only; give one more bit"
            )

    def _allowed_bias(self) -> tuple[int, int]:
        """Where float32 holds the largest value and the finest spacing."""
        top = max(self.max_code >> self.mantissa_bits, int(self.subnormals))
        return top - 127, 149 + int(self.subnormals) - self.mantissa_bits

    def __repr__(self) -> str:
        given = [str(self.exponent_bits), str(self.mantissa_bits)]
        given += [f"bias={self.bias}"] if self.bias != self.default_bias else []
        given += [f"specials={self.specials.value!r}"] if self.specials != Specials.IEEE else []
        given += [f"{name}=False" for name in ("signed", "subnormals") if not getattr(self, name)]
        return f"FloatFormat({', '.join(given)})"

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

    @classmethod
    def from_dtype(cls, dtype: object) -> "FloatFormat":
        """The format of a float type of numpy, ml_dtypes or torch.

        Raises TypeError for what is no type, ValueError for one that is no such format.
        """
        from halfulp.dtypes.dtype_names import from_dtype

        fmt = from_dtype(dtype)
        if not isinstance(fmt, cls):
            raise ValueError(f"{dtype} is an integer type; IntFormat.from_dtype reads it")
        return fmt

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names of a named format that `parse_format` reads: "float16", "half"."""
        from halfulp.dtypes.formats import aliases_of

        return aliases_of(self)

    def _repr_html_(self) -> str:
        from halfulp.dtypes.html import format_html

        return format_html(self)

    @property
    def default_bias(self) -> int:
        """The bias of a format of this width and kind that names none."""
        return (1 << (self.exponent_bits - 1)) - (self.specials is not Specials.FNUZ)

    @property
    def bits(self) -> int:
        """Width of a code, sign included."""
        return self.signed + self.exponent_bits + self.mantissa_bits

    @property
    def sign_code(self) -> int:
        """The bit that the code of a negative value has; 0 where there are none."""
        return int(self.signed) << (self.exponent_bits + self.mantissa_bits)

    @property
    def precision(self) -> int:
        """Significant bits, the implicit one included; numpy's finfo counts decimal digits."""
        return self.mantissa_bits + 1

    @property
    def emin(self) -> int:
        """Exponent of the lowest binade of normal values."""
        return int(self.subnormals) - self.bias

    @property
    def emax(self) -> int:
        """Exponent of the largest finite value."""
        return max(self.max_code >> self.mantissa_bits, int(self.subnormals)) - self.bias

    @property
    def has_inf(self) -> bool:
        return self.specials is Specials.IEEE

    @property
    def has_nan(self) -> bool:
        """False also for IEEE formats without mantissa bits: their special code is infinity."""
        return self.nan_code is not None

    @property
    def has_zero(self) -> bool:
        """False for scales: their code 0 is their smallest value."""
        return self.signed

    @property
    def has_minus_zero(self) -> bool:
        return self.signed and self.specials is not Specials.FNUZ

    @property
    def inf_code(self) -> int | None:
        """Code of +infinity."""
        return self.max_code + 1 if self.has_inf else None

    @property
    def max_code(self) -> int:
        """Code of the largest finite value."""
        codes = 1 << (self.exponent_bits + self.mantissa_bits)
        match self.specials:
            case Specials.IEEE:
                return codes - (1 << self.mantissa_bits) - 1
            case Specials.FN:
                return codes - 2
            case Specials.FNUZ | Specials.FINITE:
                return codes - 1
        assert_never(self.specials)

    @property
    def nan_code(self) -> int | None:
        """Code of the canonical NaN: sign 0, top mantissa bit set; in FNUZ the only one."""
        match self.specials:
            case Specials.IEEE:
                quiet = 1 << self.mantissa_bits >> 1
                return self.max_code + 1 + quiet if quiet else None
            case Specials.FN | Specials.FNUZ:
                return self.max_code + 1
            case Specials.FINITE:
                return None
        assert_never(self.specials)

    @property
    def max(self) -> float:
        """Largest finite value."""
        return self._value(self.max_code)

    @property
    def min(self) -> float:
        """Most negative finite value (numpy's finfo.min); of a scale its smallest."""
        return -self.max if self.signed else self.tiny

    @property
    def tiny(self) -> float:
        """Smallest positive normal value."""
        if self.subnormals:
            return self._value(1 << self.mantissa_bits)
        return self._value(int(self.has_zero))

    smallest_normal = tiny

    @property
    def smallest_subnormal(self) -> float:
        """Smallest positive value; equals `tiny` without subnormals or without mantissa bits."""
        return self._value(1) if self.subnormals else self.tiny

    @property
    def eps(self) -> float:
        """Spacing of the values from 1 to 2."""
        return float(np.ldexp(1.0, -self.mantissa_bits))

    def _value(self, code: int) -> float:
        field, fraction = divmod(code, 1 << self.mantissa_bits)
        hidden = (1 << self.mantissa_bits) if field or not self.subnormals else 0
        exponent = max(field, int(self.subnormals)) - self.bias - self.mantissa_bits
        return float(np.ldexp(float(hidden + fraction), exponent))

    @property
    def code_dtype(self) -> np.dtype[Any]:
        """Smallest of uint8, uint16 and uint32 that holds a code."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16 if self.bits <= 16 else np.uint32)


Format = FloatFormat | IntFormat
