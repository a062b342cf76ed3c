"""Values to a format and back, for numpy, torch and numbers; each source is rounded once."""

import functools
from collections.abc import Callable
from typing import Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from halfulp.dtypes.containers import Source, open_out, open_source
from halfulp.dtypes.conversion import Conversion, Options, conversion
from halfulp.dtypes.dtype_names import as_format
from halfulp.dtypes.format import FloatFormat, Format
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.rounding import Rounding, Subnormals, choice

Array = npt.NDArray[Any]
#: A format, its name, or a type of numpy, ml_dtypes or torch (untyped).
AnyFormat = Format | str | type[np.generic] | np.dtype[Any] | Any
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


@overload
def round_to(
    x: Array, fmt: AnyFormat, *, out: Array | None = ..., **options: Unpack[Options]
) -> Array: ...
@overload
def round_to(x: Any, fmt: AnyFormat, *, out: Any = ..., **options: Unpack[Options]) -> Any: ...
def round_to(x: Any, fmt: AnyFormat, *, out: Any = None, **options: Unpack[Options]) -> Any:
    """Each x[i] becomes the value of `fmt` that it is rounded to, once.

    x           numpy array (any strides, byte order), torch tensor, number, or sequence of numbers:
                floats of up to 64 bits, those of ml_dtypes too, integers, bool
    fmt         a format, its name, or a type of numpy, ml_dtypes or torch
    rounding    a `Rounding` or its name; default "nearest_even"
    overflow    an `Overflow` or its name, or the name of a library to do as it does
                (`COMPATIBILITY`); default "inf"; integer formats always saturate
    subnormals  a `Subnormals` or its name; default "keep"
    nan         "zero" or "max": what NaN becomes in a float format that has none
    random      `Philox` or `GivenBits`, for rounding="stochastic" alone
    out         where to write: same container and shape, type of the result; may be x itself
    returns     float32 and float64 keep their type; anything else gives float32, or float64 where
                an integer format needs it. Container, device and shape stay, a number gives a numpy
                scalar; a subclass of ndarray gives a plain array, a sequence a numpy array.
    specials    NaN gives the canonical NaN (in an integer format 0), -0 stays -0 where `fmt` has
                it. An infinity stays one; without one in `fmt` it gives NaN, without either the
                largest value, and in an integer format it saturates. float32 to an integer format
                of more than 24 bits saturates to the largest float32 inside.
    torch       the result is detached from the graph; a tensor on another device is computed on the
                CPU and the result moved back, and `out` must be on the CPU

    Raises ValueError for unknown names, for an `out` that does not fit, and for NaN where `fmt` has
    none; TypeError for other containers or elements.
    """
    made = conversion(fmt, **options)
    if type(x) is np.ndarray and type(out) is np.ndarray:
        shortcut = made.shortcut
        if shortcut is not None and shortcut(x, out):
            return out
    source = open_source(x)
    dtype = source.array.dtype if source.keeps_type else _result_type(made.fmt)

    def work(array: Array, target: Array) -> None:
        floats, integers = _conversions()
        if isinstance(made.fmt, IntFormat):
            integers.to_integers(array, source.codes_of, target, made)
        else:
            floats.round_floats(array, source.codes_of, target, made)

    return _run(work, source, dtype, out, any_order=_any_order(made))


@overload
def encode(
    x: Array, fmt: AnyFormat, *, out: Array | None = ..., **options: Unpack[Options]
) -> Array: ...
@overload
def encode(x: Any, fmt: AnyFormat, *, out: Any = ..., **options: Unpack[Options]) -> Any: ...
def encode(x: Any, fmt: AnyFormat, *, out: Any = None, **options: Unpack[Options]) -> Any:
    """The code of the value of `fmt` that each x[i] is rounded to, once.

    returns    uint8, uint16 or uint32, the smallest that holds a code; for an IntFormat the
               smallest numpy integer that holds its values

    All else as in `round_to`, but that integer formats saturate to their own bounds.
    """
    made = conversion(fmt, **options)
    source = open_source(x)

    def work(array: Array, target: Array) -> None:
        floats, integers = _conversions()
        if isinstance(made.fmt, IntFormat):
            integers.to_integers(array, source.codes_of, target, made)
        else:
            floats.encode_floats(array, source.codes_of, target, made)

    return _run(work, source, _code_type(made.fmt), out, any_order=_any_order(made))


