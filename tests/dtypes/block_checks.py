"""Inputs at the boundaries of block formats, and the check against exact fractions."""

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import (
    BLOCK_FORMATS,
    E4M3FN,
    E8M0FNU,
    INT8,
    BlockFormat,
    FloatFormat,
    IntFormat,
    ScaleRule,
    decode_blocks,
    encode_blocks,
    reference_blocks,
    round_to_blocks,
)
from tests.dtypes.opinion import bits
from tests.strategies import float32_boundaries

Array = npt.NDArray[Any]

POWERS = {name: fmt for name, fmt in BLOCK_FORMATS.items() if fmt.has_power_scale}
#: Corners: no multiple of a vector, one element, wide blocks, both kinds of scales, other elements.
ODD = [
    BlockFormat(E4M3FN, 5, E8M0FNU),
    BlockFormat(FloatFormat(5, 2, bias=18), 48, E8M0FNU),
    BlockFormat(FloatFormat(3, 0), 1, E8M0FNU),
    BlockFormat(IntFormat(2), 17, E8M0FNU),
    BlockFormat(INT8, 16, E8M0FNU),
    BlockFormat(E4M3FN, 3, E4M3FN, tensor_scale=True),
    BlockFormat(FloatFormat(4, 3), 64, E4M3FN),
    BlockFormat(FloatFormat(5, 2), 33, E4M3FN, tensor_scale=True),
]
SMALL = [*BLOCK_FORMATS.values(), *ODD]
#: Ends of the scales' and of float32's range, what lies between, and past them.
EXPONENTS = (-149, -140, -128, -127, -126, -100, -1, 0, 1, 64, 112, 119, 126, 127)


def rules_of(fmt: BlockFormat) -> list[ScaleRule | None]:
    return list(ScaleRule) if fmt.has_power_scale else [None]


def check(
    x: Array, fmt: BlockFormat, rule: ScaleRule | None = None, tensor: float | None = None
) -> None:
    """Codes, scales, tensor scale and decoded values of rows of numbers are the exact ones."""
    rows = x.reshape(-1, x.shape[-1])
    found = encode_blocks(x, fmt, scale_rule=rule, tensor_scale=tensor)
    codes, scales, scale = _exact(rows, fmt, rule or ScaleRule.FLOOR, tensor)
    assert (found.tensor_scale is not None) == fmt.tensor_scale
    if fmt.tensor_scale:
        assert found.tensor_scale is not None and float(found.tensor_scale) == scale
    assert found.scales.reshape(scales.shape).tolist() == scales.tolist()
    got = found.codes.reshape(codes.shape)
    wrong = np.argwhere(got != codes)
    assert not wrong.size, [
        f"{fmt} {rule}: {rows[r, i].item().hex()} -> {got[r, i]}, not {codes[r, i]}"
        for r, i in wrong[:5]
    ]
    check_decoded(found.codes, found.scales, fmt, found.tensor_scale)
    whole = round_to_blocks(x, fmt, scale_rule=rule, tensor_scale=tensor)
    assert (bits(whole) == bits(decode_blocks(found, fmt))).all()


def check_decoded(codes: Array, scales: Array, fmt: BlockFormat, tensor: Any = None) -> None:
    found = decode_blocks((codes, scales, tensor)[: 2 + fmt.tensor_scale], fmt)
    assert found.dtype == np.float32 and found.shape == codes.shape
    scale = Fraction(1) if tensor is None else Fraction(float(tensor))
    size = fmt.block_size
    rows, factors = codes.reshape(-1, codes.shape[-1]), scales.reshape(-1, scales.shape[-1])
    wanted = [
        [
            number
            for index, factor in enumerate(factor_row.tolist())
            for number in reference_blocks.decode_block(
                row[index * size : (index + 1) * size].tolist(), factor, fmt, scale
            )
        ]
        for row, factor_row in zip(rows, factors, strict=True)
    ]
    exact = np.array(wanted, np.float64).astype(np.float32).reshape(codes.shape)
    exact[np.isnan(exact)] = np.nan
    wrong = np.argwhere(bits(found) != bits(exact))
    assert not wrong.size, [(tuple(at), found[tuple(at)], exact[tuple(at)]) for at in wrong[:5]]


