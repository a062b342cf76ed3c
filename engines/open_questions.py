"""THE TABLE of what AWS leaves open inside the Tensor Engine, each with its alternatives.

What is assumed is `NeuronCore`'s own fields; an alternative is other values of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from halfulp.dtypes import FP32, INT8, Format, IntFormat, Rounding
from halfulp.engines.accumulation import (
    SYSTOLIC,
    Accumulation,
    Entry,
    IntegerAccumulator,
    Join,
    Order,
    Wrap,
)
from halfulp.engines.core import NeuronCore


def adds_integers(fmt: Format) -> bool:
    """Whether sums are integers, which no order and no rounding changes."""
    return fmt == INT8


def adds_floats(fmt: Format) -> bool:
    return not adds_integers(fmt)


def takes_passes(fmt: Format) -> bool:
    """Whether operands take the fp32 path."""
    return fmt == FP32 or _is_wide_integer(fmt)


def takes_one_pass(fmt: Format) -> bool:
    return adds_floats(fmt) and not takes_passes(fmt)


def _is_wide_integer(fmt: Format) -> bool:
    return isinstance(fmt, IntFormat) and not adds_integers(fmt)


def _is_short_integer(fmt: Format) -> bool:
    """Whether these are integers on the fp32 path that could be added as integers."""
    return _is_wide_integer(fmt) and fmt.bits <= 16


@dataclass(frozen=True)
class Question:
    """One thing that is not documented.

    name           short, for tables
    asks           the question, with what is assumed
    alternatives   other fields of a core, by name
    about          whether a format of operands can meet a difference
    """

    name: str
    asks: str
    alternatives: dict[str, dict[str, Any]]
    about: Callable[[Format], bool] = adds_floats

    def cores(self, core: NeuronCore) -> dict[str, NeuronCore]:
        """The core with each alternative."""
        return {name: replace(core, **fields) for name, fields in self.alternatives.items()}


def _with(**fields: Any) -> dict[str, Accumulation]:
    return {"accumulation": replace(SYSTOLIC, **fields)}


_SATURATING = Accumulation(tile=128, accumulator=IntegerAccumulator(32, overflow=Wrap.SATURATE))

QUESTIONS: tuple[Question, ...] = (
    Question(
        "direction",
        "from which row sums flow through a column (assumed: from row 0 up)",
        # a chain for each row, each going on from the one behind it
        {"from row 127 down": _with(chains=128, descending=True)},
    ),
    Question(
        "start",
        "from what the first sum of a tile starts (assumed: from +0, PSUM is added at the end)",
        {"from PSUM": _with(entry=Entry.FIRST)},
        takes_one_pass,
    ),
    Question(
        "order",
        "how many products a step adds (assumed: one, with a rounding)",
        {
            "a tree of pairs": _with(order=Order.PAIRWISE, block=None),
            "a tile, rounded once": _with(order=Order.EXACT, block=None),
        },
    ),
    Question(
        "chains",
        "how many chains of partial sums a column has (assumed: 1)",
        {
            "2 strided": _with(chains=2, join=Join.SEQUENTIAL),
            "4 strided, in sequence": _with(chains=4, join=Join.SEQUENTIAL),
            "4 strided, in pairs": _with(chains=4, join=Join.PAIRWISE),
        },
    ),
    Question(
        "products",
        "whether a product is rounded before it is added (assumed: fused)",
        {"rounded": _with(rounds_products=True)},
    ),
    Question(
        "rounding",
        "how a partial sum is rounded in the array (assumed: to nearest even)",
        {"toward zero": _with(rounding=Rounding.TOWARD_ZERO)},
    ),
    Question(
        "exponents",
        "how wide the exponents are inside the array (assumed: fp32's 8 bits)",
        {"10 bits": _with(extra_exponent_bits=2)},
    ),
    Question(
        "tile",
        "how many rows a K tile has (assumed: 128; 64 with row tiling, documented for v2)",
        {"64 rows": _with(tile=64)},
    ),
    Question(
        "subnormals",
        "whether subnormal numbers are kept (assumed: kept)",
        {
            "operands flushed": _with(flushes_inputs=True),
            "sums flushed": _with(flushes_results=True),
            "both flushed": _with(flushes_inputs=True, flushes_results=True),
        },
    ),
    Question(
        "PSUM",
        "how the addition to PSUM is rounded (assumed: to nearest even)",
        {"toward zero": _with(psum_rounding=Rounding.TOWARD_ZERO)},
    ),
    Question(
        "fp32 passes",
        "whether whole fp32 operands are multiplied (assumed: four passes)",
        {"one": {"fp32_passes": 1}},
        takes_passes,
    ),
    Question(
        "int8",
        "whether int8 is added as integers (assumed: yes, as the data sheet says)",
        {"fp32 path": {"integer_matmul": "fp32"}},
        adds_integers,
    ),
    Question(
        "int32 overflow",
        "what becomes of an integer sum beyond 32 bits (assumed: it wraps)",
        {"saturates": {"accumulation": _SATURATING}},
        adds_integers,
    ),
    Question(
        "short integers",
        "whether integers of 16 bits are added as integers (assumed: no, on the fp32 path)",
        {"in int32, which wraps": {"integer_matmul": "int32"}},
        _is_short_integer,
    ),
)


def questions(fmt: Format) -> tuple[Question, ...]:
    """Those that matter for operands of a format."""
    return tuple(q for q in QUESTIONS if q.about(fmt))
