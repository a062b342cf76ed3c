"""THE TABLE of types of numpy, ml_dtypes and torch, and formats to and from them."""

import sys
from typing import Any

import numpy as np

from halfulp.dtypes import formats
from halfulp.dtypes.format import FloatFormat, Format
from halfulp.dtypes.int_format import IntFormat

#: Types of numpy, ml_dtypes and torch whose elements are codes of a float format.
CODES: dict[str, FloatFormat] = {
    "float16": formats.FP16,
    "bfloat16": formats.BF16,
    "float8_e5m2": formats.E5M2,
    "float8_e4m3": formats.E4M3,
    "float8_e3m4": formats.E3M4,
    "float8_e4m3fn": formats.E4M3FN,
    "float8_e5m2fnuz": formats.E5M2FNUZ,
    "float8_e4m3fnuz": formats.E4M3FNUZ,
    "float8_e4m3b11fnuz": formats.E4M3B11FNUZ,
    "float8_e8m0fnu": formats.E8M0FNU,
    "float6_e3m2fn": formats.E3M2FN,
    "float6_e2m3fn": formats.E2M3FN,
    "float4_e2m1fn": formats.E2M1FN,
}
#: Of these and of those that are numbers to numpy: the format that a name stands for.
DTYPES: dict[str, Format] = {
    "float32": formats.FP32,
    **CODES,
    **{
        f"{'' if signed else 'u'}int{bits}": IntFormat(bits, signed=signed)
        for bits in (2, 4, 8, 16, 32)
        for signed in (True, False)
    },
}
_NAMES: dict[Format, str] = {fmt: name for name, fmt in DTYPES.items()}


def dtype_name(dtype: object) -> str | None:
    """The name "float16" for np.float16 and torch.float16; None for what is no type."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(dtype, getattr(torch, "dtype", ())):
        return str(dtype).removeprefix("torch.")
    if isinstance(dtype, np.dtype):
        return dtype.name
    if isinstance(dtype, type) and issubclass(dtype, np.generic):
        return np.dtype(dtype).name
    return None


def from_dtype(dtype: object) -> Format:
    """The format of a type of numpy, ml_dtypes or torch.

    Raises TypeError for what is no type, ValueError for one without a format.
    """
    name = dtype_name(dtype)
    if name is None:
        raise TypeError(f"{dtype!r} is no type of numpy, ml_dtypes or torch; give one, or a name")
    if name not in DTYPES:
        raise ValueError(f"{dtype} has no format here; those that have: {', '.join(DTYPES)}")
    return DTYPES[name]


def as_format(fmt: Any) -> Format:
    """A format, its name, or a type of numpy, ml_dtypes or torch, as a format.

    Raises UnknownFormat or ValueError for unknown names and types, TypeError for others.
    """
    if isinstance(fmt, FloatFormat | IntFormat):
        return fmt
    if not isinstance(fmt, str) and dtype_name(fmt) is not None:
        return from_dtype(fmt)
    return formats.parse_format(fmt)


def numpy_dtype(fmt: Format) -> np.dtype[Any]:
    """The type of numpy or ml_dtypes whose elements are codes of the format.

    Raises ValueError where there is none.
    """
    name = _name(fmt)
    if hasattr(np, name):
        return np.dtype(name)
    import ml_dtypes

    if not hasattr(ml_dtypes, name):
        raise ValueError(f"ml_dtypes {ml_dtypes.__version__} has no {name}")
    return np.dtype(getattr(ml_dtypes, name))


def torch_dtype(fmt: Format) -> Any:
    """The type of torch whose elements are codes of the format; imports torch.

    Raises ValueError where there is none.
    """
    import torch

    name = _name(fmt)
    if not isinstance(getattr(torch, name, None), torch.dtype):
        raise ValueError(f"torch {torch.__version__} has no type for {fmt}")
    return getattr(torch, name)


def _name(fmt: Format) -> str:
    if fmt not in _NAMES:
        raise ValueError(f"no type holds the codes of {fmt}; those that have one: {_known()}")
    return _NAMES[fmt]


def _known() -> str:
    return ", ".join(str(fmt) for fmt in _NAMES)
