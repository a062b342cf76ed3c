"""Kernels of the functions of one number, each by itself: only what is used is compiled.

out[r, c] = round(f(x[r, c] * scale + bias[r, c])). Arguments: x, its row stride, bias, its row
stride, out, its row stride, rows, columns, the format's parameters, scale bits, counts. Of a plain
one, which neither casts nor counts: x, its row stride, out, its row stride, rows, columns, 0, slope
bits, 0.
"""

from halfulp.dtypes.jit import Kernel, device, kernel
from halfulp.dtypes.natives import unpack
from halfulp.engines.activation_grids import activation_grid, plain_grid
from halfulp.engines.activations import Activation


@device
def _is_plain(arguments: int) -> bool:
    """Whether they are a plain grid's: in the place of a format's parameters the counts, 0."""
    return unpack(arguments + 64, 1)[0] == 0


# numba knows a native, and a kernel's place in the cache, by its name alone
_copy = activation_grid(Activation.COPY)
_exp = activation_grid(Activation.EXP)
_tanh = activation_grid(Activation.TANH)
_gelu = activation_grid(Activation.GELU)
_relu = activation_grid(Activation.RELU)
_sqrt = activation_grid(Activation.SQRT)
_rsqrt = activation_grid(Activation.RSQRT)
_reciprocal = activation_grid(Activation.RECIPROCAL)
_exp2 = activation_grid(Activation.EXP2)
_expm1 = activation_grid(Activation.EXPM1)
_log = activation_grid(Activation.LOG)
_log2 = activation_grid(Activation.LOG2)
_log1p = activation_grid(Activation.LOG1P)
_sigmoid = activation_grid(Activation.SIGMOID)
_silu = activation_grid(Activation.SILU)
_erf = activation_grid(Activation.ERF)
_gelu_tanh = activation_grid(Activation.GELU_TANH)
_softplus = activation_grid(Activation.SOFTPLUS)
_mish = activation_grid(Activation.MISH)
_sin = activation_grid(Activation.SIN)
_cos = activation_grid(Activation.COS)
_arctan = activation_grid(Activation.ARCTAN)
_leaky_relu = activation_grid(Activation.LEAKY_RELU)
_square = activation_grid(Activation.SQUARE)
_abs = activation_grid(Activation.ABS)
_sign = activation_grid(Activation.SIGN)
_plain_copy = plain_grid(Activation.COPY)
_plain_exp = plain_grid(Activation.EXP)
_plain_tanh = plain_grid(Activation.TANH)
_plain_gelu = plain_grid(Activation.GELU)
_plain_relu = plain_grid(Activation.RELU)
_plain_sqrt = plain_grid(Activation.SQRT)
_plain_rsqrt = plain_grid(Activation.RSQRT)
_plain_reciprocal = plain_grid(Activation.RECIPROCAL)
_plain_exp2 = plain_grid(Activation.EXP2)
_plain_expm1 = plain_grid(Activation.EXPM1)
_plain_log = plain_grid(Activation.LOG)
_plain_log2 = plain_grid(Activation.LOG2)
_plain_log1p = plain_grid(Activation.LOG1P)
_plain_sigmoid = plain_grid(Activation.SIGMOID)
_plain_silu = plain_grid(Activation.SILU)
_plain_erf = plain_grid(Activation.ERF)
_plain_gelu_tanh = plain_grid(Activation.GELU_TANH)
_plain_softplus = plain_grid(Activation.SOFTPLUS)
_plain_mish = plain_grid(Activation.MISH)
_plain_sin = plain_grid(Activation.SIN)
_plain_cos = plain_grid(Activation.COS)
_plain_arctan = plain_grid(Activation.ARCTAN)
_plain_leaky_relu = plain_grid(Activation.LEAKY_RELU)
_plain_square = plain_grid(Activation.SQUARE)
_plain_abs = plain_grid(Activation.ABS)
_plain_sign = plain_grid(Activation.SIGN)


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
