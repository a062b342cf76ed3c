"""The Tensor Engine: matrix products as the systolic array adds them."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from halfulp.dtypes import FP32, TF32, FloatFormat, Format, IntFormat
from halfulp.engines.convolution import Pair, Window, convolve
from halfulp.engines.datapath import Datapath, datapath
from halfulp.engines.general_products import check_stored, fit, general_product
from halfulp.engines.instructions import check_tile, issues
from halfulp.engines.memory import target
from halfulp.engines.operands import (
    NO_COUNTS,
    Counts,
    Floats,
    UnsupportedFormat,
    as_format,
    broadcast_shape,
    open_floats,
)
from halfulp.engines.outlines import is_outline, result_of
from halfulp.engines.products import (
    Cast,
    Exit,
    Packed,
    batched_product,
    cast_of,
    flat_product,
)
from halfulp.engines.systolic import PSUM_RAW
from halfulp.engines.tensor_operands import (
    extent,
    is_vector,
    open_left,
    open_psum,
    open_right,
    pack_scaled,
    right_format,
    scale_of,
    way_out,
)
from halfulp.engines.tensor_records import record_product, record_work
from halfulp.engines.transposition import transpose

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore


@dataclass(frozen=True)
class TensorEngine:
    """128 x 128 systolic array: operands cast on their way in, sums in fp32, row after row.

    Source: neuron-core-v1.rst, neuron-core-v2.rst, trainium_inferentia2_arch.rst (shapes, formats,
    fp32 sums: documented); order and start of the sums, one rounding a step:
    docs/numerics.md, "Tensor Engine" (derived and assumed). What each operation issues, and its
    cost: `engines.instructions`.
    """

    core: "NeuronCore"

    @property
    def formats(self) -> frozenset[Format]:
        """Operand formats, cFP8 aside."""
        return self.core.operands

    def check(self, a_format: Format | str, b_format: Format | str) -> None:
        """Raise UnsupportedFormat unless the array takes this pair of operand formats."""
        a, b = as_format(a_format), as_format(b_format)
        self.path(a, b)

    def path(self, a: Format, b: Format) -> Datapath:
        """How this pair of formats goes through the array.

        Raises UnsupportedFormat for a pair that it does not take.
        """
        known = self._paths.get((a, b))
        if known is not None:
            return known
        for fmt in (a, b):
            self.core.check_operand(fmt)
        if isinstance(a, IntFormat) != isinstance(b, IntFormat):
            raise UnsupportedFormat(
                f"{a.name} x {b.name}: an integer operand pairs with an integer operand only"
            )
        wide = {FP32, TF32}
        if isinstance(a, FloatFormat) and (a in wide) != (b in wide):
            raise UnsupportedFormat(
                f"{a.name} x {b.name}: fp32 and tf32 pair with fp32 and tf32 only"
                " (nki.isa nc_matmul)"
            )
        found = self._paths[a, b] = datapath(self.core, a, b)
        return found

    @cached_property
    def _paths(self) -> dict[tuple[Format, Format], Datapath]:
        """Pairs that have passed `check`."""
        return {}

    def pack(
        self, b: Any, b_format: Format | str, *, scale: Any = 1.0, transposed: bool = False,
        stored: Format | str | None = None,
    ) -> Packed:  # fmt: skip
        """Cast a right operand and lay it out once, for use in many products.

        b       (K, N), or (N, K) with `transposed`
        scale   b is multiplied by it before the cast: a float, or (N,) floats
        stored  the format in which b lies in memory, by default `b_format`: "int8" for weight-only
                quantization, whose codes times `scale` are computed in `b_format` (documented:
                nxd-inference, int8 weights in bf16). Only bytes depend on it

        Raises UnsupportedFormat for a format that the array does not take, ValueError for a wrong
        shape and for a b of other values than `stored` has.
        """
        fmt = as_format(b_format)
        passes = self.path(fmt, fmt).passes
        array, _ = open_floats(b)
        if array.ndim != 2:
            raise ValueError(
                f"b has shape {array.shape}; needed: (K, N), or (N, K) with transposed=True"
            )
        kept = fmt if stored is None else as_format(stored)
        if kept != fmt:
            self.core.check_operand(kept)
            check_stored(array, kept)
        packed = pack_scaled(array, fmt, passes, scale, transposed, "scale")
        return packed if kept == fmt else replace(packed, stored=kept)

    def matmul(
        self, a: Any, b: Any, *, a_format: Format | str, b_format: Format | str | None = None,
        out_format: Format | str = FP32, bias: Any = None, a_scale: float = 1.0, b_scale: Any = 1.0,
        rescale: Any = None, transpose_b: bool = False, out: Any = None,
    ) -> Any:  # fmt: skip
        """a @ b with both operands cast, added in the array's order.

        That order: K tiles of 128 rows, each a chain of fused multiply-adds from +0, added to the
        sum one tile after the other.

        a         (..., M, K), multiplied by `a_scale`, rounded to `a_format`
        b         (..., K, N), or (..., N, K) with `transpose_b`, or a `Packed`; likewise with
                  `b_scale`, a float or (N,) floats, and `b_format`: by default a_format, or that
                  of the `Packed`
        rescale   None, a float or (N,): the sum is multiplied by it, rounded to fp32
        bias      None, a float or (N,): then added, rounded to fp32; then rounded to `out_format`
        returns   (..., M, N) float32; int32 for int8 x int8 without rescale, bias and out_format;
                  `out` if that is given: of that shape and type, not overlapping a, b;
                  C-contiguous, but that the rows of a batch of one or two axes, each item with a b
                  of its own, may lie apart

        fp32 takes four passes a tile; int8 x int8 sums exactly in int32, which wraps (assumed);
        int16 and int32 take the compiler's fp32 path. NaN results are canonical. K = 0 gives zeros.
        Fields of the core (`accumulation`, `fp32_passes`, `integer_matmul`) change each of these.

        Raises UnsupportedFormat for formats the core does not take, ValueError for shapes that do
        not match, TypeError for scales that are no numbers.
        """
        a_fmt = as_format(a_format)
        b_fmt = right_format(b, b_format, a_fmt)
        path = self.path(a_fmt, b_fmt)
        first = scale_of(a_scale, "a_scale")
        second = 1.0 if is_vector(b_scale) else scale_of(b_scale, "b_scale")
        right = open_right(b, b_fmt, b_scale, transpose_b)
        left, give = open_left(a, a_fmt, first, right, path)
        lead, depth, width = extent(right, transpose_b)
        if left.ndim < 2 or left.shape[-1] != depth:
            given = f"a has shape {left.shape}, b {depth} x {width}"
            raise ValueError(f"{given}; needed: a of (..., M, {depth})")
        exit_ = way_out(self.core, path, width, rescale, bias, out_format)
        outer = left.shape[:-2]
        batch = outer if outer == lead or not lead else broadcast_shape(a=outer, b=lead)
        raw = exit_.psum == PSUM_RAW
        shape = (*batch, left.shape[-2], width)
        dtype = np.dtype(np.int32 if raw else np.float32)
        once = is_vector(b_scale) or prod(lead) == 1
        gaps = not isinstance(right, Packed) and not once and len(batch) <= 2
        known = right.high if isinstance(right, Packed) else right
        if out is None:
            place = result_of(shape, left, known, dtype=dtype)
        else:
            place = target(out, shape, dtype, gaps, left, right)
        if not isinstance(right, Packed) and once:
            right = self._pack_once(right, b_fmt, b_scale, transpose_b)
        second = 1.0 if isinstance(right, Packed) else second
        casts = (
            cast_of(a_fmt, first, path.passes, "a_scale"),
            cast_of(b_fmt, second, path.passes, "b_scale"),
        )
        counts = self.run_product(left, right, transpose_b, casts, exit_, path, place)
        stored = right.stored if isinstance(right, Packed) else None
        formats = a_fmt, stored or b_fmt, as_format("int32" if raw else out_format)
        shapes = left.shape, (*lead, depth, width), place.shape
        record_product(shapes, formats, counts, path)
        return give(place) if out is None else out

    def run_product(
        self, a: Floats, b: Packed | Floats, turned: bool, casts: tuple[Cast, Cast], exit_: Exit,
        path: Datapath, out: Any,
    ) -> Counts:  # fmt: skip
        """Into `out`, by the kernels of this path. Returns what the casts changed."""
        if is_outline(a, b.high if isinstance(b, Packed) else b):
            return NO_COUNTS
        if isinstance(b, Packed):
            b = fit(b, path.passes)
        if path.sums is not None:
            return general_product(a, b, turned, casts, exit_, path, out)
        if isinstance(b, Packed):
            return flat_product(a, casts[0], b, exit_, out) + b.counts
        return batched_product(a, b, turned, casts, exit_, out)

    def _pack_once(self, b: Floats, fmt: Format, scale: Any, transposed: bool) -> Packed:
        """A right operand that is one matrix, whatever its leading axes."""
        flat = b.reshape(b.shape[-2:]) if prod(b.shape[:-2]) == 1 else b
        if is_vector(scale) and flat.ndim > 2:
            raise ValueError("b_scale of shape (N,) needs a two-dimensional b")
        passes = self.path(fmt, fmt).passes
        return pack_scaled(flat, fmt, passes, scale, transposed, "b_scale")

    def nc_matmul(
        self, stationary: Any, moving: Any, psum: Any = None, *, stationary_format: Format | str,
        moving_format: Format | str | None = None,
    ) -> Any:  # fmt: skip
        """One instruction: stationary.T @ moving, into one bank of PSUM or onto what it holds.

        stationary   (K, M), K <= 128, M <= 128
        moving       (K, N), N <= 512; of `stationary_format` by default
        psum         None, or (M, N): what the bank holds, float32; integers for int8 x int8
        returns      (M, N) float32, int32 for int8 x int8: what the bank holds then

        Several in a row, each given what the one before returned, are a `matmul` of all their rows.

        Raises UnsupportedFormat for formats the core does not take, ValueError for shapes that one
        instruction does not take.
        """
        left, give = open_floats(stationary)
        right, _ = open_floats(moving)
        check_tile(left.shape, right.shape)
        first = as_format(stationary_format)
        second = first if moving_format is None else as_format(moving_format)
        path = self.path(first, second)
        exit_ = way_out(self.core, path, right.shape[1], None, None, FP32)
        raw = exit_.psum == PSUM_RAW
        place = np.empty((left.shape[1], right.shape[1]), np.int32 if raw else np.float32)
        held = open_psum(psum, (left.shape[1], right.shape[1]), path)
        casts = cast_of(first, 1.0, path.passes), cast_of(second, 1.0, path.passes)
        counts = general_product(left.T, right, False, casts, exit_, path, place, held)
        formats = first, second, as_format("int32" if raw else "fp32")
        shapes = left.shape, right.shape, place.shape
        issued = issues(left.shape[1], left.shape[0], right.shape[1], path.cost)
        record_work(
            "nc_matmul", shapes, formats, counts, issued, path, macs=right.size * left.shape[1]
        )
        return give(place)

    def transpose(self, x: Any, fmt: Format | str) -> Any:
        """x with its last two axes exchanged, as a product with an identity matrix.

        x (..., P, F), rounded to `fmt`, a float format; returns (..., F, P) float32.

        128 rows of x at a time, and all their 128 products are added: a NaN or an infinity makes
        NaN of its column in these rows (documented: nki.isa nc_transpose), and -0 becomes +0 (from
        the sums' start). `DmaEngine.transpose` changes no value.

        Raises UnsupportedFormat for a format the array does not take, ValueError for fewer axes.
        """
        return transpose(self, x, fmt)

    def conv2d(
        self, x: Any, weight: Any, *, a_format: Format | str, b_format: Format | str | None = None,
        out_format: Format | str = FP32, bias: Any = None, a_scale: float = 1.0, b_scale: Any = 1.0,
        rescale: Any = None, stride: int | Pair = 1, padding: int | Pair = 0,
        dilation: int | Pair = 1, groups: int = 1,
    ) -> Any:  # fmt: skip
        """The convolution of torch.nn.functional.conv2d, as a matmul.

        x         (N, C, H, W), multiplied by `a_scale`, rounded to `a_format`
        weight    (O, C / groups, R, S), likewise with `b_scale`, a float or (O,) floats, and
                  `b_format`
        returns   (N, O, height, width) as `matmul` returns it: `rescale`, `bias`, a float or (O,),
                  and `out_format` are the same

        The rows of the product are the places of the result; its K axis has the channels, then R,
        then S (assumed: the order of torch.nn.functional.unfold), cut into tiles as `matmul` cuts
        it. x is cast, and counted, once. Padding is +0.

        Raises UnsupportedFormat for formats the core does not take, ValueError for shapes that do
        not match.
        """
        first = as_format(a_format)
        formats = first, first if b_format is None else as_format(b_format)
        window = Window.of(np.shape(weight)[2:], stride, padding, dilation)
        leave = rescale, bias, out_format
        return convolve(self, x, weight, window, groups, formats, (a_scale, b_scale), leave)
