"""How a pair of operand formats goes through the Tensor Engine: its passes, and what adds them."""

from dataclasses import dataclass, replace
from enum import StrEnum, unique
from typing import TYPE_CHECKING

from halfulp.dtypes import FP32, INT8, Format, IntFormat, Rounding
from halfulp.engines.accumulation import (
    SYSTOLIC,
    Accumulation,
    Entry,
    IntegerAccumulator,
    NanRule,
)
from halfulp.engines.operands import UnsupportedFormat

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore

_INT32 = Accumulation(tile=128, accumulator=IntegerAccumulator(32))
_SYSTOLIC = replace(SYSTOLIC, nan=NanRule.CANONICAL)
_SECTION = 'docs/numerics.md, "Tensor Engine"'


@unique
class IntegerMatmul(StrEnum):
    """Which integer operands are added as integers, in 32 bits that wrap."""

    DATA_SHEET = "data_sheet"  #: int8 x int8; the others take the compiler's fp32 path
    INT32 = "int32"  #: all of at most 16 bits (assumed); wider ones take the fp32 path
    FP32 = "fp32"  #: none: every one takes the fp32 path (data-types.rst)


@dataclass(frozen=True)
class Datapath:
    """What a pair of formats meets.

    passes   1, or 4 for fp32 in two halves
    integer  whether the sums are integers
    sums     how the general kernels add them; None: the systolic array's kernels do
    cost     1, or 4: the cycles beside those of bf16, whatever the passes that are computed
    """

    passes: int
    integer: bool
    sums: Accumulation | None
    cost: int = 1

    @property
    def general(self) -> Accumulation:
        """How the general kernels add them, though others may be faster."""
        if self.sums is not None:
            return self.sums
        return _INT32 if self.integer else _SYSTOLIC


def datapath(core: "NeuronCore", a: Format, b: Format) -> Datapath:
    """The way of a pair of formats that `core` takes and that go together.

    Raises UnsupportedFormat for sums that the core's accumulation cannot hold or order.
    """
    how = replace(core.accumulation, nan=NanRule.CANONICAL)
    if _adds_integers(core.integer_matmul, a, b):
        if isinstance(how.accumulator, IntegerAccumulator):
            _check_held(how, (a, b))
            return Datapath(1, True, how)
        # float accumulations say nothing of integers
        return Datapath(1, True, None if a == b == INT8 else _INT32)
    wide = FP32 in (a, b) or isinstance(a, IntFormat)
    passes, cost = (core.fp32_passes, 4) if wide else (1, 1)
    if core.accumulation == SYSTOLIC:
        return Datapath(passes, False, None, cost)
    _check_held(how, (FP32, FP32) if wide else (a, b))
    if passes == 4:
        _check_passes(how, a, b)
    return Datapath(passes, False, how, cost)


def _adds_integers(rule: IntegerMatmul, a: Format, b: Format) -> bool:
    if not (isinstance(a, IntFormat) and isinstance(b, IntFormat)):
        return False
    if rule is IntegerMatmul.INT32:
        return max(a.bits, b.bits) <= 16
    return rule is IntegerMatmul.DATA_SHEET and a == b == INT8


def _check_held(how: Accumulation, formats: tuple[Format, Format]) -> None:
    for fmt in formats:
        try:
            how.check_operand(fmt)
        except ValueError as error:
            raise UnsupportedFormat(f"the core's accumulation: {error} ({_SECTION})") from None


def _check_passes(how: Accumulation, a: Format, b: Format) -> None:
    if how.entry is not Entry.END:
        raise UnsupportedFormat(
            f"{a.name} x {b.name} takes four passes, each a chain of its own that enters PSUM"
            f" ({_SECTION}); an accumulation with entry={how.entry} has no such entry: it needs"
            " entry=end, or the core fp32_passes=1"
        )
    if how.rounding is Rounding.STOCHASTIC:
        raise UnsupportedFormat(
            f"{a.name} x {b.name} takes four passes ({_SECTION}), and which of its draws a pass"
            " begins with is not defined: give another rounding, or the core fp32_passes=1"
        )
