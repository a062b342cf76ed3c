"""torch tensors: the container, device and shape stay; autograd is told of what out= writes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from halfulp.dtypes import BF16, E4M3, INT8, FloatFormat, Format, decode, encode, round_to

X = np.linspace(-300, 300, 35).reshape(5, 7)
FORMATS: list[Format] = [BF16, E4M3, INT8, FloatFormat(8, 7, bias=140)]

TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "plain": lambda x: x,
    "transposed": lambda x: x.t(),
    "every second": lambda x: x[::2, 1::3],
    "expanded": lambda x: x[:1].expand(9, 7),
    "no dimension": lambda x: x[1, 1],
    "empty": lambda x: x[:0],
    "channels last": lambda x: x.reshape(1, 5, 7, 1).to(memory_format=torch.channels_last),
    "negative view": lambda x: torch.complex(x.double(), x.double()).conj().imag,
    "requires grad": lambda x: x.double().requires_grad_(),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_of_every_kind_give_tensors(kind: str) -> None:
    x = TENSORS[kind](torch.from_numpy(X.copy()))
    before = x.detach().clone()
    for fmt in FORMATS:
        for convert in (round_to, encode):
            got, wanted = convert(x, fmt), convert(x.detach().resolve_neg().numpy().copy(), fmt)
            assert type(got) is torch.Tensor and not got.requires_grad
            assert got.shape == x.shape and got.device == x.device
            assert np.array_equal(got.numpy(), wanted) and got.numpy().dtype == wanted.dtype
    assert torch.equal(x, before)


def test_codes_of_torch_have_the_torch_integers() -> None:
    x = torch.tensor([1.0, -2.0])
    kinds = {"e4m3": torch.uint8, "bf16": torch.uint16, "tf32": torch.uint32, "int8": torch.int8}
    for name, dtype in kinds.items():
        codes = encode(x, name)
        assert codes.dtype == dtype
        assert torch.equal(decode(codes, name).to(torch.float32), x)
    assert encode(x, "int32").dtype == torch.int32


def test_a_parameter_gives_a_detached_tensor() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.1]))
    got = round_to(parameter, BF16)
    assert type(got) is torch.Tensor and not got.requires_grad
    assert torch.equal(got, parameter.detach().bfloat16().float())


def test_out_of_torch_is_written_and_autograd_sees_it() -> None:
    x = torch.linspace(-300, 300, 35).reshape(5, 7)
    out = torch.zeros(5, 14)[:, ::2]
    assert round_to(x, E4M3, out=out) is out
    assert np.array_equal(out.numpy(), round_to(x.numpy(), E4M3))
    weight = torch.ones(5, 7, requires_grad=True)
    scratch = torch.ones(5, 7)
    product = weight * scratch
    round_to(x, E4M3, out=scratch)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()
