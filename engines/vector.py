"""The Vector Engine: elementwise operations, reductions and normalizations, in fp32."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from halfulp.engines.vector_movement import MovingInstructions
from halfulp.engines.vector_rows import RowInstructions
from halfulp.engines.vector_windows import WindowInstructions

if TYPE_CHECKING:
    from halfulp.engines.core import NeuronCore


class UnsupportedInstruction(NotImplementedError):
    """An instruction that this core has not."""


@dataclass(frozen=True)
class VectorEngine(RowInstructions, MovingInstructions, WindowInstructions):
    """Elementwise instructions, reductions, what is made of them, and moves of rows.

    Results are float32 values of `out_format`, rounded once to nearest even from the fp32 result;
    NaN is canonical. Shapes broadcast as numpy's do. Source: nki.isa, trainium_inferentia2_arch.rst
    (fp32 inside, free casts: documented); the order of a sum (`NeuronCore.reduction`) and the
    arithmetic inside bn_stats and bn_aggr are assumed (docs/numerics.md, "Vector, Scalar and DMA
    engines").
    """

    core: "NeuronCore"

    def range_select(self, *operands: Any, **options: Any) -> NoReturn:
        """Of later cores (documented: nki.isa range_select, NeuronCore-v3).

        Raises UnsupportedInstruction.
        """
        self._refuse("range_select", "select() with a mask says the same")

    def select_reduce(self, *operands: Any, **options: Any) -> NoReturn:
        """Of later cores (documented: nki.isa select_reduce, NeuronCore-v3).

        Raises UnsupportedInstruction.
        """
        self._refuse("select_reduce", "select() and then tensor_reduce() say the same")

    def _refuse(self, name: str, instead: str) -> NoReturn:
        raise UnsupportedInstruction(
            f"{self.core.name} has no {name}: it came with NeuronCore-v3 (nki.isa). {instead}"
        )
