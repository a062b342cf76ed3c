"""THE TABLE of formats, and how their names are read.

Sources: FP32 to FP16 and the layouts of cFP8: AWS Neuron data-types.rst; IEEE style of E4M3
(largest value 240) documented, of E5M2 and E3M4 derived from it. E4M3FN: OCP OFP8 1.0. The 4- and
6-bit formats and E8M0FNU: OCP MX 1.0. FNUZ: arXiv 2206.02915 (Graphcore, AMD), with a bias of 11
the TPU's B11FNUZ (ml_dtypes).
"""

import difflib
import re

from halfulp.dtypes.format import FloatFormat, Format, Specials
from halfulp.dtypes.int_format import IntFormat

FP32 = FloatFormat(8, 23)
TF32 = FloatFormat(8, 10)
BF16 = FloatFormat(8, 7)
FP16 = FloatFormat(5, 10)
E5M2 = FloatFormat(5, 2)
E4M3 = FloatFormat(4, 3)
E3M4 = FloatFormat(3, 4)
E4M3FN = FloatFormat(4, 3, specials=Specials.FN)
E5M2FNUZ = FloatFormat(5, 2, specials=Specials.FNUZ)
E4M3FNUZ = FloatFormat(4, 3, specials=Specials.FNUZ)
E4M3B11FNUZ = FloatFormat(4, 3, bias=11, specials=Specials.FNUZ)
E3M2FN = FloatFormat(3, 2, specials=Specials.FINITE)
E2M3FN = FloatFormat(2, 3, specials=Specials.FINITE)
E2M1FN = FloatFormat(2, 1, specials=Specials.FINITE)
E8M0FNU = FloatFormat(8, 0, specials=Specials.FN, signed=False, subnormals=False)
INT8, INT16, INT32 = IntFormat(8), IntFormat(16), IntFormat(32)
UINT8, UINT16, UINT32 = (IntFormat(bits, signed=False) for bits in (8, 16, 32))
INT4, UINT4 = IntFormat(4), IntFormat(4, signed=False)

#: Every named format, by its constant in small letters.
FORMATS: dict[str, Format] = {
    name.lower(): value
    for name, value in list(globals().items())
    if isinstance(value, FloatFormat | IntFormat)
}
#: Other spellings of the named ones.
ALIASES: dict[str, str] = {
    "float32": "fp32",
    "float": "fp32",
    "single": "fp32",
    "tfloat32": "tf32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    # ml_dtypes, torch
    **{
        f"{prefix}_{name}": name
        for prefix in ("float8", "fp8")
        for name in ("e5m2", "e4m3", "e3m4", "e4m3fn", "e5m2fnuz", "e4m3fnuz", "e4m3b11fnuz")
    },
    "float8_e8m0fnu": "e8m0fnu",
    "float6_e3m2fn": "e3m2fn",
    "float6_e2m3fn": "e2m3fn",
    "float4_e2m1fn": "e2m1fn",
    # OCP MX 1.0; its E4M3 and E5M2 are e4m3fn and e5m2
    "ocp_e4m3": "e4m3fn",
    "ocp_e5m2": "e5m2",
    "ocp_int8": "int8",
    "e8m0": "e8m0fnu",
    "e3m2": "e3m2fn",
    "e2m3": "e2m3fn",
    "e2m1": "e2m1fn",
    # ONNX
    "float8e4m3fn": "e4m3fn",
    "float8e4m3fnuz": "e4m3fnuz",
    "float8e5m2": "e5m2",
    "float8e5m2fnuz": "e5m2fnuz",
    "float8e8m0": "e8m0fnu",
    "float4e2m1": "e2m1fn",
    # Neuron
    **{
        name.format(bits): fmt
        for bits, fmt in ((3, "e3m4"), (4, "e4m3"), (5, "e5m2"))
        for name in ("fp8e{}", "fp8_exp{}", "float8e{}")
    },
}
_NAMES = {fmt: name for name, fmt in FORMATS.items()}
_CALL = re.compile(r"(cfp8|float)\(\s*(\d+)\s*,\s*(\d+)\s*((?:,\s*[a-z_]+(?:\s*=\s*-?\d+)?\s*)*)\)")
_OPTION = re.compile(r"([a-z_]+)(?:\s*=\s*(-?\d+))?")
_SHORT = re.compile(r"e(\d+)m(\d+)(fnuz|fn)?")
_INTEGER = re.compile(r"(u?)int(\d+)")
_FLAGS = ("unsigned", "no_subnormals")


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
    given = [str(fmt.exponent_bits), str(fmt.mantissa_bits)]
    given += [f"bias={fmt.bias}"] if fmt.bias != fmt.default_bias else []
    if fmt.specials is Specials.IEEE and fmt.bits == 8 and fmt.subnormals:
        return f"cfp8({','.join(given)})"
    given += [fmt.specials.value] if fmt.specials is not Specials.IEEE else []
    given += [
        name
        for name, said in zip(_FLAGS, (not fmt.signed, not fmt.subnormals), strict=True)
        if said
    ]
    return f"float({','.join(given)})"


def aliases_of(fmt: Format) -> tuple[str, ...]:
    """The other spellings of a named format; none for any other."""
    return tuple(alias for alias, name in ALIASES.items() if FORMATS[name] == fmt)


def _options(text: str) -> dict[str, int | Specials | bool] | None:
    """What stands behind the two numbers of a call: bias=B, a kind of specials, flags."""
    options: dict[str, int | Specials | bool] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _OPTION.fullmatch(part)
        name, number = match.groups() if match else ("", None)
        option: tuple[str, int | Specials | bool]
        if name == "bias" and number is not None:
            option = ("bias", int(number))
        elif name in list(Specials) and number is None:
            option = ("specials", Specials(name))
        elif name in _FLAGS and number is None:
            option = ("signed" if name == "unsigned" else "subnormals", False)
        else:
            return None
        if option[0] in options:  # said twice
            return None
        options.update([option])
    return options


def _parse_general(text: str) -> Format | None:
    if match := _CALL.fullmatch(text):
        kind, e, m, rest = match.groups()
        options = _options(rest)
        if options is None or (kind == "cfp8" and not options.keys() <= {"bias"}):
            return None
        make = cfp8 if kind == "cfp8" else FloatFormat
        return make(int(e), int(m), **options)  # type: ignore[arg-type]  # each by its own name
    if match := _SHORT.fullmatch(text):
        e, m, specials = match.groups()
        return FloatFormat(int(e), int(m), specials=specials or Specials.IEEE)
    if match := _INTEGER.fullmatch(text):
        return IntFormat(int(match[2]), signed=not match[1])
    return None


def parse_format(text: str) -> Format:
    """The format that `text` names.

    Names are those of FORMATS and ALIASES ("bf16", "float16", "e4m3", "int8"), or general:
    "cfp8(2,5,bias=3)", "float(6,9)", "float(4,3,bias=9,fnuz,no_subnormals)", "e6m9", "int4".
    Capitals do not matter.

    Raises UnknownFormat (a ValueError) with the nearest names; ValueError for numbers out of range.
    """
    if not isinstance(text, str):
        raise TypeError(f"a format name is a string, not {type(text).__name__}")
    key = text.strip().lower().removeprefix("torch.").removeprefix("ml_dtypes.")
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
            " cfp8(E,M[,bias=B]), float(E,M[,bias=B][,fn|fnuz|finite][,no_subnormals]),"
            " int2 to int32"
        )
    return fmt
