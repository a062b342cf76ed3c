"""Piecewise cubics: what the Scalar Engine's functions are (documented), as tables of one's own.

The hardware's tables are not public. A `PiecewiseCubic` says what is known of their kind: segments,
each with a cubic, of which the first and the last go on outside (documented for sin: "sin(9.0) is
about 27.65", nki.api.shared.rst). How a segment is found and in what steps the cubic is computed is
assumed: d = x - anchor, then ((c3 d + c2) d + c1) d + c0, a fused multiply-add a step, in fp32.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from halfulp.dtypes.addresses import address
from halfulp.dtypes.intervals import number as pattern_number
from halfulp.dtypes.parameters import bits32
from halfulp.dtypes.threads import parallel
from halfulp.engines.memory import uninitialized
from halfulp.engines.operands import Floats, contiguous, pieces_of
from halfulp.engines.outlines import is_outline
from halfulp.engines.piecewise_kernel import SEGMENT_WORDS, piecewise

_SCHEMA = 1
_KIND = "halfulp piecewise cubic"
_CHUNK = 1024


class NotATable(ValueError):
    """A file that holds no table of this kind."""


@dataclass(frozen=True)
class Segment:
    """A cubic from `start` on, in d = x - anchor: c0 + c1 d + c2 d^2 + c3 d^3.

    All are numbers that float32 holds.
    """

    start: float
    anchor: float
    coefficients: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        numbers = (self.start, self.anchor, *self.coefficients)
        if len(self.coefficients) != 4:
            raise ValueError(f"{len(self.coefficients)} coefficients; a cubic has 4")
        for number in numbers:
            if number - number != 0 or pattern_number(bits32(number)) != number:
                raise ValueError(f"{number!r} in a segment; needed: finite numbers of float32")


@dataclass(frozen=True)
class PiecewiseCubic:
    """A function as cubics on neighboring segments, up to `stop`; outside, the end ones go on.

    name       what it stands for
    segments   their starts ascend

    Raises ValueError for segments that are none, or in another order.
    """

    name: str
    segments: tuple[Segment, ...]
    stop: float

    def __post_init__(self) -> None:
        starts = [segment.start for segment in self.segments]
        if not starts:
            raise ValueError("no segments; needed: one or more")
        ends = [*starts[1:], self.stop]
        if any(not start < end for start, end in zip(starts, ends, strict=True)):
            raise ValueError(f"segments from {starts} to {self.stop}; needed: ascending")

    @cached_property
    def _table(self) -> Floats:
        rows = [(s.start, s.anchor, *s.coefficients) for s in self.segments]
        return np.array(rows, np.float32).reshape(-1, SEGMENT_WORDS)

    def __call__(self, x: Floats) -> Floats:
        """The cubics of float32 numbers, any shape, as float32; NaN gives NaN.

        Of an infinity it is what the cubic's arithmetic gives, which may be NaN.
        """
        if is_outline(x):
            return x
        source = contiguous(x)
        out = uninitialized(source.shape)
        whole = source.size // _CHUNK
        table, rows = address(self._table), len(self.segments)
        places = address(source), address(out)

        def part(first: int, last: int) -> tuple[int, ...]:
            at = [place + 4 * first for place in places]
            return *at, last - first, table, rows

        pieces = [(a * _CHUNK, b * _CHUNK) for a, b in pieces_of(whole, _CHUNK)] if whole else []
        parallel(piecewise, [part(*piece) for piece in [*pieces, (whole * _CHUNK, source.size)]])
        return out

    def as_json(self) -> dict[str, Any]:
        """Numbers as float32's shortest decimals; `from_json` reads the same table."""
        rows = [
            {"start": s.start, "anchor": s.anchor, "coefficients": [*s.coefficients]}
            for s in self.segments
        ]
        return {"kind": _KIND, "schema": _SCHEMA, "name": self.name, "segments": rows,
                "stop": self.stop}  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "PiecewiseCubic":
        """The table that `as_json` wrote.

        Raises NotATable.
        """
        try:
            if (data["kind"], data["schema"]) != (_KIND, _SCHEMA):
                raise NotATable(f"kind and schema are {data['kind']!r}, {data['schema']!r}")
            segments = tuple(
                Segment(float(row["start"]), float(row["anchor"]), _four(row["coefficients"]))
                for row in data["segments"]
            )
            return cls(str(data["name"]), segments, float(data["stop"]))
        except (KeyError, TypeError, ValueError) as error:
            raise NotATable(f"no {_KIND} of schema {_SCHEMA}: {error}") from error

    def write(self, path: Path) -> None:
        """The table as a JSON file."""
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "PiecewiseCubic":
        """The table of a JSON file.

        Raises NotATable, OSError.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise NotATable(f"{path} is no JSON: {error}") from error
        return cls.from_json(data)


def _four(numbers: Sequence[Any]) -> tuple[float, float, float, float]:
    c0, c1, c2, c3 = (float(number) for number in numbers)
    return c0, c1, c2, c3
