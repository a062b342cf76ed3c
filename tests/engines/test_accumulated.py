"""`matmul` in any accumulation equals its exact reference, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings

from halfulp.engines import matmul, reference_accumulation
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
