"""What a block format is: an element format, a scale for each block, perhaps one for the tensor.

THE TABLE of named ones. Sources: the MX formats and their shared exponent: OCP Microscaling Formats
(MX) 1.0; NVFP4: NVIDIA's description of it (E2M1 elements, 16 of them to an E4M3 scale, one float32
scale for the tensor). What both leave open is chosen, and said where it is done.
"""

import difflib
import math
import re
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum, unique

from halfulp.dtypes.checks import flag, integer
from halfulp.dtypes.format import FloatFormat, Format, Specials
from halfulp.dtypes.formats import (
    E2M1FN,
    E2M3FN,
    E3M2FN,
    E4M3FN,
    E5M2,
    E8M0FNU,
    INT8,
    UnknownFormat,
    parse_format,
)
from halfulp.dtypes.int_format import IntFormat

#: Elements of a block that the kernels hold at once.
LARGEST_BLOCK = 4096
#: Exponents of the smallest value and of the largest binade that an element may have: times the
#: smallest scale, 2^-127, float32 still holds it and half of it.
_LOWEST, _HIGHEST = -20, 15
#: Tensor scales: below the least one float32 is coarser than their quotients; the largest one times
#: any block scale is still a float32.
LEAST_TENSOR_SCALE, LARGEST_TENSOR_SCALE = 2.0**-126, 2.0**119


@unique
class ScaleRule(StrEnum):
    """Which power of two a block is divided by, from its largest magnitude `amax`.

    emax and max are the exponent and the value of the largest element, m its fraction bits. The
    exponent is clamped to -127 to 127, so a block of zeros has the scale 2^-127.
    """

    FLOOR = "floor"  #: floor(log2(amax)) - emax (OCP MX 1.0); elements past max saturate
    CEIL = "ceil"  #: ceil(log2(amax)) - emax
    EVEN = "even"  #: as FLOOR, of amax rounded to nearest even to m fraction bits
    RCEIL = "rceil"  #: ceil(log2(amax / max)): the least scale with which no element saturates


@dataclass(frozen=True, repr=False)
class BlockFormat:
    """Numbers in blocks along an axis: an element each, and one scale for the block.

    element        the format of the elements: signed, at most 8 bits. Of a float format: with
                   subnormals, not "fnuz", values from 2^-20 to less than 2^16. An integer stands
                   for itself times 2^-(bits-2), so that all are in [-2, 2)
    block_size     elements of a block, 1 to 4096; the last block along the axis may hold fewer
    scale          e8m0fnu, a power of two, or e4m3fn (for float elements)
    tensor_scale   whether one float32 multiplies the whole tensor; for e4m3fn scales alone

    A number is element * scale * tensor scale.

    Raises TypeError for other kinds of arguments, ValueError for what is out of range.
    """

    element: Format
    block_size: int
    scale: FloatFormat
    _: KW_ONLY
    tensor_scale: bool = False

    def __post_init__(self) -> None:
        for name, kinds in (("element", FloatFormat | IntFormat), ("scale", FloatFormat)):
            given = getattr(self, name)
            if not isinstance(given, kinds):
                raise TypeError(f"{name}={given!r} is no format; give one of the FORMATS")
        size = integer(self.block_size, "block_size", 1, LARGEST_BLOCK)
        object.__setattr__(self, "block_size", size)
        flag(self.tensor_scale, "tensor_scale")
        self._refuse_element()
        if self.scale not in (E8M0FNU, E4M3FN):
            raise ValueError(f"scale={self.scale} scales no block; allowed: e8m0fnu, e4m3fn")
        if self.has_power_scale and self.tensor_scale:
            raise ValueError("tensor_scale=True goes with scale=e4m3fn; e8m0fnu needs none")
        if isinstance(self.element, IntFormat) and not self.has_power_scale:
            raise ValueError(f"element={self.element} needs scale=e8m0fnu, a power of two")

    def _refuse_element(self) -> None:
        element = self.element
        if element.bits > 8 or not element.signed:
            raise ValueError(f"element={element} is not signed with at most 8 bits")
        if isinstance(element, IntFormat):
            return
        if not element.subnormals or element.specials is Specials.FNUZ:
            raise ValueError(f"element={element} needs subnormals, and a specials but 'fnuz'")
        lowest = element.emin - element.mantissa_bits
        if lowest < _LOWEST or not 0 <= element.emax <= _HIGHEST:
            raise ValueError(
                f"element={element} goes from 2^{lowest} to 2^{element.emax};"
                f" allowed: a smallest value of at least 2^{_LOWEST},"
                f" a largest one from 1 to less than 2^{_HIGHEST + 1}"
            )

    def __repr__(self) -> str:
        more = ", tensor_scale=True" if self.tensor_scale else ""
        return f"BlockFormat({self.element!r}, {self.block_size}, {self.scale!r}{more})"

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """The shortest name that `parse` reads back."""
        if self in _NAMES:
            return _NAMES[self]
        more = ",tensor_scale" if self.tensor_scale else ""
        return f"block({self.element},{self.block_size},{self.scale}{more})"

    @classmethod
    def parse(cls, text: str) -> "BlockFormat":
        """The block format that `text` names: see `parse_block_format`."""
        return parse_block_format(text)

    @property
    def has_power_scale(self) -> bool:
        """Whether the scales are powers of two."""
        return self.scale == E8M0FNU

    @property
    def element_unit(self) -> float:
        """What an element code of 1 stands for in an integer element; 1 in a float format."""
        return math.ldexp(1.0, 2 - self.element.bits) if isinstance(self.element, IntFormat) else 1

    @property
    def element_max(self) -> float:
        """Largest value of an element."""
        return self.element.max * self.element_unit

    @property
    def element_emax(self) -> int:
        """Exponent of `element_max`."""
        return self.element.emax if isinstance(self.element, FloatFormat) else 0

    @property
    def element_fraction_bits(self) -> int:
        """Fraction bits of an element of the largest binade."""
        element = self.element
        return element.mantissa_bits if isinstance(element, FloatFormat) else element.bits - 2

    @property
    def bits_per_value(self) -> float:
        """Bits that a number takes in full blocks, its share of the scale included."""
        return self.element.bits + self.scale.bits / self.block_size


