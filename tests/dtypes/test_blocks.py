"""Block formats are exact: scales, elements and decoded values, at every boundary."""

from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import (
    BLOCK_FORMATS,
    E8M0FNU,
    MXFP4,
    MXFP8_E4M3,
    MXINT8,
    NVFP4,
    BlockFormat,
    IntFormat,
    ScaleRule,
    decode_blocks,
    encode_blocks,
    round_to_blocks,
)
from halfulp.dtypes.reference_blocks import scale_code
from tests.dtypes.block_checks import (
    EXPONENTS,
    POWERS,
    SMALL,
    Array,
    as_float32,
    block_maxima,
    check,
    check_decoded,
    led_blocks,
    quotient_rows,
    rules_of,
)
from tests.dtypes.opinion import bits

QUOTIENTS = [fmt for fmt in SMALL if not fmt.has_power_scale]
#: Both ends, where remainders are subnormal, and no power of two between.
TENSOR_SCALES = tuple(
    float(np.float32(scale))
    for scale in (2.0**-126, 1.3 * 2.0**-126, 1.7 * 2.0**-61, 2.0**-60, 1.0, 1.9 / 2688, 2.0**119)
)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_elements_are_exact_at_every_boundary(fmt: BlockFormat, exponent: int) -> None:
    blocks = led_blocks(fmt, exponent - fmt.element_emax)
    # at one exponent all of them, at the others enough to see the scale at work
    blocks = blocks[:: 1 if exponent == 0 else max(len(blocks) // 6, 1)]
    check(as_float32(blocks), fmt)
    check(np.nextafter(blocks, np.inf), fmt)


def test_large_blocks_are_exact() -> None:
    fmt = BlockFormat(IntFormat(5), 4096, E8M0FNU)
    x = np.random.default_rng(0).standard_normal((1, 4133))
    x[0, 4100] = np.nan
    check(as_float32(x), fmt)
    check(x, fmt)


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("rule", ScaleRule)
def test_scales_are_exact_at_every_exponent(name: str, rule: ScaleRule) -> None:
    fmt = POWERS[name]
    for maxima in (block_maxima(fmt), as_float32(block_maxima(fmt))):
        maxima = maxima[np.isfinite(maxima)]
        found = encode_blocks(maxima[:, None], fmt, scale_rule=rule).scales[:, 0].tolist()
        wanted = [scale_code(Fraction(amax), fmt, rule) for amax in maxima.tolist()]
        assert [
            (amax.hex(), code, exact)
            for amax, code, exact in zip(maxima.tolist(), found, wanted, strict=True)
            if code != exact
        ] == []


@pytest.mark.parametrize(
    "tensor",
    [*TENSOR_SCALES[:3], *(pytest.param(one, marks=pytest.mark.deep) for one in TENSOR_SCALES[3:])],
)
@pytest.mark.parametrize("fmt", [fmt for fmt in QUOTIENTS if fmt.tensor_scale], ids=str)
def test_quotients_are_exact_beside_every_tie(fmt: BlockFormat, tensor: float) -> None:
    rows = quotient_rows(fmt, tensor)
    check(rows, fmt, tensor=tensor)
    check(np.nextafter(rows.astype(np.float64), np.inf), fmt, tensor=tensor)


@pytest.mark.parametrize("fmt", QUOTIENTS, ids=str)
def test_tensor_scales_are_exact(fmt: BlockFormat) -> None:
    # a tie of float32 times the divisor, and its neighbours in float64
    unit = fmt.element_max * fmt.scale.max
    for exponent in (-127, -126, -125, 0, 30, 116):
        tie = (1 + 3 * 2.0**-24) * 2.0**exponent * unit
        for amax in (tie, np.nextafter(tie, 0), np.nextafter(tie, np.inf), 2.0**exponent * unit):
            check(np.array([[amax, -amax / 7]]), fmt)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_special_blocks_are_as_documented(fmt: BlockFormat, kind: type) -> None:
    size = fmt.block_size
    huge = np.finfo(kind).max
    for special in (np.nan, -np.nan, np.inf, -np.inf):
        x: Array = np.full((3, 2 * size), -1.5, kind)
        x[1, size] = special
        check(x, fmt)
        found = encode_blocks(x, fmt)
        assert found.scales[1].tolist()[1] == fmt.scale.nan_code
        assert not found.codes[1, size:].any()
        values = decode_blocks(found, fmt)
        assert (bits(values[1, size:]) == 0x7FC00000).all() and np.isfinite(values[1, :size]).all()
    smallest = 0 if fmt.has_power_scale else 1
    for zero in (0.0, -0.0):
        x = np.full((2, size), zero, kind)
        check(x, fmt)
        assert (encode_blocks(x, fmt).scales == smallest).all()
        if fmt != MXINT8:
            signed = not hasattr(fmt.element, "fits_float32")
            assert (np.signbit(round_to_blocks(x, fmt)) == (np.signbit(zero) and signed)).all()
    check(np.array([[huge, -huge, 1, 0]], kind), fmt)
    check(np.array([[np.finfo(kind).smallest_subnormal, 0]], kind), fmt)


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_every_code_with_every_scale_decodes(fmt: BlockFormat) -> None:
    integer = hasattr(fmt.element, "fits_float32")
    low = fmt.element.min if integer else 0
    codes = np.arange(1 << fmt.element.bits) + int(low)
    chosen = np.unique(np.r_[0:3, 126:131, 252:256, np.arange(0, 256, 51)]).astype(np.uint8)
    rows = np.tile(codes, (len(chosen), 1)).astype(np.int8 if integer else np.uint8)
    scales = np.repeat(chosen[:, None], -(-len(codes) // fmt.block_size), axis=1)
    for tensor in TENSOR_SCALES if fmt.tensor_scale else (None,):
        check_decoded(rows, scales, fmt, tensor)


def test_a_scale_byte_of_zero_is_two_to_the_minus_127() -> None:
    for value in (2e-38, 1e-40):
        x = np.full((1, 32), value, np.float32)
        found = encode_blocks(x, MXFP8_E4M3)
        assert found.scales.tolist() == [[0]]
        error = np.abs(decode_blocks(found, MXFP8_E4M3).astype(np.float64) - x)
        assert (error <= x * 2.0**-4).all()
        for rule in ScaleRule:
            values = round_to_blocks(x, MXFP8_E4M3, scale_rule=rule).astype(np.float64)
            assert (np.abs(values - x) <= x * 2.0**-4).all()


def test_a_block_worked_by_hand() -> None:
    x = np.array([7.0, 5.0, -1.25, 0.3, -0.0, 2.6], np.float32)
    found = encode_blocks(x, "mxfp4")
    # 7 is in the binade of 4, that of the largest element 6: the scale is 1, 7 saturates
    assert found.scales.tolist() == [127] and found.tensor_scale is None
    assert decode_blocks(found, "mxfp4").tolist() == [6.0, 4.0, -1.0, 0.5, -0.0, 3.0]
    ceil = round_to_blocks(x, "mxfp4", scale_rule="ceil")
    assert ceil.tolist() == [8.0, 4.0, -1.0, 0.0, -0.0, 3.0]
    whole = encode_blocks(np.array([1.0, -1.0, 127 / 64, -2.0 + 2**-8, 1 / 128]), "mxint8")
    assert whole.scales.tolist() == [127]
    assert whole.codes.tolist() == [64, -64, 127, -127, 0] and whole.codes.dtype == np.int8


def test_the_least_integer_element_decodes_though_none_is_made() -> None:
    codes = np.array([-128, -127, 127], np.int8)
    assert decode_blocks((codes, np.array([127])), MXINT8).tolist() == [-2.0, -127 / 64, 127 / 64]
    assert encode_blocks(np.array([-2 + 2.0**-20]), MXINT8).codes.tolist() == [-127]


def test_nvfp4_worked_by_hand() -> None:
    x = np.zeros((2, 16), np.float32)
    x[0, :3], x[1, :2] = (2688.0, -1344.0, 1.0), (6.0, 0.75)
    found = encode_blocks(x, NVFP4)
    assert found.tensor_scale == 1.0 and found.scales.tolist() == [[0x7E], [0x38]]
    assert found.codes[0, :3].tolist() == [7, 13, 0] and found.codes[1, :2].tolist() == [7, 2]
    values = decode_blocks(found, NVFP4)
    assert values[0, :3].tolist() == [2688.0, -1344.0, 0.0] and values[1, :2].tolist() == [6.0, 1.0]


@pytest.mark.parametrize("fmt", BLOCK_FORMATS.values(), ids=str)
def test_rounding_again_changes_nothing(fmt: BlockFormat) -> None:
    x = np.random.default_rng(1).standard_normal((8, 96)).astype(np.float32)
    once = round_to_blocks(x, fmt, tensor_scale=2.0**-9 if fmt.tensor_scale else None)
    again = round_to_blocks(once, fmt, tensor_scale=2.0**-9 if fmt.tensor_scale else None)
    if fmt.has_power_scale:
        assert (bits(once) == bits(again)).all()
    else:  # the largest number of a block may move its scale by a step
        assert (np.abs(once - again) <= np.abs(once) / 4).all()


@given(st.data())
def test_any_numbers_in_any_block_format(data: st.DataObject) -> None:
    fmt = data.draw(st.sampled_from(SMALL))
    width: Literal[32, 64] = data.draw(st.sampled_from([32, 64]))
    numbers = st.floats(width=width) | st.floats(-8, 8, width=width)
    size = data.draw(st.integers(1, 2 * fmt.block_size + 3))
    x = data.draw(st.lists(numbers, min_size=size, max_size=size))
    power = data.draw(st.integers(-130, 120))
    with np.errstate(all="ignore"):
        array = np.ldexp(np.array([x]), power).astype(f"f{width // 8}")
    rule = data.draw(st.sampled_from(rules_of(fmt)))
    tensor = data.draw(st.sampled_from([None, *TENSOR_SCALES])) if fmt.tensor_scale else None
    check(array, fmt, rule, tensor)


def test_rules_differ_where_they_say() -> None:
    cases = {
        6.0: {"floor": 6.0, "ceil": 6.0, "even": 6.0, "rceil": 6.0},
        6.5: {"floor": 6.0, "ceil": 6.0, "even": 6.0, "rceil": 6.0},
        7.0: {"floor": 6.0, "ceil": 8.0, "even": 8.0, "rceil": 8.0},
        4.0: {"floor": 4.0, "ceil": 4.0, "even": 4.0, "rceil": 4.0},
    }
    for amax, wanted in cases.items():
        x = np.array([amax])
        found = {rule: round_to_blocks(x, MXFP4, scale_rule=rule).item() for rule in ScaleRule}
        assert found == wanted, amax
    scales = {
        rule: encode_blocks(np.array([6.5]), MXFP4, scale_rule=rule).scales.item() - 127
        for rule in ScaleRule
    }
    assert scales == {"floor": 0, "ceil": 1, "even": 0, "rceil": 1}
