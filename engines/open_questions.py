"""THE TABLE of what AWS leaves open inside the Tensor Engine, each with its alternatives.

What is assumed is `NeuronCore`'s own fields; an alternative is other values of them.
"""

from dataclasses import dataclass, replace
from typing import Any

from halfulp.dtypes import FP32, Format, Rounding
from halfulp.engines.accumulation import SYSTOLIC, Accumulation, Join
from halfulp.engines.core import NeuronCore


@dataclass(frozen=True)
class Question:
    """One thing that is not documented.

    name           short, for tables
    asks           the question, with what is assumed
    alternatives   other fields of a core, by name
    only           the operand format that it is about, None for all that take one pass
    """

    name: str
    asks: str
    alternatives: dict[str, dict[str, Any]]
    only: Format | None = None

    def cores(self, core: NeuronCore) -> dict[str, NeuronCore]:
        """The core with each alternative."""
        return {name: replace(core, **fields) for name, fields in self.alternatives.items()}


def _with(**fields: Any) -> dict[str, Accumulation]:
    return {"accumulation": replace(SYSTOLIC, **fields)}


QUESTIONS: tuple[Question, ...] = (
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
        only=FP32,
    ),
)


def questions(fmt: Format) -> tuple[Question, ...]:
    """Those that matter for operands of a format."""
    return tuple(q for q in QUESTIONS if q.only is None or q.only == fmt)
