"""THE TABLE aten operation -> instructions of the engines."""

from typing import Any

import torch

from halfulp.engines import Activation, AluOp
from halfulp.quant import attention, elementwise, movement, normalize, products
from halfulp.quant.composite import decompose, is_composite
from halfulp.quant.elementwise import Args, Choices, Handler, binary, function, reduction
from halfulp.quant.refusal import refuse
from halfulp.quant.run import Run

aten = torch.ops.aten

#: Functions that aten calls as nki.language does.
_SAME_NAME = tuple(
    map(
        Activation,
        """
        tanh exp relu sqrt rsqrt reciprocal exp2 expm1 log log2 log1p sigmoid silu erf mish sin cos
        """.split(),
    )
)
#: One line an operation; what stands here wins over everything below.
TABLE: dict[Any, Handler] = {
    # TensorEngine
    aten.linear.default: products.linear,
    aten.addmm.default: products.addmm,
    aten.mm.default: products.mm,
    aten.mv.default: products.mv,
    aten.bmm.default: products.bmm,
    aten._scaled_dot_product_flash_attention_for_cpu.default: attention.flash,
    aten.scaled_dot_product_attention.default: attention.composite,
    # Vector
    aten.add.Tensor: binary(AluOp.ADD),
    aten.add.Scalar: binary(AluOp.ADD),
    aten.sub.Tensor: binary(AluOp.SUBTRACT),
    aten.sub.Scalar: binary(AluOp.SUBTRACT),
    aten.rsub.Scalar: elementwise.subtract_from,
    aten.rsub.Tensor: elementwise.subtract_from,
    aten.mul.Tensor: binary(AluOp.MULTIPLY),
    aten.mul.Scalar: binary(AluOp.MULTIPLY),
    aten.div.Tensor: binary(AluOp.DIVIDE),
    aten.div.Scalar: binary(AluOp.DIVIDE),
    aten.div.Tensor_mode: binary(AluOp.DIVIDE),
    aten.maximum.default: binary(AluOp.MAX),
    aten.minimum.default: binary(AluOp.MIN),
    aten.neg.default: elementwise.negate,
    aten.clamp.default: elementwise.clamp,
    aten.clamp_min.default: elementwise.clamp,
    aten.clamp_max.default: elementwise.clamp,
    aten.pow.Tensor_Scalar: elementwise.power,
    aten.sum.default: reduction(AluOp.ADD),
    aten.sum.dim_IntList: reduction(AluOp.ADD),
    aten.mean.default: reduction(AluOp.ADD, mean=True),
    aten.mean.dim: reduction(AluOp.ADD, mean=True),
    aten.amax.default: reduction(AluOp.MAX),
    aten.amin.default: reduction(AluOp.MIN),
    aten.max.default: reduction(AluOp.MAX),
    aten.linalg_vector_norm.default: elementwise.norm,
    aten.layer_norm.default: normalize.layer_norm,
    aten.native_layer_norm.default: normalize.native_layer_norm,
    aten._softmax.default: normalize.aten_softmax,
    aten._to_copy.default: movement.to_copy,
    # Scalar
    aten.gelu.default: elementwise.gelu,
    aten.leaky_relu.default: elementwise.leaky_relu,
    aten.softplus.default: elementwise.softplus,
    aten.abs.default: elementwise.of_sign(Activation.ABS),
    aten.sign.default: elementwise.of_sign(Activation.SIGN),
    aten.atan.default: function(Activation.ARCTAN),
    **{getattr(aten, one.value).default: function(one) for one in _SAME_NAME},
    # DMA
    aten.embedding.default: elementwise.embedding,
    # nothing at all
    aten.dropout.default: elementwise.dropout,
    # a choice of values
    aten.max.dim: movement.move,
    aten.min.dim: movement.move,
}
#: Operations by which eager attention scales its scores.
SCALINGS = frozenset((aten.mul.Tensor, aten.mul.Scalar, aten.div.Tensor, aten.div.Scalar))


def _in_place(handler: Handler, functional: Any) -> Handler:
    """Compute beside, then write into the first argument: views of it see the rounded values."""

    def lower(run: Run, func: Any, args: Args, kwargs: Choices) -> Any:
        target, result = args[0], handler(run, functional, args, kwargs)
        if result.is_floating_point() != target.is_floating_point():
            raise refuse(func, run.layer, f"{result.dtype} into {target.dtype} in place")
        return target.copy_(result)

    return lower


def _classify(func: Any) -> Handler:
    packet = func.overloadpacket.__name__
    if func.namespace != "aten":
        return decompose if is_composite(func) else movement.integers_only
    if packet in movement.VIEWS:
        return movement.view
    if packet in movement.COPIES | movement.FACTORIES | movement.COMPARISONS:
        return movement.move
    if packet.endswith("_"):
        functional = getattr(getattr(aten, packet[:-1], None), func._overloadname, None)
        if functional in TABLE:
            return _in_place(TABLE[functional], functional)
    return decompose if is_composite(func) else movement.integers_only


_found: dict[Any, Handler] = dict(TABLE)


def handler_of(func: Any) -> Handler:
    """What runs an operation; found out once."""
    handler = _found.get(func)
    if handler is None:
        handler = _found[func] = _classify(func)
    return handler
