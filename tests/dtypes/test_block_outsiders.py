"""Elements and scales are those of ml_dtypes and torch; the MX rule is OCP's, in float64."""

import math

import ml_dtypes
import numpy as np
import pytest
import torch

from halfulp.dtypes import BLOCK_FORMATS, MXINT8, BlockFormat, decode_blocks, encode_blocks
from tests.dtypes.block_checks import POWERS, Array, as_float32
from tests.dtypes.opinion import bits

KINDS = {
    "mxfp8_e4m3": ml_dtypes.float8_e4m3fn,
    "mxfp8_e5m2": ml_dtypes.float8_e5m2,
    "mxfp6_e3m2": ml_dtypes.float6_e3m2fn,
    "mxfp6_e2m3": ml_dtypes.float6_e2m3fn,
    "mxfp4": ml_dtypes.float4_e2m1fn,
    "nvfp4": ml_dtypes.float4_e2m1fn,
}


def inputs(size: int) -> Array:
    """Blocks of every magnitude that float32 has, most of their elements near the largest."""
    random = np.random.default_rng(5)
    spread = np.ldexp(random.standard_normal((2000, size)), random.integers(-9, 1, (2000, size)))
    powers = random.integers(-140, 125, (2000, 1))
    return as_float32(np.ldexp(spread, powers))


def shared_exponents(x: Array, fmt: BlockFormat) -> list[int]:
    """OCP MX 1.0, 6.3: the exponent of the largest magnitude less that of the largest element."""
    tops = [math.frexp(float(amax))[1] - 1 for amax in np.abs(x).max(axis=1)]
    return [min(max(top - fmt.element_emax, -127), 127) for top in tops]


@pytest.mark.parametrize("name", POWERS)
def test_mx_is_the_rule_of_ocp_with_the_elements_of_ml_dtypes(name: str) -> None:
    fmt = POWERS[name]
    x = inputs(fmt.block_size)
    found = encode_blocks(x, fmt)
    exponents = shared_exponents(x, fmt)
    assert found.scales[:, 0].tolist() == [127 + exponent for exponent in exponents]
    shares = np.ldexp(x.astype(np.float64), -np.array(exponents)[:, None])
    if fmt == MXINT8:
        wanted = np.clip(np.rint(shares * 64), -127, 127)
        assert (found.codes == wanted).all()
        return
    # a share is a float32, but for those too small to matter
    clipped = np.clip(shares, -fmt.element_max, fmt.element_max)
    assert (found.codes == as_float32(clipped).astype(KINDS[name]).view(np.uint8)).all()


@pytest.mark.parametrize("name", KINDS)
def test_decoded_values_are_products_of_theirs(name: str) -> None:
    fmt = BLOCK_FORMATS[name]
    random = np.random.default_rng(6)
    codes = random.integers(0, 1 << fmt.element.bits, (512, fmt.block_size)).astype(np.uint8)
    scales = np.arange(512).astype(np.uint8)[:, None]
    kind = ml_dtypes.float8_e8m0fnu if fmt.has_power_scale else ml_dtypes.float8_e4m3fn
    with np.errstate(all="ignore"):
        elements, factors = (
            part.view(of).astype(np.float64) for part, of in ((codes, KINDS[name]), (scales, kind))
        )
        exact = as_float32(elements * factors * 0.75)
    exact[np.isnan(exact)] = np.nan
    if fmt.has_power_scale:
        exact = as_float32(elements * factors)
        exact[np.isnan(exact)] = np.nan
        assert (bits(decode_blocks((codes, scales), fmt)) == bits(exact)).all()
    else:
        assert (bits(decode_blocks((codes, scales, 0.75), fmt)) == bits(exact)).all()


def test_torch_reads_our_bytes() -> None:
    x = torch.from_numpy(inputs(32)[:200].copy())
    found = encode_blocks(x, "mxfp8_e4m3")
    values = decode_blocks(found, "mxfp8_e4m3")
    elements = found.codes.view(torch.float8_e4m3fn).to(torch.float64)
    factors = found.scales.view(torch.float8_e8m0fnu).to(torch.float64)
    assert (elements * factors).to(torch.float32).equal(values)
    assert 0 in found.scales
