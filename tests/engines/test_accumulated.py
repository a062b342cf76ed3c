"""`matmul` in any accumulation equals its exact reference, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings

from halfulp.dtypes import BF16, FP16, FloatFormat, Rounding
from halfulp.dtypes.rounding import DETERMINISTIC
from halfulp.engines import Accumulation, matmul, reference_accumulation
from tests.engines.accumulations import Case, cases


def check(case: Case) -> None:
    found = matmul(
        case.a,
        case.b,
        case.c,
        accumulation=case.accumulation,
        a_format=case.a_format,
        b_format=case.b_format,
        out_format=case.out_format,
    )
    wanted = reference_accumulation.matmul(
        case.a,
        case.b,
        case.c,
        case.accumulation,
        case.a_format,
        case.b_format,
        out_format=case.out_format,
    )
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    kind = np.uint32 if found.dtype == np.float32 else found.dtype
    np.testing.assert_array_equal(found.view(kind), wanted.view(kind))


@given(cases())
def test_the_kernel_equals_the_reference(case: Case) -> None:
    check(case)


@pytest.mark.deep
@settings(max_examples=20_000)
@given(cases())
def test_the_kernel_equals_the_reference_deeply(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("fmt", [BF16, FP16, FloatFormat(8, 4), FloatFormat(6, 9)], ids=str)
def test_a_tie_sees_what_lies_far_below_it(fmt: FloatFormat, rounding: Rounding) -> None:
    how = Accumulation(accumulator=fmt, rounding=rounding)
    steps, rng = 1 << fmt.mantissa_bits, np.random.default_rng(3)
    # (1 + i/steps) * (1 + j/steps) is a tie where i * j is steps / 2 modulo steps
    pairs = [(i, j) for i in range(1, steps) for j in range(1, 33) if i * j % steps == steps // 2]
    chosen = rng.choice(np.array(pairs), 40)
    factors = (1 + chosen / steps).astype(np.float32)
    x, y = factors[:, 0], factors[:, 1]
    signs = rng.choice(np.array([-1, 1], np.float32), (2, 40))
    below = np.float32(fmt.smallest_subnormal)
    a = np.stack([signs[0] * below, signs[1] * x], 1)
    b = np.stack([np.ones_like(y), y])
    found = matmul(a, b, accumulation=how, a_format=fmt)
    wanted = reference_accumulation.matmul(a, b, None, how, fmt, fmt)
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))
