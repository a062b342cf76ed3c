"""THE TABLE of what other libraries and specifications do with numbers beyond a format.

Each is a choice of `Overflow` for each format, given to a cast by its name: overflow="torch".
"""

from collections.abc import Callable
from dataclasses import dataclass

from halfulp.dtypes.format import Format
from halfulp.dtypes.formats import E4M3FN
from halfulp.dtypes.rounding import NanTo, Overflow


@dataclass(frozen=True)
class Compatibility:
    """Another one's treatment of numbers beyond a format.

    overflow   the policy for a format
    nan        what its NaN becomes where the format has none; None where it says nothing
    source     where this is known from
    """

    name: str
    overflow: Callable[[Format], Overflow]
    nan: NanTo | None
    source: str

    def __str__(self) -> str:
        return self.name


def _own_answer(fmt: Format) -> Overflow:
    return Overflow.INF


def _saturating(fmt: Format) -> Overflow:
    return Overflow.SATURATE_ALL


def _torch(fmt: Format) -> Overflow:
    return Overflow.SATURATE_ALL if fmt == E4M3FN else Overflow.INF


NEURON = Compatibility(
    "neuron",
    _own_answer,
    NanTo.ZERO,
    "derived: formats of IEEE style, nearest even; NaN where there is none: assumed",
)
OCP = Compatibility(
    "ocp", _saturating, None, "OCP OFP8 1.0, saturating mode; OCP MX 1.0, conversion of elements"
)
ML_DTYPES = Compatibility(
    "ml_dtypes",
    _own_answer,
    NanTo.ZERO,
    "measured: ml_dtypes 0.6.0 from float32; its zero for NaN in e2m1fn is -0, ours +0",
)
TORCH = Compatibility(
    "torch",
    _torch,
    None,
    "measured: torch 2.13.0 on the CPU; earlier ones gave NaN for e4m3fn",
)
COMPATIBILITY: dict[str, Compatibility] = {
    policy.name: policy for policy in (NEURON, OCP, ML_DTYPES, TORCH)
}