@overload
def decode(
    codes: Array, fmt: AnyFormat, *, subnormals: Subnormals | str = ..., out: Array | None = ...
) -> Array: ...
@overload
def decode(
    codes: Any, fmt: AnyFormat, *, subnormals: Subnormals | str = ..., out: Any = ...
) -> Any: ...
def decode(
    codes: Any,
    fmt: AnyFormat,
    *,
    subnormals: Subnormals | str = Subnormals.KEEP,
    out: Any = None,
) -> Any:
    """The value of each code.

    codes       integers of any type: codes of `fmt`; for an IntFormat its values
    subnormals  "flush_inputs" takes subnormal codes for zero, "flush_outputs" makes results zero
                that are subnormal in float32
    returns     float32; for an IntFormat the smallest numpy integer
    specials    every NaN code gives the canonical NaN

    Raises TypeError for elements that are no integers, ValueError for integers that are no codes of
    `fmt`; else as `round_to`.
    """
    fmt = as_format(fmt)
    flush = choice(Subnormals, subnormals, "subnormals")
    source = open_source(codes)
    if source.codes_of is not None or source.array.dtype.kind not in "iu":
        given = source.codes_of or source.array.dtype
        raise TypeError(f"codes of {fmt} are integers, not {given}; view them as {_code_type(fmt)}")
    dtype = fmt.numpy if isinstance(fmt, IntFormat) else FLOAT32
    _refuse_foreign_codes(source.array, fmt)

    def work(array: Array, target: Array) -> None:
        if isinstance(fmt, IntFormat):
            np.copyto(target, array, casting="unsafe")
            return
        floats, _ = _conversions()
        floats.decode_floats(array.astype(fmt.code_dtype, copy=False), target, fmt, flush)

    return _run(work, source, dtype, out, any_order=True)


@functools.cache
def _conversions() -> tuple[Any, Any]:
    """What converts to float and to integer formats; numba, which takes its time, when needed."""
    from halfulp.dtypes import floats, integers

    return floats, integers


def _result_type(fmt: Format) -> np.dtype[Any]:
    narrow = isinstance(fmt, FloatFormat) or fmt.fits_float32
    return FLOAT32 if narrow else FLOAT64


def _code_type(fmt: Format) -> np.dtype[Any]:
    return fmt.numpy if isinstance(fmt, IntFormat) else fmt.code_dtype


def _any_order(made: Conversion) -> bool:
    """Whether an element's number does not matter: random bits are counted in C order."""
    return made.rounding is not Rounding.STOCHASTIC


def _run(
    work: Callable[[Array, Array], None],
    source: Source,
    dtype: np.dtype[Any],
    out: Any,
    *,
    any_order: bool,
) -> Any:
    """Call work(x, result) on C-contiguous arrays, without copying where the memory allows."""
    array, transposed = _in_order(source.array, any_order)
    if out is None:
        result = np.empty(array.shape, dtype)
        work(array, result)
        return source.give_back(result.T if transposed else result)
    target = open_out(out, source, dtype)
    target = target.T if transposed else target
    if target.flags.c_contiguous and target.flags.aligned:
        work(array, target)
    else:
        result = np.empty(array.shape, dtype)
        work(array, result)
        np.copyto(target, result)
    return out


def _in_order(array: Array, any_order: bool) -> tuple[Array, bool]:
    """The array in C order, and whether that is its transpose; copied only when it must be."""
    flags = array.flags
    if flags.aligned:
        if flags.c_contiguous:
            return array, False
        if flags.f_contiguous and any_order:
            return array.T, True
    return array.copy(order="C"), False


def _refuse_foreign_codes(codes: Array, fmt: Format) -> None:
    low, high = (fmt.min, fmt.max) if isinstance(fmt, IntFormat) else (0, (1 << fmt.bits) - 1)
    given = np.iinfo(codes.dtype)
    if codes.size == 0 or (low <= given.min and given.max <= high):
        return
    for found in (int(codes.min()), int(codes.max())):
        if not low <= found <= high:
            raise ValueError(f"{found} is no code of {fmt}; allowed: {low} to {high}")
