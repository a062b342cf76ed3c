"""Errors at the door say what was given and what is allowed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from halfulp.dtypes import E4M3FN, UnknownFormat
from halfulp.engines import NEURONCORE_V1, NEURONCORE_V2, Ledger, UnsupportedFormat, recording

v1, v2 = NEURONCORE_V1, NEURONCORE_V2


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


A, B = ones(3, 4), ones(4, 5)
PACKED = v2.tensor.pack(B, "bf16")
READ_ONLY = ones(3, 5)
READ_ONLY.flags.writeable = False


def product(a: Any = A, b: Any = B, a_format: Any = "bf16", **given: Any) -> Callable[[], Any]:
    return lambda: v2.tensor.matmul(a, b, a_format=a_format, **given)


def older(a_format: str) -> Callable[[], Any]:
    return lambda: v1.tensor.matmul(A, B, a_format=a_format)


FORMATS: list[tuple[Callable[[], Any], str]] = [
    (older("fp32"), "NeuronCore-v1 has no fp32 .* bf16, fp16, int8"),
    (older("tf32"), "NeuronCore-v1 has no tf32 .* bf16, fp16, int8"),
    (older("e4m3"), "NeuronCore-v1 has no e4m3 .* bf16, fp16, int8"),
    (lambda: v1.tensor.pack(B, "cfp8(2,5,bias=3)"), "NeuronCore-v1 has no cfp8"),
    (lambda: v1.vector.tensor_copy(A, out_format="tf32"), "no tf32 results.* bf16, fp16, fp32"),
    (lambda: v1.scalar.activation(A, "exp", out_format="e5m2"), "no e5m2 results.* bf16, fp16"),
    (product(a_format=E4M3FN), "no e4m3fn .*OCP.*e4m3 is IEEE style, up to 240.*It takes bf16"),
    (lambda: v2.vector.tensor_copy(A, out_format="e4m3fn"), "no e4m3fn results.*IEEE style"),
    *(
        (product(a_format=name), f"no {name} .*of other machines; a NeuronCore's are IEEE style")
        for name in ("e4m3fnuz", "e5m2fnuz", "e8m0fnu", "e3m2fn", "e2m1fn")
    ),
    (product(a_format="float(4,3,no_subnormals)"), "no float.*It takes bf16"),
    (product(a_format="fp32", b_format="bf16"), "fp32 x bf16: fp32 and tf32 pair with"),
    (product(a_format="e4m3", b_format="tf32"), "e4m3 x tf32: fp32 and tf32 pair with"),
    (product(a_format="int8", b_format="bf16"), "int8 x bf16: an integer operand pairs with"),
    (product(a_format="fp32", b_format="int32"), "fp32 x int32: an integer operand pairs with"),
    (product(a_format="int4"), "no int4 TensorEngine operands"),
    (product(a_format="float(6,9)"), "no float.*TensorEngine operands"),
    (product(out_format="int8"), "out_format=int8: results are float formats"),
    (product(out_format="float(6,9)"), "results"),
    (lambda: v2.vector.softmax(A, scores_format="int8"), "results are float formats"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "words"), FORMATS)
def test_formats_that_a_core_has_not(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(UnsupportedFormat, match=words):
        call()
    assert issubclass(UnsupportedFormat, ValueError)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bf17", "no format is called 'bf17'; did you mean bf16"),
        ("", "known: fp32, tf32, bf16"),
        ("fp8", "no format is called 'fp8'"),
        ("int1", "bits=1 is out of range; allowed: 2 to 32"),
        ("cfp8(9,9)", "exponent_bits=9 is out of range; allowed: 1 to 8"),
        ("cfp8(2,5,bias=9999)", "bias=9999 is out of range; allowed"),
    ],
)
def test_names_that_no_format_has(name: str, words: str) -> None:
    for call in (product(a_format=name), product(out_format=name)):
        with pytest.raises(ValueError, match=words):
            call()
    assert issubclass(UnknownFormat, ValueError)


VALUES: list[tuple[Callable[[], Any], str]] = [
    (product(b=ones(5, 5)), r"a has shape \(3, 4\), b 5 x 5; needed: a of \(..., M, 5\)"),
    (product(b=ones(5, 3), transpose_b=True), r"a has shape \(3, 4\), b 3 x 5"),
    (product(a=ones(4)), r"a has shape \(4,\)"),
    (product(b=ones(4)), r"b has shape \(4,\); needed: at least two axes"),
    (product(a=ones(2, 3, 4), b=ones(3, 4, 5)), r"\(2,\).*\(3,\)"),
    (product(rescale=ones(4)), r"rescale has shape \(4,\); needed: a number or \(5,\)"),
    (product(bias=ones(1, 5)), r"bias has shape \(1, 5\); needed: a number or \(5,\)"),
    (product(a_scale=0), "a_scale=0.0; needed: a positive, finite number"),
    (product(a_scale=float("nan")), "a_scale=nan; needed: a positive"),
    (product(a_scale=1e39), r"a_scale=1e\+39; needed: a positive, finite"),
    (product(a_scale=ones(4)), r"a_scale has shape \(4,\); needed: one number"),
    (product(a_scale=ones(1)), r"a_scale has shape \(1,\); needed: one number"),
    (product(b_scale=-1.0), "^b_scale=-1.0; needed: a positive"),
    (product(b=ones(2, 4, 5), b_scale=-1.0), "^b_scale=-1.0; needed: a positive"),
    (product(a_format="int8", b_scale=ones(4)), r"^b_scale has shape \(4,\)"),
    (lambda: v2.tensor.pack(B, "bf16", scale=-1.0), "^scale=-1.0; needed: a positive"),
    (lambda: v2.tensor.pack(B, "bf16", scale=ones(4)), r"^scale has shape \(4,\)"),
    (product(b=ones(2, 4, 5), a_format="int8", b_scale=ones(5)), "needs a two-dimensional b"),
    (product(b=PACKED, b_format="fp16"), "b is packed as bf16; b_format=fp16 must be the same"),
    (product(b=PACKED, b_scale=2.0), "b is packed: .*leave b_scale and transpose_b away"),
    (product(b=PACKED, transpose_b=True), "b is packed: .*leave b_scale and transpose_b away"),
    (product(out=ones(3, 4)), r"out is float32 of shape \(3, 4\); needed: .*\(3, 5\)"),
    (product(out=np.ones((3, 5))), "out is float64.*needed: .*float32"),
    (product(out=ones(3, 10)[:, ::2]), "needed: C-contiguous"),
    (product(out=READ_ONLY), "writeable"),
    (lambda: v2.tensor.pack(ones(2, 4, 5), "bf16"), r"b has shape \(2, 4, 5\); needed: \(K, N\)"),
    (lambda: v2.vector.tensor_tensor(A, B, "add"), r"\(3, 4\).*\(4, 5\)"),
    (lambda: v2.vector.tensor_tensor(A, A, "power"), "op='power' is not known; allowed: 'add'"),
    (lambda: v2.vector.tensor_scalar(A, 1, "mod"), "op0='mod' is not known; allowed: 'add'"),
    (lambda: v2.vector.tensor_reduce(A, "divide"), "'divide'; .* takes 'add', 'max', 'min'"),
    (lambda: v2.vector.tensor_reduce(A, "add", axis=2), "axis=2; x has 2 axes"),
    (lambda: v2.vector.tensor_reduce(ones(), "add"), "x has 0 axes"),
    (lambda: v2.vector.tensor_reduce(ones(3, 0), "max"), "maximum of an axis of length 0"),
    (lambda: v2.scalar.activation(A, "sine"), "'sine' is not known; allowed: 'copy', 'exp'"),
    (lambda: v2.vector.layernorm(A, ones(3), ones(4), 1.0), r"gamma has shape \(3,\).*\(4,\)"),
    (lambda: v2.vector.layernorm(A, ones(4), ones(1, 4), 1.0), r"beta \(1, 4\).* needs \(4,\)"),
    (lambda: v2.vector.softmax(ones()), "at least one axis"),
    (lambda: v2.vector.softmax(A, mask=ones(2, 4)), r"x \(3, 4\), mask \(2, 4\)"),
    (lambda: v2.vector.softmax(A, mask=ones(2, 3, 4)), r"mask has shape \(2, 3, 4\); needed"),
    (lambda: v2.dma.gather(A, [3]), "indices from 3 to 3; the table has 3 rows"),
    (lambda: v2.dma.gather(A, [-1, 0]), "indices from -1 to 0; the table has 3 rows"),
    (lambda: v2.dma.gather(ones(3), [0]), r"table has shape \(3,\); needed: \(rows, columns\)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "words"), VALUES)
def test_values_that_do_not_fit(call: Callable[[], Any], words: str) -> None:
    with recording(Ledger()) as ledger, pytest.raises(ValueError, match=words):
        call()
    assert len(ledger) == 0, "what was refused has not run"


def test_memory_that_is_operand_and_result() -> None:
    square = ones(4, 4)
    for a, b in ((square, ones(4, 4)), (ones(4, 4), square)):
        with pytest.raises(ValueError, match="out overlaps an operand"):
            v2.tensor.matmul(a, b, a_format="bf16", out=square)
    assert np.all(square == 1)


KINDS: list[tuple[Callable[[], Any], str]] = [
    (product(a=np.ones((3, 4), complex)), "complex128 are not taken; allowed: floats"),
    (product(a="words"), "are not taken; allowed: floats"),
    (product(a_scale="x"), "^a_scale='x'; needed: a number"),
    (product(a_scale=None), "^a_scale=None; needed: a number"),
    (product(b_scale="2"), "^b_scale='2'; needed: a number"),
    (product(b_scale=["x"] * 5), "^b_scale: elements of type .* are not taken"),
    (product(bias="x"), "^bias: elements of type .* are not taken"),
    (product(rescale="x"), "^rescale: elements of type .* are not taken"),
    (lambda: v2.tensor.pack(B, "bf16", scale="x"), "^scale='x'; needed: a number"),
    (product(a=torch.ones(3, 4, dtype=torch.complex64)), "complex64 are not taken; allowed"),
    (product(a=torch.ones(3, 4).to_sparse()), "sparse.* is not taken; give x.to_dense"),
    (lambda: v2.vector.tensor_copy(np.ma.array([1.0], mask=[True]), out_format="bf16"), "mask"),
    (lambda: v2.vector.softmax(A, mask=np.ones((3, 4), int)), "mask is int64; give booleans"),
    (lambda: v2.dma.gather(A, [0.0]), "indices are float64; needed: integers"),
    (lambda: v2.dma.gather(A, [True]), "indices are bool; needed: integers"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "words"), KINDS)
def test_kinds_that_are_not_taken(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call()


def test_a_tensor_without_data_is_refused() -> None:
    with pytest.raises(ValueError, match="meta device holds no numbers"):
        v2.vector.tensor_copy(torch.ones(3, device="meta"), out_format="bf16")


def test_what_a_core_takes_can_be_asked() -> None:
    assert {fmt.name for fmt in v1.tensor.formats} == {"bf16", "fp16", "int8"}
    assert {"fp32", "tf32", "bf16", "fp16", "int8"} <= {fmt.name for fmt in v2.tensor.formats}
    for name in ("e4m3", "e5m2", "e3m4", "cfp8(2,5,bias=3)"):
        v2.tensor.check(name, "bf16")
        with pytest.raises(UnsupportedFormat):
            v1.tensor.check(name, "bf16")
