"""Values to a format and back, for numpy, torch and numbers; each source is rounded once."""

from collections.abc import Callable
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import kernels
from halfulp.dtypes.containers import Source, open_out, open_source
from halfulp.dtypes.format import FloatFormat, Format, IntFormat
from halfulp.dtypes.formats import FP32, parse_format
from halfulp.dtypes.integers import to_integers
from halfulp.dtypes.rounding import Overflow, Rounding, choice

Array = npt.NDArray[Any]
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


@overload
def round_to(
    x: Array,
    fmt: Format | str,
    *,
    rounding: Rounding | str = ...,
    overflow: Overflow | str = ...,
    out: Array | None = ...,
) -> Array: ...
@overload
def round_to(
    x: Any,
    fmt: Format | str,
    *,
    rounding: Rounding | str = ...,
    overflow: Overflow | str = ...,
    out: Any = ...,
) -> Any: ...
def round_to(
    x: Any,
    fmt: Format | str,
    *,
    rounding: Rounding | str = Rounding.NEAREST_EVEN,
    overflow: Overflow | str = Overflow.INF,
    out: Any = None,
) -> Any:
    """Each x[i] becomes the value of `fmt` that it is rounded to, once.

    x          numpy array (any strides, byte order), torch tensor, number, or sequence of numbers:
               floats of up to 64 bits, those of ml_dtypes too, integers, bool
    fmt        a format or its name
    rounding   a `Rounding` or its name
    overflow   an `Overflow` or its name; integer formats always saturate
    out        where to write: same container and shape, type of the result; may be x itself
    returns    float32 and float64 keep their type; anything else gives float32, or float64 where
               `fmt` needs it. Container, device and shape stay, a number gives a numpy scalar; a
               subclass of ndarray gives a plain array, a sequence a numpy array.
    specials   NaN gives the canonical NaN (in an integer format 0), -0 stays -0 (in an integer
               format +0). An infinity stays one; without one in `fmt` it gives NaN, and in an
               integer format it saturates. A float32 result is infinite where the value of `fmt`
               is beyond float32; float32 to an integer format of more than 24 bits saturates to
               the largest float32 inside.
    torch      the result is detached from the graph; a tensor on another device is computed on the
               CPU and the result moved back, and `out` must be on the CPU

    Raises ValueError for unknown names, for an `out` that does not fit, and for NaN where `fmt` has
    none; TypeError for other containers or elements.
    """
    fmt, rounding, overflow = _checked(fmt, rounding, overflow)
    source = open_source(x)
    dtype = source.array.dtype if source.keeps_type else _result_type(fmt)

    def work(array: Array, target: Array) -> None:
        if isinstance(fmt, IntFormat):
            to_integers(_plain(array, source.codes_of), target, fmt, rounding)
        else:
            _round_floats(array, source.codes_of, target, fmt, rounding, overflow)

    return _run(work, source, dtype, out)


@overload
def encode(
    x: Array,
    fmt: Format | str,
    *,
    rounding: Rounding | str = ...,
    overflow: Overflow | str = ...,
    out: Array | None = ...,
) -> Array: ...
@overload
def encode(
    x: Any,
    fmt: Format | str,
    *,
    rounding: Rounding | str = ...,
    overflow: Overflow | str = ...,
    out: Any = ...,
) -> Any: ...
def encode(
    x: Any,
    fmt: Format | str,
    *,
    rounding: Rounding | str = Rounding.NEAREST_EVEN,
    overflow: Overflow | str = Overflow.INF,
    out: Any = None,
) -> Any:
    """The code of the value of `fmt` that each x[i] is rounded to, once.

    returns    uint8, uint16 or uint32, the smallest that holds a code; for an IntFormat the
               smallest numpy integer that holds its values

    All else as in `round_to`, but that integer formats saturate to their own bounds.
    """
    fmt, rounding, overflow = _checked(fmt, rounding, overflow)
    source = open_source(x)

    def work(array: Array, target: Array) -> None:
        if isinstance(fmt, IntFormat):
            plain = _plain(array, source.codes_of)
            if plain.dtype == FLOAT32 and not fmt.fits_float32:
                plain = _float64(plain, None)
            to_integers(plain, target, fmt, rounding)
        else:
            _encode_floats(array, source.codes_of, target, fmt, rounding, overflow)

    return _run(work, source, _code_type(fmt), out)


@overload
def decode(codes: Array, fmt: Format | str, *, out: Array | None = ...) -> Array: ...
@overload
def decode(codes: Any, fmt: Format | str, *, out: Any = ...) -> Any: ...
def decode(codes: Any, fmt: Format | str, *, out: Any = None) -> Any:
    """The value of each code.

    codes      integers of any type: codes of `fmt`; for an IntFormat its values
    returns    float32, or float64 where `fmt` needs it; for an IntFormat the smallest numpy integer
    specials   every NaN code gives the canonical NaN

    Raises TypeError for elements that are no integers, ValueError for integers that are no codes of
    `fmt`; else as `round_to`.
    """
    fmt = parse_format(fmt) if isinstance(fmt, str) else fmt
    source = open_source(codes)
    if source.codes_of is not None or source.array.dtype.kind not in "iu":
        given = source.codes_of or source.array.dtype
        raise TypeError(f"codes of {fmt} are integers, not {given}; view them as {_code_type(fmt)}")
    dtype = _code_type(fmt) if isinstance(fmt, IntFormat) else _result_type(fmt)
    _refuse_foreign_codes(source.array, fmt)

    def work(array: Array, target: Array) -> None:
        if isinstance(fmt, IntFormat):
            np.copyto(target, array, casting="unsafe")
            return
        decoder = kernels.decode32 if fmt.fits_float32 else kernels.decode64
        decoder(array.astype(fmt.code_dtype, copy=False), target, fmt)

    return _run(work, source, dtype, out)


