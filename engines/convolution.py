"""Two-dimensional convolutions as products of the Tensor Engine."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from halfulp.dtypes import Format
from halfulp.engines.general_products import entered
from halfulp.engines.instructions import product
from halfulp.engines.operands import Counts, Floats, as_format, open_floats
from halfulp.engines.products import Exit, cast_of
from halfulp.engines.systolic import PSUM_RAW
from halfulp.engines.tensor_operands import column_vector, pack_scaled, scale_of, way_out
from halfulp.engines.tensor_records import record_work

if TYPE_CHECKING:
    from halfulp.engines.tensor import TensorEngine

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Which elements of an image meet a kernel: each field (along H, along W)."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    @classmethod
    def of(cls, kernel: Pair, stride: Any, padding: Any, dilation: Any) -> "Window":
        """Raises ValueError for a step below 1 and for negative padding, TypeError for others."""
        return cls(
            kernel,
            _pair(stride, "stride", 1),
            _pair(padding, "padding", 0),
            _pair(dilation, "dilation", 1),
        )

    @property
    def span(self) -> Pair:
        """Rows and columns of an image from a kernel's first element to its last."""
        height, width = (
            step * (size - 1) + 1 for size, step in zip(self.kernel, self.dilation, strict=True)
        )
        return height, width

    def columns(self, x: Floats) -> tuple[Floats, Pair]:
        """x (N, C, H, W) as (N, height * width, C * R * S), and (height, width).

        Raises ValueError for an image smaller than the kernel.
        """
        padded = np.pad(x, ((0, 0), (0, 0), *((one, one) for one in self.padding)))
        if any(size < span for size, span in zip(padded.shape[2:], self.span, strict=True)):
            raise ValueError(
                f"x has shape {x.shape}, with padding {padded.shape[2:]}; the kernel spans"
                f" {self.span}"
            )
        views = np.lib.stride_tricks.sliding_window_view(padded, self.span, (2, 3))
        (down, right), (over, along) = self.stride, self.dilation
        taken = views[:, :, ::down, ::right, ::over, ::along].transpose(0, 2, 3, 1, 4, 5)
        items, height, width, *depth = taken.shape
        return taken.reshape(items, height * width, prod(depth)), (height, width)


def _pair(value: Any, name: str, least: int) -> Pair:
    both: tuple[Any, ...] = tuple(value) if np.ndim(value) else (value, value)
    words = f"{name}={value!r}; needed: an integer from {least} on, or two"
    if not all(_is_integer(one) for one in both):
        raise TypeError(words)
    if len(both) != 2 or any(one < least for one in both):
        raise ValueError(words)
    return int(both[0]), int(both[1])


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


@dataclass(frozen=True)
class _Operands:
    """Both operands, their groups checked."""

    x: Floats
    weight: Floats
    groups: int

    def __post_init__(self) -> None:
        if not _is_integer(self.groups):
            raise TypeError(f"groups={self.groups!r}; needed: an integer from 1 on")
        given = f"x has shape {self.x.shape}, weight {self.weight.shape}"
        if self.x.ndim != 4 or self.weight.ndim != 4:
            raise ValueError(f"{given}; needed: (N, C, H, W) and (O, C / groups, R, S)")
        if self.groups < 1 or self.weight.shape[0] % self.groups:
            raise ValueError(f"{given}; groups={self.groups} must divide O={len(self.weight)}")
        if not self.weight.size:
            raise ValueError(f"{given}; needed: a weight of at least one element")
        if self.x.shape[1] != self.weight.shape[1] * self.groups:
            raise ValueError(
                f"{given}, groups={self.groups}; needed: C={self.weight.shape[1] * self.groups}"
            )

    def rows(self, outputs: slice) -> Floats:
        """Weights of some outputs, as (outputs, K)."""
        return self.weight[outputs].reshape(outputs.stop - outputs.start, -1)

    def group(self, index: int) -> tuple[slice, slice]:
        """Channels and columns of a group."""
        depth, width = self.weight.shape[1], len(self.weight) // self.groups
        return (
            slice(index * depth, (index + 1) * depth),
            slice(index * width, (index + 1) * width),
        )


def convolve(
    engine: "TensorEngine", x: Any, weight: Any, window: Window, groups: int,
    formats: tuple[Format, Format], scales: tuple[float, Any],
    leave: tuple[Any, Any, Format | str],
) -> Any:  # fmt: skip
    """`TensorEngine.conv2d`; leave = (rescale, bias, out_format)."""
    image, give = open_floats(x)
    given = _Operands(image, open_floats(weight)[0], groups)
    path, width = engine.path(*formats), len(given.weight)
    exit_ = way_out(engine.core, path, width, *leave)
    # an element is counted as it comes, not as often as it meets the kernel
    first = cast_of(formats[0], scale_of(scales[0], "a_scale"), 1, "a_scale")
    values, counts = entered(image, first)
    scale = column_vector(scales[1], width, "b_scale") if np.ndim(scales[1]) else scales[1]
    casts = cast_of(formats[0], 1.0, path.passes), cast_of(formats[1], 1.0, path.passes)
    parts, shape = [], (0, 0)
    for index in range(groups):
        channels, outputs = given.group(index)
        columns, shape = window.columns(values[0][:, channels])
        factor = scale[outputs] if np.ndim(scale) else scale
        rows, passes = given.rows(outputs), engine.path(formats[1], formats[1]).passes
        packed = pack_scaled(rows, formats[1], passes, factor, True, "b_scale")
        part = np.empty((*columns.shape[:2], packed.width), _type(exit_))
        found = engine.run_product(columns, packed, False, casts, exit_.part(outputs), path, part)
        counts = counts + found - _seen(columns)
        parts.append(part)
    joined = np.concatenate(parts, axis=2).swapaxes(1, 2)
    out = np.ascontiguousarray(joined).reshape(len(image), width, *shape)
    depth, places = given.weight[0].size, len(image) * shape[0] * shape[1]
    issued = product(places, depth, width // groups, path.cost, groups)
    named = *formats, as_format("int32" if exit_.psum == PSUM_RAW else leave[2])
    shapes = image.shape, given.weight.shape, out.shape
    record_work("conv2d", shapes, named, counts, issued, path, macs=out.size * depth)
    return give(out)


def _type(exit_: Exit) -> type[np.generic]:
    return np.int32 if exit_.psum == PSUM_RAW else np.float32


def _seen(columns: Floats) -> Counts:
    """What the columns' cast counts again: their NaN and infinities."""
    specials = np.count_nonzero(np.isnan(columns)), np.count_nonzero(np.isinf(columns))
    return np.array([0, 0, *specials], np.int64)
