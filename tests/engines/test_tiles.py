"""nc_matmul: one instruction and its limits; weights kept in fewer bits than they are computed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import BF16, INT8
from halfulp.engines import NEURONCORE_V1, NEURONCORE_V2, Ledger, UnsupportedFormat, recording
from halfulp.engines.presets import PRESETS
from tests.engines import opinion
from tests.engines.inputs import KINDS, OPERANDS, operands
from tests.engines.opinion import same

core = NEURONCORE_V2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OPERANDS)
def test_instructions_in_a_row_are_a_product(name: str, kind: str) -> None:
    """Each K tile's instruction onto what the bank holds."""
    fmt = OPERANDS[name]
    a, b = operands(kind, fmt, fmt, (13, 300, 40))
    held: Any = None
    for start in range(0, 300, 128):
        k = slice(start, start + 128)
        held = core.tensor.nc_matmul(a[:, k].T, b[k], held, stationary_format=fmt)
    assert same(held, core.tensor.matmul(a, b, a_format=fmt))


def test_instructions_in_a_row_in_another_accumulation() -> None:
    for name in ("neuroncore-assumed-chains2-truncated", "a100-wmma-bf16-fp32"):
        one = replace(core, accumulation=PRESETS[name].accumulation)
        a, b = operands("spread", BF16, BF16, (13, 256, 40))
        first = one.tensor.nc_matmul(a[:, :128].T, b[:128], stationary_format="bf16")
        both = one.tensor.nc_matmul(a[:, 128:].T, b[128:], first, stationary_format="bf16")
        assert same(both, one.tensor.matmul(a, b, a_format="bf16"))


def test_mixed_formats_and_the_record() -> None:
    a, b = operands("spread", OPERANDS["e4m3"], BF16, (64, 100, 300))
    with recording(Ledger()) as ledger:
        found = core.tensor.nc_matmul(a.T, b, stationary_format="e4m3", moving_format="bf16")
    assert same(found, opinion.matmul(a, b, OPERANDS["e4m3"], BF16))
    (record,) = ledger.records
    assert record.instruction == "nc_matmul"
    assert record.shapes == ((100, 64), (100, 300), (64, 300))
    assert record.formats == ("e4m3", "bf16", "fp32") and record.macs == 64 * 100 * 300
    assert record.bytes == 6400 + 60000 + 4 * 19200
    assert (record.cycles, ledger.issued()) == (300, {"LoadStationary": 1, "MultiplyMoving": 1})


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("stationary", "moving", "more", "words"),
    [
        (ones(129, 4), ones(129, 5), {}, r"K <= 128, M <= 128, N <= 512.*trainium_inferentia2"),
        (ones(4, 129), ones(4, 5), {}, "M <= 128"),
        (ones(4, 5), ones(4, 513), {}, "one bank of PSUM"),
        (ones(4, 5), ones(3, 5), {}, r"needed: \(K, M\) and \(K, N\)"),
        (ones(4, 5, 1), ones(4, 5), {}, r"needed: \(K, M\) and \(K, N\)"),
        (ones(4), ones(4, 5), {}, r"needed: \(K, M\)"),
        (ones(4, 5), ones(4, 6), {"psum": ones(6, 5)}, r"psum has shape \(6, 5\); .*\(5, 6\)"),
        (ones(4, 5), ones(4, 6), {"moving_format": "fp32"}, "bf16 x fp32.*nc_matmul"),
        (ones(4, 5), ones(4, 6), {"moving_format": "e4m3fn"}, "no e4m3fn"),
    ],
)
def test_limits(stationary: Any, moving: Any, more: dict[str, Any], words: str) -> None:
    with recording(Ledger()) as ledger, pytest.raises(ValueError, match=words):
        core.tensor.nc_matmul(stationary, moving, stationary_format="bf16", **more)
    assert len(ledger) == 0


def test_integer_psum_holds_integers() -> None:
    for wrong, words in (
        (np.full((5, 6), 0.5, np.float32), "psum has type float32; .*needs integers"),
        (np.full((5, 6), 2**31), "psum goes from 2147483648 to 2147483648; int32 holds"),
        (np.ones((6, 5), np.int32), r"psum has shape \(6, 5\); the product \(5, 6\)"),
    ):
        with pytest.raises(ValueError, match=words):
            core.tensor.nc_matmul(ones(4, 5), ones(4, 6), wrong, stationary_format="int8")
    held = np.full((5, 6), 2**31 - 1, np.int32)
    found = core.tensor.nc_matmul(ones(4, 5), ones(4, 6), held, stationary_format="int8")
    assert found.dtype == np.int32 and (found == -(2**31) + 3).all(), "int32 wraps"


def test_psum_of_another_kind_is_told_by_its_name() -> None:
    with pytest.raises(TypeError, match="psum: elements of type complex128 are not taken"):
        core.tensor.nc_matmul(
            ones(4, 5), ones(4, 6), np.ones((5, 6), complex), stationary_format="bf16"
        )


def test_an_older_core() -> None:
    with pytest.raises(UnsupportedFormat, match="NeuronCore-v1 has no fp32"):
        NEURONCORE_V1.tensor.nc_matmul(ones(4, 5), ones(4, 6), stationary_format="fp32")


def codes(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(3).integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize("name", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("transposed", [False, True])
def test_weights_in_int8_are_computed_in_a_float_format(name: str, transposed: bool) -> None:
    fmt = OPERANDS[name]
    a, _ = operands("spread", fmt, fmt, (13, 300, 40))
    weight, scale = codes((300, 40)), np.linspace(0.001, 0.02, 40, dtype=np.float32)
    given = np.ascontiguousarray(weight.T) if transposed else weight
    packed = core.tensor.pack(given, fmt, scale=scale, stored="int8", transposed=transposed)
    with recording(Ledger()) as ledger:
        found = core.tensor.matmul(a, packed, a_format=fmt)
    assert same(found, opinion.matmul(a, weight.astype(np.float32), fmt, fmt, b_scale=scale))
    (record,) = ledger.records
    assert record.formats == (name, "int8", "fp32")
    assert record.bytes == fmt.bits // 8 * a.size + weight.size + 4 * found.size


def test_stored_weights_are_of_their_format() -> None:
    for wrong in (np.full((3, 2), 128.0), np.full((3, 2), 0.5), np.full((3, 2), np.nan)):
        with pytest.raises(ValueError, match="b holds .*no value of int8, stored=int8"):
            core.tensor.pack(wrong, "bf16", stored=INT8)
    with pytest.raises(ValueError, match=r"b holds .*0\.1.*no value of e4m3"):
        core.tensor.pack(np.full((3, 2), 0.1), "bf16", stored="e4m3")
    with pytest.raises(UnsupportedFormat, match="no int4"):
        core.tensor.pack(np.ones((3, 2)), "bf16", stored="int4")
    assert core.tensor.pack(np.full((3, 2), np.nan), "bf16", stored="e4m3").stored is not None
    assert core.tensor.pack(np.ones((3, 2)), "bf16", stored="bf16").stored is None
    assert core.tensor.pack(np.ones((0, 2)), "bf16", stored="int8").depth == 0
