"""Custom operators of the GPSIMD engine: a function of one's own between casts that are the core's.

What the function computes is its own affair: numpy's and torch's exp, tanh, sums and products
differ between processors, their basic operations and comparisons do not.
"""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from math import prod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FloatFormat, Format, IntFormat, decode, encode
from halfulp.dtypes.checks import integer
from halfulp.dtypes.containers import is_tensor, open_source
from halfulp.dtypes.dtype_names import as_format
from halfulp.engines.activations import Activation
from halfulp.engines.arrays import apply_flat
from halfulp.engines.core import NEURONCORE_V2, NeuronCore
from halfulp.engines.gpsimd import INTEGERS
from halfulp.engines.instructions import Issue
from halfulp.engines.ledger import record
from halfulp.engines.operands import (
    NO_COUNTS,
    Counts,
    UnsupportedFormat,
    open_floats,
    size_bytes,
)
from halfulp.engines.outlines import is_outline, outline

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Function = Callable[..., Any]


@dataclass(frozen=True)
class CustomCall:
    """One call of a custom operator, as the ledger counts it.

    cycles  of the GPSIMD engine's clock, as the operator's own cost function says
    """

    name: str
    cycles: int


@dataclass(frozen=True)
class CustomOp:
    """A function that runs on the GPSIMD engine; made by `custom_op` or `CustomOp.of_torch`.

    function  of as many arrays as there are inputs, and of what else a call gives; returns one
    inputs    formats to which the arrays are rounded before
    output    format to which the result is rounded, once
    shape     the result's shape. Called as the function is, with shapes in the place of arrays
    cost      cycles, called like `shape`; None where they are not known
    name      in the ledger and in errors
    operator  of torch, for which it stands in an emulated model; None where there is none
    tensors   whether the function takes torch tensors, not numpy arrays

    Raises TypeError for fields that are not these, UnsupportedFormat for an integer format that is
    not of 8, 16 or 32 bits. Source: that GPSIMD runs functions of one's own, with a shape function
    beside them, is documented (custom C++ operators); that they compute in fp32 or in integers
    between two casts is assumed.
    """

    function: Function
    _: KW_ONLY
    inputs: tuple[Format, ...]
    output: Format
    shape: Callable[..., Sequence[int]]
    cost: Callable[..., int] | None = None
    name: str = ""
    operator: Any = None
    tensors: bool = False

    def __post_init__(self) -> None:
        inputs, output = tuple(map(as_format, self.inputs)), as_format(self.output)
        name = self.name or getattr(self.function, "__name__", "")
        if not isinstance(name, str) or not name:
            raise TypeError(f"name={self.name!r} is not a name; give a string")
        for what, value in (("function", self.function), ("shape", self.shape)):
            if not callable(value):
                raise TypeError(f"{name}: {what}={value!r} cannot be called; give a function")
        if self.cost is not None and not callable(self.cost):
            raise TypeError(f"{name}: cost={self.cost!r} is neither a function nor None")
        for fmt in (*inputs, output):
            if isinstance(fmt, IntFormat) and fmt.name not in INTEGERS:
                raise UnsupportedFormat(
                    f"{name}: GPSIMD has no {fmt} lanes; integers: {', '.join(INTEGERS)}"
                )
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "output", output)
        object.__setattr__(self, "name", name)

    @classmethod
    def of_torch(
        cls,
        operator: Any,
        *,
        inputs: Sequence[Format | str],
        output: Format | str,
        shape: Callable[..., Sequence[int]],
        cost: Callable[..., int] | None = None,
        name: str | None = None,
    ) -> Self:
        """The operator of torch (torch.ops.namespace.name) itself between the casts.

        Tensors first among its arguments, one result.
        """
        return cls(
            operator,
            inputs=tuple(map(as_format, inputs)),
            output=as_format(output),
            shape=shape,
            cost=cost,
            name=str(operator) if name is None else name,
            operator=operator,
            tensors=True,
        )

    def check(self, core: NeuronCore) -> None:
        """Raise UnsupportedEngine, UnsupportedFormat unless the core can run it."""
        _ = core.gpsimd
        for fmt in (*self.inputs, self.output):
            if isinstance(fmt, FloatFormat):
                core.check_result(fmt)

    def __call__(self, *arguments: Any, core: NeuronCore = NEURONCORE_V2, **choices: Any) -> Any:
        """Arrays first, one an input, then what else the function takes.

        returns  float32 values of a float format; integers in the type in which the function gives
                 them. A tensor where the first array is one
        casts    of floats to nearest even, NaN made canonical; to an integer format they saturate

        Raises TypeError for another number of arrays or for what is not one result, ValueError for
        a result of another shape than `shape` says. Its record is of the engine "gpsimd".
        """
        self.check(core)
        arrays, rest = self._split(arguments)
        opened, counts = [], np.zeros(4, np.int64)
        outlined = any(isinstance(one, np.ndarray) and is_outline(one) for one in arrays)
        for array, fmt in zip(arrays, self.inputs, strict=True):
            value, counted = (array, NO_COUNTS) if outlined else _rounded(array, fmt)
            opened.append(value)
            counts = counts + counted
        shapes = tuple(value.shape for value in opened)
        expected = self._shape(self.shape(*shapes, *rest, **choices))
        cycles = self._cycles(shapes, rest, choices)
        if outlined:
            self._record((*shapes, expected), counts, cycles)
            return outline(expected)
        given = self.function(*self._handed(opened), *rest, **choices)
        out, counted = self._result(given, expected, shapes)
        self._record((*shapes, expected), counts + counted, cycles)
        return open_source(arrays[0]).give_back(out) if arrays else out

    def _split(self, arguments: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        count = len(self.inputs)
        arrays, rest = arguments[:count], arguments[count:]
        more = [one for one in rest if isinstance(one, np.ndarray) or is_tensor(one)]
        if len(arrays) < count or more:
            raise TypeError(
                f"{self.name}: inputs {count}, arrays given {len(arrays) + len(more)};"
                " they come first, what else the function takes after them"
            )
        return arrays, rest

    def _handed(self, opened: list[Array]) -> Sequence[Any]:
        if not self.tensors:
            return opened
        import torch

        return [torch.from_numpy(array) for array in opened]

    def _shape(self, given: Any) -> Shape:
        try:
            return tuple(integer(length, "length", 0, 2**63 - 1) for length in given)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.name}: shape gives {given!r}, no shape: {error}") from None

    def _cycles(self, shapes: tuple[Shape, ...], rest: Any, choices: dict[str, Any]) -> int | None:
        if self.cost is None:
            return None
        return integer(self.cost(*shapes, *rest, **choices), f"{self.name}: cost", 0, 2**63 - 1)

    def _result(
        self, given: Any, expected: Shape, shapes: tuple[Shape, ...]
    ) -> tuple[Array, Counts]:
        """What the function gave, checked, rounded to the output's format and counted."""
        if isinstance(given, tuple | list | dict | str | None):
            raise TypeError(f"{self.name} gives a {type(given).__name__}; needed: one array")
        found = open_source(given)
        if found.array.dtype == np.float64 and type(given) is not float:
            raise TypeError(
                f"{self.name} gives float64, which would be rounded twice: the engine has fp32."
                " Compute in float32, or convert the result to it"
            )
        if found.array.shape != expected:
            raise ValueError(
                f"{self.name} gives shape {found.array.shape}; its shape function says {expected}"
                f" for {', '.join(map(str, shapes))}"
            )
        out, counts = _rounded(given, self.output)
        if isinstance(self.output, IntFormat) and found.array.dtype.kind in "iub":
            out = out.astype(found.array.dtype)
        return out, counts

    def _record(self, shapes: tuple[Shape, ...], counts: Counts, cycles: int | None) -> None:
        formats = (*self.inputs, self.output)
        size = sum(size_bytes(fmt, prod(shape)) for fmt, shape in zip(formats, shapes, strict=True))
        # typed for the Tensor Engine's instructions; what is read of one is its class and cycles
        call: Any = CustomCall(self.name, cycles or 0)
        issued = () if cycles is None else (Issue(call, 1),)
        names = tuple(fmt.name for fmt in formats)
        record("gpsimd", self.name, shapes, names, counts, size_bytes=size, issued=issued)


