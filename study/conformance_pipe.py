"""Inputs and answers of a cast in any language, as lines of hexadecimal numbers.

A line of `gen` is the pattern of one input. The cast answers each with a line of its own, in any
order: that pattern, blanks, and the code (or the pattern of the value) that it gives.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from halfulp.dtypes.conformance import decoded
from halfulp.dtypes.conformance_inputs import SOURCES, Doubles, inputs, widened
from halfulp.dtypes.format import FloatFormat
from halfulp.dtypes.wording import are

#: What an answer may be, beside "code": the type whose pattern the value has.
RESULTS = ("code", *SOURCES)
# No answer is longer; a stream without line ends must not fill the memory.
_LONGEST = 100
_ANSWER = re.compile(rb"\s*(?:0x)?([0-9a-f]{1,16})\s+(?:0x)?([0-9a-f]{1,16})\s*", re.IGNORECASE)


class BadAnswers(ValueError):
    """Answers that cannot be read, or do not answer what was asked."""


def questions(fmt: FloatFormat, source: str, level: int) -> str:
    """The lines of the inputs."""
    words = inputs(fmt, source, level).view(SOURCES[source])
    width = 2 * words.itemsize
    return "".join(f"{word:0{width}x}\n" for word in words.tolist())


def answers(stream: BinaryIO, fmt: FloatFormat, source: str, level: int, result: str) -> Doubles:
    """The values that a cast gave for `conformance_inputs.inputs`, in its order.

    result   one of RESULTS

    Raises BadAnswers with the line.
    """
    words = inputs(fmt, source, level).view(SOURCES[source])
    bits = fmt.bits if result == "code" else 8 * SOURCES[result].itemsize
    asked, given = np.zeros(len(words), np.uint64), np.zeros(len(words), np.uint64)
    count = 0
    for number, pattern, answer in _lines(stream):
        if pattern >> (8 * words.itemsize):
            raise BadAnswers(
                f"line {number}: {pattern:x} is no pattern of {source}; give check the --source"
                " that gen had"
            )
        if count == len(words):
            raise BadAnswers(f"line {number}: there were only {count:,} inputs to answer")
        if answer >> bits:
            kind = f"code of {fmt}" if result == "code" else f"pattern of {result}"
            raise BadAnswers(
                f"line {number}: {answer:x} is no {kind}, which has {bits} bits;"
                f" --result says what answers are ({', '.join(RESULTS)})"
            )
        asked[count], given[count] = pattern, answer
        count += 1
    if not count:
        raise BadAnswers("no answer came: did the cast start, and does it read standard input?")
    places = _places(asked[:count], words, f"gen {fmt} --source {source} --level {level}")
    in_order = np.zeros(len(words), np.uint64)
    in_order[places] = given[:count]
    if result == "code":
        return decoded(in_order.astype(fmt.code_dtype), fmt)
    return widened(in_order.astype(SOURCES[result]).view(result))


def _lines(stream: BinaryIO) -> Iterator[tuple[int, int, int]]:
    number = 0
    while line := stream.readline(_LONGEST):
        number += 1
        if not line.strip():
            continue
        match = _ANSWER.fullmatch(line)
        if match is None:
            shown = ascii(line[:40].decode("latin-1").rstrip("\r\n"))
            raise BadAnswers(
                f"line {number} is {shown}; an answer is two hexadecimal numbers,"
                " the input and the result"
            )
        yield number, int(match[1], 16), int(match[2], 16)


def _places(asked: np.ndarray, words: np.ndarray, command: str) -> np.ndarray:
    """Where each answered pattern stands among the inputs; each must stand there once."""
    order = np.argsort(words)
    ordered = words[order].astype(np.uint64)
    found = np.minimum(np.searchsorted(ordered, asked), len(words) - 1)

    def shown(pattern: np.uint64) -> str:
        return f"{int(pattern):0{2 * words.itemsize}x}"

    foreign = np.flatnonzero(ordered[found] != asked)
    if len(foreign):
        raise BadAnswers(
            f"answer {foreign[0] + 1} is to {shown(asked[foreign[0]])}, no input of `{command}`;"
            " give check the FORMAT, --source and --level that gen had"
        )
    counts = np.bincount(found, minlength=len(words))
    if counts.max() > 1:
        raise BadAnswers(f"{shown(ordered[counts.argmax()])} is answered {counts.max()} times")
    missing = ordered[counts == 0]
    if len(missing):
        raise BadAnswers(
            f"{len(asked):,} of {len(words):,} inputs {are(len(asked))} answered,"
            f" {shown(missing[0])} is not: did the cast stop early?"
        )
    return order[found]
