"""Collectives with fractions, rank by rank and message by message: slow, the kernels' judge.

Numbers are Python floats that fp32 holds. It shares the facts of the formats with the kernels, and
no code.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite, isnan, nan
from typing import NamedTuple

from halfulp.dtypes import FP32, FloatFormat
from halfulp.dtypes.reference import round_exact
from halfulp.engines.reference import cast

Row = Sequence[float]
#: A rank's chunks.
Memory = list[list[float]]


class Message(NamedTuple):
    """Numbers that a rank sends to the next one in a step."""

    sender: int
    receiver: int
    chunk: int
    values: list[float]


class Ring(NamedTuple):
    """What every rank has at the end, flat, and the messages of every step."""

    ranks: list[list[float]]
    steps: list[list[Message]]


def add(a: float, b: float, fmt: FloatFormat) -> float:
    """a + b rounded once to `fmt`."""
    # of two fp32 the double's sum has the right sign where it is zero, and is right where it is
    # not finite
    total = a + b
    if total == 0 or not isfinite(total):
        return nan if isnan(total) else total
    return round_exact(Fraction(a) + Fraction(b), fmt)


def cut(row: Row, ranks: int) -> Memory:
    """The row in as many chunks: one element more for the first ones where it does not divide."""
    sizes = [0] * ranks
    for index in range(len(row)):
        sizes[index % ranks] += 1
    left = list(row)
    return [[left.pop(0) for _ in range(size)] for size in sizes]


def _send(memories: list[Memory], shift: int) -> list[Message]:
    """Every rank r sends its chunk r - shift to rank r + 1, all at once."""
    ranks = len(memories)
    messages = []
    for sender in range(ranks):
        chunk = (sender - shift) % ranks
        receiver = (sender + 1) % ranks
        messages.append(Message(sender, receiver, chunk, list(memories[sender][chunk])))
    return messages


def _scatter(memories: list[Memory], fmt: FloatFormat) -> list[list[Message]]:
    """Rank r begins with chunk r - 1; what arrives is added to the receiver's own, in place."""
    steps = []
    for step in range(len(memories) - 1):
        messages = _send(memories, step + 1)
        for message in messages:
            own = memories[message.receiver][message.chunk]
            pairs = zip(message.values, own, strict=True)
            sums = [add(arrived, x, fmt) for arrived, x in pairs]
            memories[message.receiver][message.chunk] = sums
        steps.append(messages)
    return steps


def _gather(memories: list[Memory]) -> list[list[Message]]:
    """Rank r begins with its own chunk; what arrives is kept, and sent on in the next step."""
    steps = []
    for step in range(len(memories) - 1):
        messages = _send(memories, step)
        for message in messages:
            memories[message.receiver][message.chunk] = message.values
        steps.append(messages)
    return steps


def _memories(parts: Sequence[Row], accumulate: FloatFormat) -> list[Memory]:
    ranks = len(parts)
    if ranks == 1:  # nothing is sent
        return [cut(parts[0], 1)]
    return [cut([cast(x, accumulate) for x in part], ranks) for part in parts]


def all_reduce(
    parts: Sequence[Row], accumulate: FloatFormat = FP32, out_format: FloatFormat = FP32
) -> Ring:
    """The sum of the parts at every rank."""
    memories = _memories(parts, accumulate)
    steps = _scatter(memories, accumulate) + _gather(memories)
    ranks = [[cast(x, out_format) for chunk in memory for x in chunk] for memory in memories]
    return Ring(ranks, steps)


def reduce_scatter(
    parts: Sequence[Row], accumulate: FloatFormat = FP32, out_format: FloatFormat = FP32
) -> Ring:
    """Chunk r of the sum at rank r."""
    memories = _memories(parts, accumulate)
    steps = _scatter(memories, accumulate)
    ends = [memory[rank] for rank, memory in enumerate(memories)]
    return Ring([[cast(x, out_format) for x in chunk] for chunk in ends], steps)


def all_gather(parts: Sequence[Row], out_format: FloatFormat = FP32) -> Ring:
    """Every part, one after the other, at every rank."""
    count = len(parts)
    memories: list[Memory] = [[[] for _ in range(count)] for _ in range(count)]
    for rank, part in enumerate(parts):
        memories[rank][rank] = [cast(x, out_format) for x in part]
    steps = _gather(memories)
    return Ring([[x for chunk in memory for x in chunk] for memory in memories], steps)
