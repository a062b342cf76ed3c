"""Which inputs tell accumulations apart, and what each accumulation answers to them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from halfulp.dtypes import FP32, FloatFormat
from halfulp.engines.accumulated import matmul
from halfulp.engines.accumulation import Accumulation, Entry, IntegerAccumulator
from halfulp.engines.alternative_inputs import TILE, Inputs, Values

Words = npt.NDArray[np.uint32]
Labels = npt.NDArray[np.int64]
#: The word of every NaN: its payload and sign are not what is asked.
NAN = 0x7FC00000
_MINUS_ZERO = 0x80000000


def canonical(words: Any) -> Words:
    """A copy of fp32 words, every NaN as `NAN`."""
    found: Words = np.array(words, np.uint32)
    found[(found & 0x7FFFFFFF) > 0x7F800000] = NAN
    return found


def check(how: Accumulation, fmt: FloatFormat) -> None:
    """Raise ValueError for an accumulation that takes no operands of `fmt` to an fp32 result."""
    how.check_operand(fmt)
    if isinstance(how.accumulator, IntegerAccumulator) or how.outside != FP32:
        raise ValueError(f"its result is {how.outside}, not fp32")
    if fmt == FP32 and (how.tile != TILE or how.entry is not Entry.END):
        raise ValueError(f"fp32 takes four passes a tile; needed: tile={TILE}, entry=end")


def answers(inputs: Inputs, how: Accumulation) -> Words:
    """fp32 words of each row times its column, no accumulator input; fp32 takes four passes."""
    check(how, inputs.fmt)
    a, b = inputs.values()
    if inputs.fmt == FP32:
        a, b = _passes(a, (0, 0, 1, 1)), _passes(b, (0, 1, 0, 1))
    sums = matmul(a[:, None, :], b[:, :, None], accumulation=how, a_format=inputs.fmt)
    return canonical(sums[:, 0, 0].view(np.uint32))


def _passes(x: Values, halves: tuple[int, ...]) -> Values:
    """Tiles of x, each as often as it goes through the array: its upper half (0) or its lower."""
    upper = (x.view(np.uint32) & np.uint32(0xFFFFF000)).view(np.float32)
    tiles = np.stack([upper, x - upper]).reshape(2, len(x), -1, TILE)
    return np.ascontiguousarray(tiles[list(halves)].transpose(1, 2, 0, 3)).reshape(len(x), -1)


def table(inputs: Inputs, candidates: Mapping[str, Accumulation]) -> Words:
    """(candidates, inputs) words of the answers."""
    rows = [answers(inputs, how) for how in candidates.values()]
    return np.array(rows, np.uint32).reshape(len(rows), len(inputs))


def classes(words: Words, names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names whose rows of (names, inputs) words are equal, in the order of each class's first."""
    found: dict[bytes, list[str]] = {}
    for name, row in zip(names, words, strict=True):
        found.setdefault(row.tobytes(), []).append(name)
    return [tuple(group) for group in found.values()]


def telling(library: Inputs, candidates: Mapping[str, Accumulation]) -> Inputs:
    """A few inputs of the library that tell apart whatever candidates all of it tells apart."""
    return library.take(telling_places(table(library, candidates), library.designed))


def telling_places(words: Words, designed: int) -> list[int]:
    """Places of the few inputs, by the (candidates, inputs) words of all, ascending.

    Designed ones as far as they go, then random ones; last those to which only the sign of a zero
    differs, which a machine may well give for a reason that no candidate has. One where nothing is
    told apart.
    """
    unsigned = np.where(words == _MINUS_ZERO, 0, words)
    places: list[int] = []
    for some in (unsigned[:, :designed], unsigned, words):
        places = chosen(some, places)
    return sorted(places) or [0]


def chosen(words: Words, start: Sequence[int] = ()) -> list[int]:
    """Places of a few inputs that tell apart what all of (names, inputs) words do.

    Greedy: after those of `start`, the input that leaves the fewest pairs together, of several the
    first. In the end those of the new ones are dropped, from the first on, without which nothing is
    lost.
    """
    columns = [_labels(words[:, [place]]) for place in range(words.shape[1])]
    found = list(start)
    labels = _labels(words[:, found])
    whole = _together(_labels(words))
    while _together(labels) > whole:
        finer = [labels * len(words) + column for column in columns]
        best = min(range(len(columns)), key=lambda place: _together(finer[place]))
        found.append(best)
        labels = _labels(words[:, found])
    for place in found[len(start) :]:
        rest = [other for other in found if other != place]
        found = rest if _together(_labels(words[:, rest])) == whole else found
    return found


def _labels(words: Words) -> Labels:
    """A number for each row, the same for equal rows."""
    return np.unique(words, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _together(labels: Labels) -> int:
    """Pairs with the same label."""
    counts = np.unique(labels, return_counts=True)[1].tolist()
    return sum(count * (count - 1) // 2 for count in counts)
