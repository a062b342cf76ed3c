"""THE TABLE of formats, and how their names are read.

Sources: FP32 to FP16 and the layouts of cFP8: AWS Neuron data-types.rst; IEEE style of E4M3
(largest value 240) documented, of E5M2 and E3M4 derived from it; E4M3FN: OCP OFP8 1.0.
"""

import difflib
import re

from halfulp.dtypes.format import FloatFormat, Format, IntFormat, Specials

FP32 = FloatFormat(8, 23)
TF32 = FloatFormat(8, 10)
BF16 = FloatFormat(8, 7)
FP16 = FloatFormat(5, 10)
E5M2 = FloatFormat(5, 2)
E4M3 = FloatFormat(4, 3)
E3M4 = FloatFormat(3, 4)
E4M3FN = FloatFormat(4, 3, specials=Specials.FN)
INT8, INT16, INT32 = IntFormat(8), IntFormat(16), IntFormat(32)
UINT8, UINT16, UINT32 = (IntFormat(bits, signed=False) for bits in (8, 16, 32))

#: Every named format, by its constant in small letters.
FORMATS: dict[str, Format] = {
    name.lower(): value
    for name, value in list(globals().items())
    if isinstance(value, FloatFormat | IntFormat)
}
#: Other spellings of the named ones (numpy, torch, ml_dtypes, Neuron).
ALIASES: dict[str, str] = {
    "float32": "fp32",
    "float": "fp32",
    "single": "fp32",
    "tfloat32": "tf32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    **{
        f"{prefix}_{name}": name
        for prefix in ("float8", "fp8")
        for name in ("e5m2", "e4m3", "e3m4", "e4m3fn")
    },
}
_NAMES = {fmt: name for name, fmt in FORMATS.items()}
_CALL = re.compile(
    r"(cfp8|float)\(\s*(\d+)\s*,\s*(\d+)\s*(?:,\s*bias\s*=\s*(-?\d+)\s*)?(,\s*fn\s*)?\)"
)
_SHORT = re.compile(r"e(\d+)m(\d+)(fn)?")
_INTEGER = re.compile(r"(u?)int(\d+)")


class UnknownFormat(ValueError):
    """A name that no format has."""


def cfp8(exponent_bits: int, mantissa_bits: int, *, bias: int | None = None) -> FloatFormat:
    """A configurable 8-bit float of the NeuronCore-v2: sign, exponent and mantissa make eight bits.

    IEEE style. That range and precision are configurable is documented; a bias other than the
    default is assumed.

    Raises ValueError unless exponent_bits + mantissa_bits = 7.
    """
    fmt = FloatFormat(exponent_bits, mantissa_bits, bias=bias)
    if fmt.bits != 8:
        allowed = ", ".join(f"({e},{7 - e})" for e in range(1, 8))
        raise ValueError(
            f"cfp8({exponent_bits},{mantissa_bits}) has {fmt.bits} bits;"
            f" exponent_bits + mantissa_bits must be 7: {allowed}"
        )
    return fmt


def name_of(fmt: FloatFormat) -> str:
    """The shortest name that `parse_format` reads back."""
    if fmt in _NAMES:
        return _NAMES[fmt]
    e, m = fmt.exponent_bits, fmt.mantissa_bits
    bias = "" if fmt.bias == (1 << (e - 1)) - 1 else f",bias={fmt.bias}"
    if fmt.specials is Specials.IEEE and fmt.bits == 8:
        return f"cfp8({e},{m}{bias})"
    return f"float({e},{m}{bias}{',fn' if fmt.specials is Specials.FN else ''})"


def _parse_general(text: str) -> Format | None:
    if match := _CALL.fullmatch(text):
        kind, e, m, bias, fn = match.groups()
        number = None if bias is None else int(bias)
        if kind == "cfp8" and fn is None:
            return cfp8(int(e), int(m), bias=number)
        if kind == "float":
            specials = Specials.FN if fn else Specials.IEEE
            return FloatFormat(int(e), int(m), bias=number, specials=specials)
    if match := _SHORT.fullmatch(text):
        e, m, fn = match.groups()
        return FloatFormat(int(e), int(m), specials=Specials.FN if fn else Specials.IEEE)
    if match := _INTEGER.fullmatch(text):
        return IntFormat(int(match[2]), signed=not match[1])
    return None


def parse_format(text: str) -> Format:
    """The format that `text` names.

    Names are those of FORMATS and ALIASES ("bf16", "float16", "e4m3", "int8"), or general:
    "cfp8(2,5,bias=3)", "float(6,9)", "e6m9", "int4". Capitals do not matter.

    Raises UnknownFormat (a ValueError) with the nearest names; ValueError for numbers out of range.
    """
    if not isinstance(text, str):
        raise TypeError(f"a format name is a string, not {type(text).__name__}")
    key = text.strip().lower()
    key = ALIASES.get(key, key)
    if key in FORMATS:
        return FORMATS[key]
    fmt = _parse_general(key)
    if fmt is None:
        near = difflib.get_close_matches(key, [*FORMATS, *ALIASES], n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        known = ", ".join(FORMATS)
        raise UnknownFormat(
            f"no format is called {text!r}; {hint}known: {known},"
            " cfp8(E,M[,bias=B]), float(E,M[,bias=B]), int2 to int32"
        )
    return fmt