MXFP8_E4M3 = BlockFormat(E4M3FN, 32, E8M0FNU)
MXFP8_E5M2 = BlockFormat(E5M2, 32, E8M0FNU)
MXFP6_E3M2 = BlockFormat(E3M2FN, 32, E8M0FNU)
MXFP6_E2M3 = BlockFormat(E2M3FN, 32, E8M0FNU)
MXFP4 = BlockFormat(E2M1FN, 32, E8M0FNU)
MXINT8 = BlockFormat(INT8, 32, E8M0FNU)
NVFP4 = BlockFormat(E2M1FN, 16, E4M3FN, tensor_scale=True)

#: Every named block format, by its constant in small letters.
BLOCK_FORMATS: dict[str, BlockFormat] = {
    name.lower(): value for name, value in list(globals().items()) if isinstance(value, BlockFormat)
}
#: Other spellings of the named ones. "mxfp8" and "mxfp6" are two formats each, so no name.
BLOCK_ALIASES: dict[str, str] = {
    "mxfp8_e4m3fn": "mxfp8_e4m3",
    "mxfp6_e3m2fn": "mxfp6_e3m2",
    "mxfp6_e2m3fn": "mxfp6_e2m3",
    "mxfp4_e2m1": "mxfp4",
    "mxfp4_e2m1fn": "mxfp4",
    "nvfp4_e2m1": "nvfp4",
    "nvfp4_e2m1fn": "nvfp4",
}
_NAMES = {fmt: name for name, fmt in BLOCK_FORMATS.items()}
_CALL = re.compile(r"block\((.+?),\s*(\d+)\s*,\s*([a-z0-9]+)\s*(,\s*tensor_scale\s*)?\)")


def parse_block_format(text: str) -> BlockFormat:
    """The block format that `text` names.

    Names are those of BLOCK_FORMATS and BLOCK_ALIASES ("mxfp8_e4m3", "mxfp4", "nvfp4"), or general:
    "block(ELEMENT,SIZE,SCALE[,tensor_scale])" with the names of formats. Capitals do not matter.

    Raises UnknownFormat (a ValueError) with the nearest names, ValueError for what is out of range.
    """
    if not isinstance(text, str):
        raise TypeError(f"a format name is a string, not {type(text).__name__}")
    key = text.strip().lower()
    key = BLOCK_ALIASES.get(key, key)
    if key in BLOCK_FORMATS:
        return BLOCK_FORMATS[key]
    if match := _CALL.fullmatch(key):
        element, size, scale, more = match.groups()
        kind = parse_format(scale)
        if not isinstance(kind, FloatFormat):
            raise ValueError(f"scale={kind} scales no block; allowed: e8m0fnu, e4m3fn")
        return BlockFormat(parse_format(element), int(size), kind, tensor_scale=bool(more))
    # "mxfp8" is the beginning of two
    near = [name for name in BLOCK_FORMATS if key and name.startswith(key)]
    near = near or difflib.get_close_matches(key, [*BLOCK_FORMATS, *BLOCK_ALIASES], cutoff=0.5)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise UnknownFormat(
        f"no block format is called {text!r}; {hint}known: {', '.join(BLOCK_FORMATS)},"
        " block(ELEMENT,SIZE,SCALE[,tensor_scale])"
    )