def _exact(
    rows: Array, fmt: BlockFormat, rule: ScaleRule, tensor: float | None
) -> tuple[Array, Array, Fraction]:
    size = fmt.block_size
    blocks = [
        [row[start : start + size].tolist() for start in range(0, len(row), size)] for row in rows
    ]
    scale = Fraction(1) if tensor is None else Fraction(tensor)
    if fmt.tensor_scale and tensor is None:
        maxima = [reference_blocks.block_maximum(block) for row in blocks for block in row]
        scale = reference_blocks.tensor_scale_of(maxima, fmt)
    found = [
        [reference_blocks.encode_block(block, fmt, rule, scale) for block in row] for row in blocks
    ]
    codes = [[code for part, _ in row for code in part] for row in found]
    return np.array(codes), np.array([[code for _, code in row] for row in found]), scale


def element_points(fmt: BlockFormat) -> npt.NDArray[np.float64]:
    """Values of the element, ties, and float32 neighbours of both, inside its largest binade."""
    element = fmt.element
    if isinstance(element, FloatFormat):
        points = float32_boundaries(element).astype(np.float64)
        points = points[np.isfinite(points)]
    else:
        places = np.arange(2 * element.max + 3) / 2 * fmt.element_unit
        single = places.astype(np.float32)
        near = [np.nextafter(single, np.float32(end)) for end in (-np.inf, np.inf)]
        points = np.concatenate([places, *near]).astype(np.float64)
        points = np.concatenate([points, -points])
    return points[np.abs(points) < 2.0 ** (fmt.element_emax + 1)]


def led_blocks(fmt: BlockFormat, exponent: int) -> npt.NDArray[np.float64]:
    """Full blocks of points times 2^exponent, each led by the element's largest value."""
    points = element_points(fmt)
    size = max(fmt.block_size - 1, 1)
    padded = np.concatenate([points, np.zeros(-len(points) % size)]).reshape(-1, size)
    leader = np.full((len(padded), 1), fmt.element_max)
    block = np.concatenate([padded, leader], axis=1)
    for row in range(len(block)):  # the leader stands everywhere in turn
        block[row] = np.roll(block[row], row)
    return np.ldexp(block, exponent)


def as_float32(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    with np.errstate(all="ignore"):
        return x.astype(np.float32)


def block_maxima(fmt: BlockFormat) -> npt.NDArray[np.float64]:
    """Magnitudes at which a rule changes its exponent, and the neighbours of each."""
    fraction = np.ldexp(1.0, -fmt.element_fraction_bits)
    top = float(np.ldexp(fmt.element_max, -fmt.element_emax))
    places = np.array([1.0, 2 - fraction / 2, 2 - fraction, top, top / 2 + 0.5, 1.5])
    exact = np.ldexp(places, np.arange(-150, 129)[:, None]).ravel()
    single = as_float32(exact)
    beside = [np.nextafter(single, np.float32(end)) for end in (-np.inf, np.inf)]
    finer = [np.nextafter(exact, end) for end in (-np.inf, np.inf)]
    return np.unique(np.abs(np.concatenate([exact, single, *beside, *finer])))


def quotient_rows(fmt: BlockFormat, tensor: float) -> npt.NDArray[np.float32]:
    """Blocks for a given tensor scale: maxima at the ties of scales, elements at and beside ties.

    Beside a tie a float32 quotient can be the tie itself, although the exact one is not.
    """
    assert isinstance(fmt.element, FloatFormat)
    scales = np.array([1, 2, 7, 8, 9, 25, 53, 56, 57, 59, 60, 64, 77, 100, 111, 125, 126])
    ties = element_points(fmt)
    ties = np.unique(np.abs(ties[np.mod(ties * 2.0**20, 1) == 0]))
    ties = ties[:: 1 + len(ties) // 50]
    rows = []
    for code in scales:
        value = float(np.ldexp(8 + code % 8 if code > 7 else code % 8, max(code // 8, 1) - 10))
        divisor = Fraction(float(as_float32(np.array(value * tensor))))
        leader = as_float32(np.array(value * fmt.element_max * tensor))
        exact = np.array([float(Fraction(float(tie)) * divisor) for tie in ties])
        single = as_float32(exact)
        near = [np.nextafter(single, np.float32(end)) for end in (-np.inf, np.inf)]
        row = np.concatenate([single, *near])
        row = row[row < leader]
        size = max(fmt.block_size - 1, 1)
        row = np.concatenate([row, np.zeros(-len(row) % size, np.float32)]).reshape(-1, size)
        rows.append(np.insert(row, 0, leader, axis=1))
    far = np.resize(np.array([3e38, -1e30, 1e-3, -0.0], np.float32), (1, rows[0].shape[1]))
    return np.concatenate([*rows, far])
