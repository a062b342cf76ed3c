"""Block formats give the same bits whatever the process does: flushed subnormals, raised errors."""

import os
import subprocess
import sys

import numpy as np
import pytest

from halfulp.dtypes import (
    BlockFormat,
    decode_blocks,
    encode_blocks,
)
from tests.dtypes.block_checks import SMALL, Array, as_float32, led_blocks, quotient_rows
from tests.dtypes.opinion import bits
from tests.dtypes.test_environment import flushing


def results(inputs: list[Array], fmt: BlockFormat) -> list[bytes]:
    """Codes, scales, tensor scale and decoded values."""
    found: list[bytes] = []
    for x in inputs:
        encoded = encode_blocks(x, fmt)
        found += [encoded.codes.tobytes(), encoded.scales.tobytes()]
        found += [bits(np.asarray(encoded.tensor_scale or 1.0, np.float32)).tobytes()]
        found += [bits(decode_blocks(encoded, fmt)).tobytes()]
    return found


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_flushing_changes_no_block(fmt: BlockFormat) -> None:
    inputs: list[Array] = [
        kind(led_blocks(fmt, exponent)[:6])
        for exponent in (-150, -140, -130, -126, 0)
        for kind in (as_float32, np.asarray)
    ]
    if not fmt.has_power_scale:
        inputs.append(quotient_rows(fmt, 2.0**-126))
    wanted = results(inputs, fmt)
    with flushing():
        got = results(inputs, fmt)
    assert got == wanted


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_errors_set_to_raise_do_not(fmt: BlockFormat) -> None:
    x = np.array([[np.nan, 1, -np.inf, 3e38, 1e-45, 0]], np.float32)
    x = np.concatenate([x, np.full_like(x, 3e38), np.full_like(x, 1e-45)])
    wanted = results([x, x.astype(np.float64)], fmt)
    with np.errstate(all="raise"):
        assert results([x, x.astype(np.float64)], fmt) == wanted


def test_nothing_compiled_is_asked_for_by_importing() -> None:
    code = (
        "import sys, halfulp.dtypes as d;"
        "f = d.BlockFormat.parse('nvfp4'); f.name, d.ScaleRule('even');"
        "d.unpack(d.pack(__import__('numpy').arange(4), 'mxfp4'), 'mxfp4');"
        "assert not {'numba', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_compiled_code_it_says_so() -> None:
    code = "import numpy, halfulp.dtypes as d; d.encode_blocks(numpy.ones(32), 'mxfp4')"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 1 and b"unset NUMBA_DISABLE_JIT" in done.stderr
