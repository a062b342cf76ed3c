"""Casts as operators of torch: with a gradient, inside compiled, exported and vmapped functions.

Importing this module registers them: torch.ops.halfulp.round_to, encode and decode. They run the
kernels of `halfulp.dtypes` on the CPU, and torch's own integers on other devices: the same bits.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfulp.dtypes import cast, torch_int_formats, torch_integers
from halfulp.dtypes.conversion import Conversion, conversion
from halfulp.dtypes.dtype_names import as_format
from halfulp.dtypes.format import FloatFormat, Format
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.random_bits import GivenBits, Philox
from halfulp.dtypes.rounding import Rounding, Subnormals, choice
from halfulp.dtypes.torch_gradient import Gradient, backward, passed, remember
from halfulp.dtypes.torch_parts import LAYOUTS
from halfulp.dtypes.wording import kind_of

__all__ = ["Cast", "Gradient"]


def _words(made: Conversion) -> str:
    """Rounding, overflow, subnormals and nan, as an operator takes them: in one string."""
    return " ".join([made.rounding, made.overflow, made.subnormals, made.nan or "refuse"])


def _options(words: str, philox: Sequence[int], noise: Tensor | None) -> dict[str, Any]:
    rounding, overflow, subnormals, nan = words.split()
    random: Philox | GivenBits | None = None
    if noise is not None:
        random = GivenBits(noise.numpy(), philox[3])
    elif philox:
        seed, step, start, bits = philox
        mask = (1 << 64) - 1
        random = Philox(seed & mask, step=step & mask, start=start, random_bits=bits)
    return {
        "rounding": rounding,
        "overflow": overflow,
        "subnormals": subnormals,
        "nan": None if nan == "refuse" else nan,
        "random": random,
    }


@torch.library.custom_op("halfulp::round_to", mutates_args=(), device_types="cpu")
def _round_to(
    x: Tensor, fmt: str, words: str, philox: Sequence[int], noise: Tensor | None,
    gradient: str,
) -> Tensor:  # fmt: skip
    result: Tensor = cast.round_to(x, fmt, **_options(words, philox, noise))
    return result.contiguous()


@torch.library.custom_op("halfulp::encode", mutates_args=(), device_types="cpu")
def _encode(x: Tensor, fmt: str, words: str, philox: Sequence[int], noise: Tensor | None) -> Tensor:
    result: Tensor = cast.encode(x, fmt, **_options(words, philox, noise))
    return result.contiguous()


@torch.library.custom_op("halfulp::decode", mutates_args=(), device_types="cpu")
def _decode(codes: Tensor, fmt: str, subnormals: str) -> Tensor:
    result: Tensor = cast.decode(codes, fmt, subnormals=subnormals)
    return result.contiguous()


def _by_integers(
    x: Tensor, fmt: str, words: str, philox: Sequence[int], noise: Tensor | None, gradient: str
) -> Tensor:
    """`round_to` where the kernels do not reach; what is no wide float goes there and back."""
    options = _options(words, philox, None if noise is None else noise.cpu())
    made = conversion(fmt, **options)
    if x.dtype not in LAYOUTS:
        result: Tensor = cast.round_to(x, fmt, **options)
        return result.contiguous()
    serving = torch_int_formats if isinstance(made.fmt, IntFormat) else torch_integers
    return serving.round_to(x, made)


def _codes_by_integers(
    x: Tensor, fmt: str, words: str, philox: Sequence[int], noise: Tensor | None
) -> Tensor:
    """`encode` where the kernels do not reach."""
    options = _options(words, philox, None if noise is None else noise.cpu())
    made = conversion(fmt, **options)
    if x.dtype not in LAYOUTS:
        result: Tensor = cast.encode(x, fmt, **options)
        return result.contiguous()
    serving = torch_int_formats if isinstance(made.fmt, IntFormat) else torch_integers
    return serving.encode(x, made).to(_code_type(made.fmt))


def _values_by_integers(codes: Tensor, fmt: str, subnormals: str) -> Tensor:
    """`decode` where the kernels do not reach; other types, and no codes, are for the door."""
    read, wide = as_format(fmt), codes.to(torch.int64).contiguous()
    low, high = (read.min, read.max) if isinstance(read, IntFormat) else (0, (1 << read.bits) - 1)
    foreign = codes.dtype is not _code_type(read)
    if foreign or bool(((wide < low) | (wide > high)).any()):
        result: Tensor = cast.decode(codes, fmt, subnormals=subnormals)
        return result.contiguous()
    if isinstance(read, IntFormat):
        return wide.to(codes.dtype)
    return torch_integers.decode(wide, read, Subnormals(subnormals))


#: Devices whose tensors stay there: rounded by torch's own integers.
_FAR = ("cuda", "mps", "xpu")
_round_to.register_kernel(_FAR, _by_integers)
_encode.register_kernel(_FAR, _codes_by_integers)
_decode.register_kernel(_FAR, _values_by_integers)


@_round_to.register_fake
def _(
    x: Tensor, fmt: str, words: str, philox: Sequence[int], noise: Tensor | None,
    gradient: str,
) -> Tensor:  # fmt: skip
    kept = x.dtype in (torch.float32, torch.float64)
    return x.new_empty(x.shape, dtype=x.dtype if kept else _value_type(as_format(fmt)))


@_encode.register_fake
def _(x: Tensor, fmt: str, words: str, philox: Sequence[int], noise: Tensor | None) -> Tensor:
    return x.new_empty(x.shape, dtype=_code_type(as_format(fmt)))


@_decode.register_fake
def _(codes: Tensor, fmt: str, subnormals: str) -> Tensor:
    read = as_format(fmt)
    kind = torch.float32 if isinstance(read, FloatFormat) else _code_type(read)
    return codes.new_empty(codes.shape, dtype=kind)


def _value_type(fmt: Format) -> torch.dtype:
    narrow = isinstance(fmt, FloatFormat) or fmt.fits_float32
    return torch.float32 if narrow else torch.float64


def _code_type(fmt: Format) -> torch.dtype:
    kind = fmt.numpy if isinstance(fmt, IntFormat) else fmt.code_dtype
    found = getattr(torch, kind.name)
    assert isinstance(found, torch.dtype)
    return found


_round_to.register_autograd(backward, setup_context=remember)


class _Rounded(torch.autograd.Function):
    """The operator under torch.func.grad, jvp and vmap, which its own rule does not serve."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> Tensor:
        return _round_to(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        remember(ctx, inputs, output)
        ctx.result_dtype = output.dtype
        if ctx.limits is not None:
            ctx.save_for_forward(inputs[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return backward(ctx, grad)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *others: None) -> Tensor:
        return passed(ctx, tangent).to(ctx.result_dtype)


def _one_by_one(operator: Any) -> Any:
    """The rule of an operator that treats each element by itself, for torch.func.vmap."""

    def rule(info: Any, in_dims: tuple[Any, ...], x: Tensor, *more: Any) -> tuple[Tensor, int]:
        if str(more[1]).startswith(Rounding.STOCHASTIC):
            raise ValueError(
                "stochastic rounding inside vmap has no number for an element;"
                " round the whole tensor outside vmap"
            )
        return operator(x.movedim(in_dims[0], 0), *more), 0

    return rule


for _operator in (_round_to, _encode, _decode):
    torch.library.register_vmap(_operator, _one_by_one(_operator))


class Cast:
    """A conversion, prepared once and usable in eager, compiled and exported code.

    torch.func's vmap, grad, jvp and what they compose serve eager code, and vmap compiled code too.

    fmt        a format, its name, or a type of numpy, ml_dtypes or torch
    options    as `halfulp.dtypes.round_to` takes them; the values of `GivenBits` have x's shape
    gradient   a `Gradient` or its name, for `round_to`

    Raises as `halfulp.dtypes.round_to`, when it is made; what is wrong with a tensor when it is
    called.
    """

    def __init__(
        self, fmt: Any, *, gradient: Gradient | str = Gradient.STRAIGHT_THROUGH, **options: Any
    ) -> None:
        made = conversion(fmt, **options)
        self.fmt = made.fmt.name
        self.gradient = choice(Gradient, gradient, "gradient").value
        self.words = _words(made)
        self.subnormals = str(made.subnormals)
        self.philox: list[int] = []
        self.noise: Tensor | None = None
        if isinstance(made.random, Philox):
            seed, step = (_signed(word) for word in (made.random.seed, made.random.step))
            self.philox = [seed, step, made.random.start, made.random.random_bits]
        elif made.random is not None:
            self.philox = [0, 0, 0, made.random.random_bits]
            self.noise = torch.from_numpy(made.random.values.astype("int64"))

    def round_to(self, x: Tensor) -> Tensor:
        """The values, as `halfulp.dtypes.round_to` gives them, contiguous; differentiable."""
        _refuse_what_is_no_dense_tensor(x)
        given = x, self.fmt, self.words, self.philox, self.noise, self.gradient
        # the compiler knows the operator's own gradient, and not a tangent's rule
        if torch.compiler.is_compiling():
            return _round_to(*given)
        return _Rounded.apply(*given)  # type: ignore[no-untyped-call]

    def encode(self, x: Tensor) -> Tensor:
        """The codes, as `halfulp.dtypes.encode` gives them, contiguous."""
        _refuse_what_is_no_dense_tensor(x)
        return _encode(x, self.fmt, self.words, self.philox, self.noise)

    def decode(self, codes: Tensor) -> Tensor:
        """The values of codes, as `halfulp.dtypes.decode` gives them, contiguous."""
        _refuse_what_is_no_dense_tensor(codes)
        return _decode(codes, self.fmt, self.subnormals)


def _refuse_what_is_no_dense_tensor(x: object) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x is {kind_of(x)}; give a torch tensor: halfulp.dtypes takes the others")
    if x.layout is not torch.strided:
        raise TypeError(f"a tensor of layout {x.layout} is not taken; give x.to_dense()")
    if x.is_complex():  # said before a compiler takes it for a number
        raise TypeError(f"elements of type {x.dtype} are not taken; give x.real and x.imag")


def _signed(word: int) -> int:
    """The int64 of the same bits: operators take no larger integers."""
    return word - (1 << 64) if word >> 63 else word
