"""Kernels of the functions of one number, each by itself: only what is used is compiled.

out[r, c] = round(f(x[r, c] * scale + bias[r, c])). Arguments: x, its row stride, bias, its row
stride, out, its row stride, rows, columns, the format's parameters, scale bits, counts. Of a plain
one, which neither casts nor counts: x, its row stride, out, its row stride, rows, columns, 0, slope
bits, 0.
"""

from typing import Any

from llvmlite import ir

from halfulp.dtypes.jit import Kernel, device, kernel
from halfulp.dtypes.lanes import F32, I32, Lanes
from halfulp.dtypes.loops import unless_all
from halfulp.dtypes.natives import unpack
from halfulp.dtypes.parameters import INF32, MAGNITUDE32, NAMES32, NAN32
from halfulp.engines.activations import Activation
from halfulp.engines.casts import COUNTS, float_cast, quick_cast
from halfulp.engines.function_lanes import apply
from halfulp.engines.grid import lane_grid

Given = dict[str, Lanes]
#: After a format's parameters: bits of leaky_relu's slope; and whether the format is fp32, in which
#: every finite result stays as it is.
OWN = ("slope", "plain")


def _cast(x: Lanes, given: Given) -> tuple[Lanes, list[Lanes]]:
    """`float_cast`, behind a jump where nothing is to be counted."""
    builder = x.builder
    plain = builder.extract_element(given["plain"].value, I32(0))
    with builder.if_else(builder.icmp_unsigned("!=", plain, I32(0))) as (then, otherwise):
        with then:
            finite = (x & MAGNITUDE32) < INF32
            as_it_is = builder.block
        with otherwise:
            fits, rounded = quick_cast(x, given)
            rounding = builder.block
    both = [((finite, as_it_is), (fits, rounding)), ((x, as_it_is), (rounded, rounding))]
    ordinary, result = (_joined(*pair) for pair in both)
    never = ordinary ^ ordinary

    def slow() -> list[Lanes]:
        exact, masks = float_cast(x, given)
        return [exact, *masks]

    quick = [result, *([never] * len(COUNTS))]
    found, *masks = unless_all(builder, ordinary, quick, slow)
    return found, masks


def _joined(*ways: tuple[Lanes, ir.Block]) -> Lanes:
    builder = ways[0][0].builder
    phi = builder.phi(ways[0][0].value.type)
    for lanes, block in ways:
        phi.add_incoming(lanes.value, block)
    return Lanes(builder, phi)


def _grid(function: Activation) -> Any:
    def body(inputs: list[Lanes], given: Given, scale: Lanes) -> tuple[Lanes, list[Lanes]]:
        x, bias = (lanes.bits(F32) for lanes in inputs)
        slope = given["slope"].bits(F32)
        return _cast(apply(function, x * scale + bias, slope).bits(I32), given)

    name, names = f"halfulp_activation_{function.value}", (*NAMES32, *OWN)
    return lane_grid(name, body, [I32, I32], I32, names, len(COUNTS), at_address=True)


def _plain_grid(function: Activation) -> Any:
    """The function alone; the scale is the slope. Its arguments have no bias."""

    def body(inputs: list[Lanes], given: Given, scale: Lanes) -> tuple[Lanes, list[Lanes]]:
        result = apply(function, inputs[0].bits(F32), scale, inline=True)
        return result.is_nan().where(inputs[0].like(NAN32), result.bits(I32)), []

    return lane_grid(f"halfulp_plain_{function.value}", body, [I32], I32, (), 0, at_address=True)


@device
def _is_plain(arguments: int) -> bool:
    """Whether they are a plain grid's: in the place of a format's parameters the counts, 0."""
    return unpack(arguments + 64, 1)[0] == 0


# numba knows a native, and a kernel's place in the cache, by its name alone
_copy = _grid(Activation.COPY)
_exp = _grid(Activation.EXP)
_tanh = _grid(Activation.TANH)
_gelu = _grid(Activation.GELU)
_relu = _grid(Activation.RELU)
_sqrt = _grid(Activation.SQRT)
_rsqrt = _grid(Activation.RSQRT)
_reciprocal = _grid(Activation.RECIPROCAL)
_exp2 = _grid(Activation.EXP2)
_expm1 = _grid(Activation.EXPM1)
_log = _grid(Activation.LOG)
_log2 = _grid(Activation.LOG2)
_log1p = _grid(Activation.LOG1P)
_sigmoid = _grid(Activation.SIGMOID)
_silu = _grid(Activation.SILU)
_erf = _grid(Activation.ERF)
_gelu_tanh = _grid(Activation.GELU_TANH)
_softplus = _grid(Activation.SOFTPLUS)
_mish = _grid(Activation.MISH)
_sin = _grid(Activation.SIN)
_cos = _grid(Activation.COS)
_arctan = _grid(Activation.ARCTAN)
_leaky_relu = _grid(Activation.LEAKY_RELU)
_square = _grid(Activation.SQUARE)
_abs = _grid(Activation.ABS)
_sign = _grid(Activation.SIGN)
_plain_copy = _plain_grid(Activation.COPY)
_plain_exp = _plain_grid(Activation.EXP)
_plain_tanh = _plain_grid(Activation.TANH)
_plain_gelu = _plain_grid(Activation.GELU)
_plain_relu = _plain_grid(Activation.RELU)
_plain_sqrt = _plain_grid(Activation.SQRT)
_plain_rsqrt = _plain_grid(Activation.RSQRT)
_plain_reciprocal = _plain_grid(Activation.RECIPROCAL)
_plain_exp2 = _plain_grid(Activation.EXP2)
_plain_expm1 = _plain_grid(Activation.EXPM1)
_plain_log = _plain_grid(Activation.LOG)
_plain_log2 = _plain_grid(Activation.LOG2)
_plain_log1p = _plain_grid(Activation.LOG1P)
_plain_sigmoid = _plain_grid(Activation.SIGMOID)
_plain_silu = _plain_grid(Activation.SILU)
_plain_erf = _plain_grid(Activation.ERF)
_plain_gelu_tanh = _plain_grid(Activation.GELU_TANH)
_plain_softplus = _plain_grid(Activation.SOFTPLUS)
_plain_mish = _plain_grid(Activation.MISH)
_plain_sin = _plain_grid(Activation.SIN)
_plain_cos = _plain_grid(Activation.COS)
_plain_arctan = _plain_grid(Activation.ARCTAN)
_plain_leaky_relu = _plain_grid(Activation.LEAKY_RELU)
_plain_square = _plain_grid(Activation.SQUARE)
_plain_abs = _plain_grid(Activation.ABS)
_plain_sign = _plain_grid(Activation.SIGN)