def _checked(
    fmt: Format | str, rounding: Rounding | str, overflow: Overflow | str
) -> tuple[Format, Rounding, Overflow]:
    if not isinstance(fmt, FloatFormat | IntFormat):
        fmt = parse_format(fmt)
    return fmt, choice(Rounding, rounding, "rounding"), choice(Overflow, overflow, "overflow")


def _result_type(fmt: Format) -> np.dtype[Any]:
    return FLOAT32 if fmt.fits_float32 else FLOAT64


def _code_type(fmt: Format) -> np.dtype[Any]:
    return fmt.numpy if isinstance(fmt, IntFormat) else fmt.code_dtype


def _run(
    work: Callable[[Array, Array], None], source: Source, dtype: np.dtype[Any], out: Any
) -> Any:
    """Call work(x, result) on C-contiguous arrays, without copying where the memory allows."""
    array, transposed = _in_order(source.array)
    if out is None:
        result = np.empty(array.shape, dtype)
        work(array, result)
        return source.give_back(result.T if transposed else result)
    target = open_out(out, source, dtype)
    target = target.T if transposed else target
    if _writable_directly(target, array):
        work(array, target)
    else:
        result = np.empty(array.shape, dtype)
        work(array, result)
        np.copyto(target, result)
    return out


def _in_order(array: Array) -> tuple[Array, bool]:
    """The array in C order, and whether that is its transpose; copied only when neither is."""
    flags = array.flags
    if flags.aligned:
        if flags.c_contiguous:
            return array, False
        if flags.f_contiguous:
            return array.T, True
    return array.copy(order="C"), False


def _writable_directly(target: Array, array: Array) -> bool:
    """Whether a kernel may write there while it reads `array`: apart, or in place."""
    flags = target.flags
    if not (flags.c_contiguous and flags.aligned):
        return False
    if not np.may_share_memory(target, array):
        return True
    return target.ctypes.data == array.ctypes.data and target.dtype == array.dtype


def _plain(array: Array, codes_of: FloatFormat | None) -> Array:
    """Codes as float32, everything else as it is."""
    if codes_of is None:
        return array
    result = np.empty(array.shape, FLOAT32)
    kernels.decode32(array, result, codes_of)
    return result


def _float64(array: Array, codes_of: FloatFormat | None) -> Array:
    """float64 that rounds to every format as `array` does; by kernels, as numpy may flush."""
    if array.dtype == FLOAT64:
        return array
    result = np.empty(array.shape, FLOAT64)
    if codes_of is not None:
        kernels.decode64(array, result, codes_of)
    elif array.dtype == FLOAT32:
        kernels.decode64(array.view(np.uint32), result, FP32)
    elif array.itemsize == 8:
        kernels.odd64(array, result)
    else:
        np.copyto(result, array)
    return result


def _fast(array: Array, fmt: FloatFormat, rounding: Rounding) -> bool:
    """Whether float32 holds the source, and the float32 kernels serve the conversion."""
    narrow = array.dtype == FLOAT32 or array.itemsize <= 2
    return narrow and rounding is Rounding.NEAREST_EVEN and kernels.fast32(fmt)


def _round_floats(
    array: Array,
    codes_of: FloatFormat | None,
    target: Array,
    fmt: FloatFormat,
    rounding: Rounding,
    overflow: Overflow,
) -> None:
    if _fast(array, fmt, rounding):
        plain = _plain(array, codes_of).astype(FLOAT32, copy=False)
        _refuse_nan(plain, fmt)
        kernels.round32(plain, target, fmt, overflow)
        return
    codes = np.empty(array.shape, fmt.code_dtype)
    _encode_floats(array, codes_of, codes, fmt, rounding, overflow)
    if target.dtype == FLOAT64:
        kernels.decode64(codes, target, fmt)
    elif fmt.fits_float32:
        kernels.decode32(codes, target, fmt)
    else:
        wide = np.empty(array.shape, FLOAT64)
        kernels.decode64(codes, wide, fmt)
        place = target.view(np.uint32)
        kernels.encode64(wide, place, FP32, Rounding.NEAREST_EVEN, Overflow.INF)


def _encode_floats(
    array: Array,
    codes_of: FloatFormat | None,
    target: Array,
    fmt: FloatFormat,
    rounding: Rounding,
    overflow: Overflow,
) -> None:
    if _fast(array, fmt, rounding):
        plain = _plain(array, codes_of).astype(FLOAT32, copy=False)
        _refuse_nan(plain, fmt)
        kernels.encode32(plain, target, fmt, overflow)
        return
    wide = _float64(array, codes_of)
    _refuse_nan(wide, fmt)
    kernels.encode64(wide, target, fmt, rounding, overflow)


def _refuse_nan(x: Array, fmt: FloatFormat) -> None:
    if not fmt.has_nan and np.isnan(x).any():
        raise ValueError(f"x holds NaN and {fmt} has none; replace NaN before the conversion")


def _refuse_foreign_codes(codes: Array, fmt: Format) -> None:
    low, high = (fmt.min, fmt.max) if isinstance(fmt, IntFormat) else (0, (1 << fmt.bits) - 1)
    given = np.iinfo(codes.dtype)
    if codes.size == 0 or (low <= given.min and given.max <= high):
        return
    for found in (int(codes.min()), int(codes.max())):
        if not low <= found <= high:
            raise ValueError(f"{found} is no code of {fmt}; allowed: {low} to {high}")
