"""Cycles of the instructions beside the Tensor Engine's, whose are in `engines.instructions`.

Documented for NeuronCore-v2 (nki.isa, until December 2025), in cycles of the engine's own clock for
N elements of a partition; what nki.isa does not say is marked. Data lie in 128 partitions: an
operation on elements fills them all, one along rows has a row in each.
"""

from collections.abc import Callable, Iterator
from math import prod
from typing import NamedTuple

from halfulp.engines.ledger import Record

LANES = 128
#: No instruction takes less (documented: MIN_II, about 64).
LEAST = 64
#: Elements of a row that one bn_stats takes (documented: nki.isa bn_stats).
_MOST = 512
#: What starts an instruction of the GPSIMD Engine (documented: nki.isa iota).
_GPSIMD_START = 150


class Step(NamedTuple):
    """Cycles of one engine."""

    engine: str
    cycles: int


class Inputs(NamedTuple):
    """What the ledger does not say of an instruction's operands.

    psum    one of them is read from PSUM
    narrow  all are of 16 bits or fewer
    """

    psum: bool = False
    narrow: bool = False


def _spread(elements: int) -> int:
    """N of elements that fill all partitions."""
    return -(-elements // LANES)


def _tiles(record: Record) -> tuple[int, int]:
    """(how often 128 rows, N) of an operation along the last axis of the first operand."""
    *lead, columns = record.shapes[0]
    return -(-prod(lead) // LANES), columns


def _streamed(n: int) -> int:
    """An instruction that takes an element a cycle."""
    return max(LEAST, n)


def _vector(cycles: int) -> Iterator[Step]:
    yield Step("vector", cycles)


def _elementwise(record: Record, inputs: Inputs) -> Iterator[Step]:
    """tensor_tensor: two cycles an element but for operands of PSUM or of 16 bits."""
    n = _spread(prod(record.shapes[-1]))
    return _vector(_streamed(n if inputs.psum or inputs.narrow else 2 * n))


def _plain(record: Record, inputs: Inputs) -> Iterator[Step]:
    return _vector(_streamed(_spread(prod(record.shapes[-1]))))


def _reduce(record: Record, inputs: Inputs) -> Iterator[Step]:
    """Of what comes in; sums and maxima of 16 bits go at twice the rate."""
    n = _spread(prod(record.shapes[0]))
    return _vector(_streamed(-(-n // 2) if inputs.narrow else n))


def _reciprocal(record: Record, inputs: Inputs) -> Iterator[Step]:
    return _vector(_streamed(8 * _spread(prod(record.shapes[-1]))))


def _scan(record: Record, inputs: Inputs) -> Iterator[Step]:
    tiles, n = _tiles(record)
    return _vector(tiles * _streamed(2 * n))


def _rows(record: Record, inputs: Inputs) -> Iterator[Step]:
    """bn_stats; max8 like it (assumed)."""
    tiles, n = _tiles(record)
    return _vector(tiles * _streamed(n))


def _bn_aggr(record: Record, inputs: Inputs) -> Iterator[Step]:
    tiles, n = _tiles(record)
    return _vector(tiles * _streamed(13 * n // 3))


def _statistics(n: int) -> int:
    """bn_stats of every chunk of a row, and bn_aggr of their six numbers each."""
    whole, rest = divmod(n, _MOST)
    chunks = [_MOST] * whole + [rest] * (rest > 0)
    return sum(map(_streamed, chunks)) + _streamed(13 * 6 * len(chunks) // 3)


def _layernorm(record: Record, inputs: Inputs) -> Iterator[Step]:
    """bn_stats, bn_aggr, rsqrt, (x - mean) * factor, * gamma, + beta."""
    tiles, n = _tiles(record)
    affine = _streamed(n if inputs.narrow else 2 * n)
    yield Step("vector", tiles * (_statistics(n) + _streamed(n) + 2 * affine))
    yield Step("scalar", tiles * LEAST)


def _rmsnorm(record: Record, inputs: Inputs) -> Iterator[Step]:
    """The squares with their sum, / n + eps, rsqrt, * factor, * gamma."""
    tiles, n = _tiles(record)
    affine = _streamed(n if inputs.narrow else 2 * n)
    yield Step("vector", tiles * (LEAST + _streamed(n) + affine))
    yield Step("scalar", tiles * (_streamed(n) + LEAST + LEAST))


def _softmax(record: Record, inputs: Inputs) -> Iterator[Step]:
    """* scale + mask in one pass, max, exp(x - max) with its sum, reciprocal, product."""
    tiles, n = _tiles(record)
    vector = _streamed(n) + _streamed(n) + _streamed(8) + _streamed(n)
    yield Step("vector", tiles * vector)
    yield Step("scalar", tiles * (_streamed(n) + LEAST))


def _batchnorm(record: Record, inputs: Inputs) -> Iterator[Step]:
    """bn_stats, bn_aggr, rsqrt, then two operators in one pass."""
    n = _spread(prod(record.shapes[0]))
    yield Step("vector", _statistics(n) + _streamed(n))
    yield Step("scalar", LEAST)


def _activation(record: Record, inputs: Inputs) -> Iterator[Step]:
    """With scale and bias; with its sum 64 cycles more."""
    more = LEAST if record.instruction.startswith("activation_reduce") else 0
    yield Step("scalar", _streamed(_spread(prod(record.shapes[0]))) + more)


def _gpsimd(record: Record, inputs: Inputs) -> Iterator[Step]:
    """150 + N (documented for iota, affine_select and local_gather; the others as those: assumed).

    A custom operator says its own.
    """
    n = _spread(max(map(prod, record.shapes)))
    yield Step("gpsimd", record.cycles if record.issued else _GPSIMD_START + n)


def _tensor(record: Record, inputs: Inputs) -> Iterator[Step]:
    yield Step("tensor", record.cycles)


Rule = Callable[[Record, Inputs], Iterator[Step]]
_VECTOR: dict[str, Rule] = {
    "tensor_tensor": _elementwise,
    "select": _elementwise,  # assumed
    "tensor_scalar": _plain,
    "tensor_copy": _plain,
    "nc_transpose": _plain,
    "nc_stream_shuffle": _plain,
    "tensor_reduce": _reduce,
    "pool": _reduce,  # its windows, each element once (assumed)
    "reciprocal": _reciprocal,
    "tensor_tensor_scan": _scan,
    "bn_stats": _rows,
    "max8": _rows,
    "bn_aggr": _bn_aggr,
    "layernorm": _layernorm,
    "rmsnorm": _rmsnorm,
    "softmax": _softmax,
    "batchnorm": _batchnorm,
}
_ENGINES: dict[str, Rule] = {"tensor": _tensor, "scalar": _activation, "gpsimd": _gpsimd}


_PLAIN_INPUTS = Inputs()


def steps(record: Record, inputs: Inputs = _PLAIN_INPUTS) -> tuple[Step, ...]:
    """What an operation takes of each engine, in the order in which they work.

    DMA takes none: it is bytes over a bandwidth.

    Raises KeyError for an instruction that no engine has.
    """
    if record.engine == "dma":
        return ()
    rule = _VECTOR[record.instruction] if record.engine == "vector" else _ENGINES[record.engine]
    return tuple(rule(record, inputs))
