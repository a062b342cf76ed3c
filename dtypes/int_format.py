"""Integers as formats: frozen values of a width and a sign."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from halfulp.dtypes.checks import flag, integer


@dataclass(frozen=True, repr=False)
class IntFormat:
    """Integers of 2 to 32 bits, two's complement when signed.

    Raises TypeError for what is no integer, ValueError for what is out of range.
    """

    bits: int
    _: KW_ONLY
    signed: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", integer(self.bits, "bits", 2, 32))
        flag(self.signed, "signed")

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

    @classmethod
    def from_dtype(cls, dtype: object) -> "IntFormat":
        """The format of an integer type of numpy, ml_dtypes or torch, of at most 32 bits.

        Raises TypeError for what is no type, ValueError for one that is no such format.
        """
        from halfulp.dtypes.dtype_names import from_dtype

        fmt = from_dtype(dtype)
        if not isinstance(fmt, cls):
            raise ValueError(f"{dtype} is a float type; FloatFormat.from_dtype reads it")
        return fmt

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names that `parse_format` reads."""
        from halfulp.dtypes.formats import aliases_of

        return aliases_of(self)

    def _repr_html_(self) -> str:
        from halfulp.dtypes.html import format_html

        return format_html(self)

    @property
    def kind(self) -> str:
        """The letter "i" or "u", as numpy's iinfo has it."""
        return "i" if self.signed else "u"

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
