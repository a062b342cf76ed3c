"""Operations that only move, create, select or compare data: torch runs them as they are.

None of them does floating-point arithmetic, so their bits do not depend on the machine. A view must
pass untouched, or the aliasing that in-place operations rely on would be lost.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from halfulp.quant.arrays import array
from halfulp.quant.refusal import refuse
from halfulp.quant.run import Run, is_masking

#: The result shares its memory with the first argument.
VIEWS = frozenset(
    """alias detach detach_ expand permute select slice split split_with_sizes squeeze t transpose
    unbind unsqueeze view _unsafe_view _reshape_alias as_strided diagonal unfold
    lift_fresh""".split()
)
#: New memory with the old values.
COPIES = frozenset(
    """cat stack clone repeat gather index index_select masked_fill masked_select where tril triu
    flip roll constant_pad_nd copy_ fill_ zero_ masked_fill_""".split()
)
#: New memory with given values.
FACTORIES = frozenset(
    """empty empty_like empty_strided empty_permuted new_empty new_empty_strided zeros zeros_like
    new_zeros ones ones_like new_ones full full_like new_full scalar_tensor""".split()
)
#: The result is of no float type, or one of the values that were compared.
COMPARISONS = frozenset(
    """eq ne lt le gt ge isnan isinf isposinf isneginf equal argmax argmin argsort sort topk
    _local_scalar_dense nonzero any all logical_and logical_or logical_not is_nonzero""".split()
)

#: What gives a tensor's value to Python.
_VALUES = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default)


def view(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same memory, seen otherwise."""
    return func(*args, **kwargs)


def move(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Values carried over; where results are cast, copies of constants are too, masks never."""
    if func in _VALUES and args[0].is_meta:
        return _unknown(run, func, args[0])
    result = func(*args, **kwargs)
    if run.plan.everything:
        given = [*_flat(args), *kwargs.values()]
        for moved in _flat((result,)):
            if not isinstance(moved, Tensor) or moved.dtype != torch.float32:
                continue
            if any(run.is_mask(value) or is_masking(value) for value in given):
                run.keep_mask(moved)
            elif any(run.is_constant(value) for value in given):
                values = array(moved)
                rounded = run.cast(values, run.plan)
                if not moved.is_meta:
                    values[...] = rounded
    return result


def _unknown(run: Run, func: Any, tensor: Tensor) -> bool:
    """The answer where there is no data: no, as to "is there no padding?", "is anything wrong?".

    Other values are not known.
    """
    if tensor.dtype == torch.bool:
        return False
    raise refuse(func, run.layer, "the model asks for a number; on the meta device there is none")


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    """The values, those of lists among them one by one."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from value
        else:
            yield value


def to_copy(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """_to_copy(x, *, dtype=None, ...): integers and booleans become fp32, as on Vector."""
    x, target = args[0], kwargs.get("dtype") or args[0].dtype
    if x.is_floating_point() and target not in (x.dtype, torch.bool):
        raise refuse(func, run.layer, f"no instruction casts {x.dtype} to {target} here")
    if target.is_floating_point and target != torch.float32:
        raise refuse(func, run.layer, f"{target} is not emulated; compute in float32")
    result = move(run, func, args, kwargs)
    if not run.plan.everything or x.is_floating_point() or not target.is_floating_point:
        return result
    return run.emit(run.core.vector.tensor_scalar, array(result), 1.0, "multiply")


def _floats(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point() or value.is_complex()
    return isinstance(value, list | tuple) and any(_floats(item) for item in value)


def integers_only(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Any other operation, if no float goes in or comes out.

    Raises UnsupportedOp where one does.
    """
    if _floats(args) or _floats(tuple(kwargs.values())):
        raise refuse(func, run.layer)
    result = func(*args, **kwargs)
    if _floats(result):
        raise refuse(func, run.layer)
    return result
