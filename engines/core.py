"""A NeuronCore: its engines and the formats that they take."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property

from halfulp.dtypes import (
    BF16,
    E4M3FN,
    FP16,
    FP32,
    INT8,
    INT16,
    INT32,
    TF32,
    UINT8,
    UINT16,
    UINT32,
    FloatFormat,
    Format,
)
from halfulp.dtypes.format import Specials
from halfulp.dtypes.parameters import fast32
from halfulp.dtypes.rounding import choice
from halfulp.engines.accumulation import (
    SYSTOLIC,
    Accumulation,
    IntegerAccumulator,
    check_accumulation,
)
from halfulp.engines.activations import Activation
from halfulp.engines.datapath import IntegerMatmul
from halfulp.engines.dma import DmaEngine
from halfulp.engines.gpsimd import GpSimdEngine
from halfulp.engines.operands import UnsupportedFormat
from halfulp.engines.piecewise import PiecewiseCubic
from halfulp.engines.reduction import SEQUENTIAL, Reduction
from halfulp.engines.scalar import ScalarEngine
from halfulp.engines.tensor import TensorEngine
from halfulp.engines.vector import VectorEngine

#: Functions with the tables in their places.
Tables = tuple[tuple[Activation, PiecewiseCubic], ...]


@dataclass(frozen=True)
class NeuronCore:
    """One core.

    name       as AWS writes it
    operands   formats that the Tensor Engine takes, cFP8 aside
    results    float formats that the engines' results may have, cFP8 aside
    cfp8       whether 8-bit floats of configurable exponent and mantissa exist
    source     where the lists come from

    has_gpsimd   whether it has a GPSIMD engine

    What is assumed of the Tensor Engine, to be varied by `dataclasses.replace`:

    accumulation     how its sums are added. One with a float accumulator is for float operands and
                     for integers on the fp32 path, an integer one for integers that are added as
                     such
    fp32_passes      4, or 1: one fused multiply-add a product of whole fp32 operands
    integer_matmul   which integers are added as integers: see `IntegerMatmul`
    reduction        in which order the Vector Engine adds along an axis
    tables           of the Scalar Engine: functions that are not the exact ones, each with its
                     piecewise cubic; a mapping, or pairs

    Raises TypeError, ValueError for fields that are not these.
    """

    name: str
    operands: frozenset[Format]
    results: frozenset[Format]
    cfp8: bool
    source: str
    _: KW_ONLY
    has_gpsimd: bool = True
    accumulation: Accumulation = SYSTOLIC
    fp32_passes: int = 4
    integer_matmul: IntegerMatmul = IntegerMatmul.DATA_SHEET
    reduction: Reduction = SEQUENTIAL
    tables: Mapping[Activation, PiecewiseCubic] | Tables = ()

    def __post_init__(self) -> None:
        check_accumulation(self.accumulation)
        held = self.accumulation.accumulator
        if isinstance(held, IntegerAccumulator) and held.bits > 32:
            raise ValueError(
                f"accumulation of {held.name}: PSUM holds numbers of 32 bits (neuron-core-v2.rst)"
            )
        if self.fp32_passes not in (1, 4):
            raise ValueError(f"fp32_passes={self.fp32_passes!r}; allowed: 4 and 1")
        rule = choice(IntegerMatmul, self.integer_matmul, "integer_matmul")
        object.__setattr__(self, "integer_matmul", rule)
        if not isinstance(self.reduction, Reduction):
            raise TypeError(f"reduction={self.reduction!r}; needed: a Reduction")
        pairs = self.tables.items() if isinstance(self.tables, Mapping) else self.tables
        chosen = tuple((choice(Activation, key, "tables"), table) for key, table in pairs)
        for function, table in chosen:
            if not isinstance(table, PiecewiseCubic):
                raise TypeError(f"tables: {table!r} for {function.value}; needed: a PiecewiseCubic")
        object.__setattr__(self, "tables", chosen)

    def table_of(self, function: Activation) -> PiecewiseCubic | None:
        """The table in a function's place; None for the exact function."""
        return dict(self.tables).get(function)

    @cached_property
    def tensor(self) -> TensorEngine:
        return TensorEngine(self)

    @cached_property
    def vector(self) -> VectorEngine:
        return VectorEngine(self)

    @cached_property
    def scalar(self) -> ScalarEngine:
        return ScalarEngine(self)

    @cached_property
    def gpsimd(self) -> GpSimdEngine:
        return GpSimdEngine(self)

    @cached_property
    def dma(self) -> DmaEngine:
        return DmaEngine(self)

    def check_operand(self, fmt: Format) -> None:
        """Raise UnsupportedFormat unless the Tensor Engine takes operands of this format."""
        self._check(fmt, self.operands, "TensorEngine operands")

    def check_result(self, fmt: Format) -> None:
        """Raise UnsupportedFormat unless an engine's result can have this format."""
        self._check(fmt, self.results, "results")

    def _check(self, fmt: Format, known: frozenset[Format], use: str) -> None:
        if fmt in known:
            return
        eight = fmt if self.cfp8 and isinstance(fmt, FloatFormat) and fmt.bits == 8 else None
        if eight is not None and eight.specials is Specials.IEEE and fast32(eight):
            return
        names = sorted(item.name for item in known)
        allowed = ", ".join([*names, "cfp8(E,M[,bias=B])"] if self.cfp8 else names)
        reason = ""
        if fmt == E4M3FN:
            reason = (
                "e4m3fn is OCP's format of later cores;"
                " here e4m3 is IEEE style, up to 240 (EVRF051). "
            )
        elif isinstance(fmt, FloatFormat) and fmt.specials is not Specials.IEEE:
            reason = "That kind of format is of other machines; a NeuronCore's are IEEE style. "
        elif eight is not None:
            reason = (
                "cFP8 is IEEE style, with a bias that keeps its values"
                " within float32's normal range (assumed). "
            )
        raise UnsupportedFormat(
            f"{self.name} has no {fmt.name} {use}. {reason}It takes {allowed} ({self.source})"
        )


NEURONCORE_V1 = NeuronCore(
    name="NeuronCore-v1",
    operands=frozenset({BF16, FP16, INT8}),
    results=frozenset({FP32, BF16, FP16}),
    cfp8=False,
    source="neuron-core-v1.rst",
    has_gpsimd=False,
)
NEURONCORE_V2 = NeuronCore(
    name="NeuronCore-v2",
    operands=frozenset({FP32, TF32, BF16, FP16, INT8, INT16, INT32, UINT8, UINT16, UINT32}),
    results=frozenset({FP32, TF32, BF16, FP16}),
    cfp8=True,
    source="neuron-core-v2.rst, data-types.rst",
)