def custom_op(
    *,
    inputs: Sequence[Format | str],
    output: Format | str,
    shape: Callable[..., Sequence[int]],
    cost: Callable[..., int] | None = None,
    name: str | None = None,
    operator: Any = None,
    tensors: bool = False,
) -> Callable[[Function], CustomOp]:
    """Make a `CustomOp` of a function; the arguments are its fields.

    ```
    @custom_op(inputs=["bf16"], output="bf16", shape=lambda x: x)
    def clip(x):
        return np.clip(x, np.float32(0), np.float32(6))
    ```
    """

    def make(function: Function) -> CustomOp:
        return CustomOp(
            function,
            inputs=tuple(map(as_format, inputs)),
            output=as_format(output),
            shape=shape,
            cost=cost,
            name=name or "",
            operator=operator,
            tensors=tensors,
        )

    return make


def _rounded(x: Any, fmt: Format) -> tuple[Array, Counts]:
    """x in the format, new memory: float32 or integers; and what the cast changed."""
    if isinstance(fmt, FloatFormat):
        return apply_flat(open_floats(x)[0], Activation.COPY, 1.0, -0.0, fmt)
    source = open_source(x)
    codes = source.codes_of
    values = source.array if codes is None else decode(source.array, codes)
    out = np.asarray(encode(values, fmt))
    return out, _changes(values, out, fmt)


def _changes(values: Array, out: Array, fmt: IntFormat) -> Counts:
    """Overflow, underflow, NaN and infinite results of a cast to integers."""
    whole, nan = values, np.zeros((), np.bool_)
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # a signaling NaN
            values = values.astype(np.float64)
        whole, nan = np.rint(values), np.isnan(values)
    finite = np.isfinite(values)
    overflow = finite & ((whole > fmt.max) | (whole < fmt.min))
    underflow = finite & (values != 0) & (out == 0)
    found = [np.count_nonzero(one) for one in (overflow, underflow, nan)]
    return np.array([*found, 0], np.int64)