@kernel
def copy_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_copy((arguments,))
    else:
        _copy((arguments,))


@kernel
def exp_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_exp((arguments,))
    else:
        _exp((arguments,))


@kernel
def tanh_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_tanh((arguments,))
    else:
        _tanh((arguments,))


@kernel
def gelu_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_gelu((arguments,))
    else:
        _gelu((arguments,))


@kernel
def relu_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_relu((arguments,))
    else:
        _relu((arguments,))


@kernel
def sqrt_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_sqrt((arguments,))
    else:
        _sqrt((arguments,))


@kernel
def rsqrt_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_rsqrt((arguments,))
    else:
        _rsqrt((arguments,))


@kernel
def reciprocal_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_reciprocal((arguments,))
    else:
        _reciprocal((arguments,))


@kernel
def exp2_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_exp2((arguments,))
    else:
        _exp2((arguments,))


@kernel
def expm1_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_expm1((arguments,))
    else:
        _expm1((arguments,))


@kernel
def log_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_log((arguments,))
    else:
        _log((arguments,))


@kernel
def log2_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_log2((arguments,))
    else:
        _log2((arguments,))


@kernel
def log1p_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_log1p((arguments,))
    else:
        _log1p((arguments,))


@kernel
def sigmoid_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_sigmoid((arguments,))
    else:
        _sigmoid((arguments,))


@kernel
def silu_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_silu((arguments,))
    else:
        _silu((arguments,))


@kernel
def erf_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_erf((arguments,))
    else:
        _erf((arguments,))


@kernel
def gelu_tanh_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_gelu_tanh((arguments,))
    else:
        _gelu_tanh((arguments,))


@kernel
def softplus_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_softplus((arguments,))
    else:
        _softplus((arguments,))


@kernel
def mish_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_mish((arguments,))
    else:
        _mish((arguments,))


@kernel
def sin_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_sin((arguments,))
    else:
        _sin((arguments,))


@kernel
def cos_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_cos((arguments,))
    else:
        _cos((arguments,))


@kernel
def arctan_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_arctan((arguments,))
    else:
        _arctan((arguments,))


@kernel
def leaky_relu_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_leaky_relu((arguments,))
    else:
        _leaky_relu((arguments,))


@kernel
def square_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_square((arguments,))
    else:
        _square((arguments,))


@kernel
def abs_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_abs((arguments,))
    else:
        _abs((arguments,))


@kernel
def sign_kernel(arguments: int) -> None:
    if _is_plain(arguments):
        _plain_sign((arguments,))
    else:
        _sign((arguments,))


KERNELS: dict[Activation, Kernel] = {
    Activation.COPY: copy_kernel,
    Activation.EXP: exp_kernel,
    Activation.TANH: tanh_kernel,
    Activation.GELU: gelu_kernel,
    Activation.RELU: relu_kernel,
    Activation.SQRT: sqrt_kernel,
    Activation.RSQRT: rsqrt_kernel,
    Activation.RECIPROCAL: reciprocal_kernel,
    Activation.EXP2: exp2_kernel,
    Activation.EXPM1: expm1_kernel,
    Activation.LOG: log_kernel,
    Activation.LOG2: log2_kernel,
    Activation.LOG1P: log1p_kernel,
    Activation.SIGMOID: sigmoid_kernel,
    Activation.SILU: silu_kernel,
    Activation.ERF: erf_kernel,
    Activation.GELU_TANH: gelu_tanh_kernel,
    Activation.SOFTPLUS: softplus_kernel,
    Activation.MISH: mish_kernel,
    Activation.SIN: sin_kernel,
    Activation.COS: cos_kernel,
    Activation.ARCTAN: arctan_kernel,
    Activation.LEAKY_RELU: leaky_relu_kernel,
    Activation.SQUARE: square_kernel,
    Activation.ABS: abs_kernel,
    Activation.SIGN: sign_kernel,
}
