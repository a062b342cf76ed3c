"""Operands and ways out of the Tensor Engine's products, as they are given."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, INT8, Format
from halfulp.dtypes.containers import open_source
from halfulp.engines.accumulated import integer_input
from halfulp.engines.accumulation import IntegerAccumulator
from halfulp.engines.arrays import combine
from halfulp.engines.datapath import Datapath
from halfulp.engines.elementwise import AluOp
from halfulp.engines.operands import Floats, as_float_format, as_format, filled, open_floats
from halfulp.engines.products import Exit, Packed, cast_of, pack
from halfulp.engines.systolic import PSUM_FLOAT, PSUM_INTEGER, PSUM_PLAIN, PSUM_RAW

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore

_NOTHING = np.zeros(1, np.float32)
#: Sums that leave as they are: floats, and integers.
_PLAIN, _RAW = (Exit(psum, _NOTHING, _NOTHING, FP32) for psum in (PSUM_PLAIN, PSUM_RAW))


def right_format(b: Any, b_format: Format | str | None, a_format: Format) -> Format:
    if b_format is not None:
        return as_format(b_format)
    return b.fmt if isinstance(b, Packed) else a_format


def open_left(
    a: Any, fmt: Format, scale: float, right: Packed | Floats, path: Datapath
) -> tuple[npt.NDArray[Any], Callable[[Any], Any]]:
    """The left operand as float32, and what makes a result its kind of container.

    int8 stays what it is where the kernels multiply bytes.
    """
    bytes_ = isinstance(right, Packed) and right.sums is not None and path.integer
    if bytes_ and path.sums is None and fmt == INT8 and scale == 1.0:
        source = open_source(a)
        if source.array.dtype == np.int8 and source.codes_of is None:
            return source.array, source.give_back
    return open_floats(a)


def open_right(b: Any, fmt: Format, scale: Any, transposed: bool) -> Packed | Floats:
    """The right operand, packed or as an array of two axes or more."""
    if isinstance(b, Packed):
        if b.fmt != fmt:
            raise ValueError(f"b is packed as {b.fmt.name}; b_format={fmt.name} must be the same")
        if transposed or is_vector(scale) or scale != 1.0:
            raise ValueError(
                "b is packed: pack() took its scale and its order;"
                " leave b_scale and transpose_b away"
            )
        return b
    array = open_floats(b)[0]
    if array.ndim < 2:
        raise ValueError(f"b has shape {array.shape}; needed: at least two axes")
    return array


def extent(right: Packed | Floats, transposed: bool) -> tuple[tuple[int, ...], int, int]:
    """(leading axes, K, N) of a right operand."""
    if isinstance(right, Packed):
        return (), right.depth, right.width
    depth, width = right.shape[-2:][::-1] if transposed else right.shape[-2:]
    return right.shape[:-2], depth, width


def way_out(
    core: "NeuronCore", path: Datapath, width: int, rescale: Any, bias: Any,
    out_format: Format | str,
) -> Exit:  # fmt: skip
    """How the sums of `width` columns leave PSUM.

    Raises UnsupportedFormat for a format that no result has, ValueError for wrong shapes.
    """
    result = as_float_format(out_format, "out_format")
    core.check_result(result)
    if rescale is None and bias is None and result == FP32:
        return _RAW if path.integer else _PLAIN
    multiplier = column_vector(1.0 if rescale is None else rescale, width, "rescale")
    # x + -0 is x, also for -0
    shift = column_vector(-0.0 if bias is None else bias, width, "bias")
    psum = PSUM_INTEGER if path.integer else PSUM_FLOAT
    return Exit(psum, multiplier, shift, result)


def is_vector(scale: Any) -> bool:
    """Whether these are several scales."""
    return type(scale) is not float and np.ndim(scale) > 0


def scale_of(x: Any, name: str) -> float:
    """One scale for all elements.

    Raises ValueError for several, TypeError for what is no number, under its `name`.
    """
    if type(x) is float:
        return x
    if is_vector(x):
        raise ValueError(f"{name} has shape {tuple(np.shape(x))}; needed: one number")
    try:
        if not isinstance(x, str):
            return float(x)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"{name}={x!r}; needed: a number")


def pack_scaled(
    b: Floats, fmt: Format, passes: int, scale: Any, transposed: bool, name: str
) -> Packed:
    """A right operand of two axes, multiplied by its scales, a number or one each column; packed.

    Raises TypeError, ValueError for other scales, under their `name`.
    """
    factor = 1.0
    if is_vector(scale):
        vector = column_vector(scale, b.shape[0 if transposed else 1], name)
        b, _ = combine(b, vector[:, None] if transposed else vector, AluOp.MULTIPLY, FP32)
    else:
        factor = scale_of(scale, name)
    return pack(b, cast_of(fmt, factor, passes, name), transposed)


def open_psum(psum: Any, shape: tuple[int, int], path: Datapath) -> npt.NDArray[Any] | None:
    """What a bank of PSUM holds: floats, or integers where those are added.

    Raises TypeError, ValueError for what it does not hold.
    """
    if psum is None:
        return None
    accumulator = path.general.accumulator
    if path.integer and isinstance(accumulator, IntegerAccumulator):
        held = integer_input(psum, accumulator, "psum")
    else:
        held = _named_floats(psum, "psum")
    if held.shape != shape:
        raise ValueError(f"psum has shape {held.shape}; the product {shape}")
    return held


def _named_floats(x: Any, name: str) -> Floats:
    try:
        return open_floats(x)[0]
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None


def column_vector(x: Any, width: int, name: str) -> Floats:
    """A number, repeated, or (width,) numbers, as contiguous float32."""
    if isinstance(x, int | float):
        return filled(width, x)
    array = _named_floats(x, name)
    if array.ndim == 0:
        return np.full(width, array, np.float32)
    if array.shape != (width,):
        raise ValueError(f"{name} has shape {array.shape}; needed: a number or ({width},)")
    return np.ascontiguousarray(array)
