"""THE TABLE of what engines and memories of a core do in a second, each number with its source.

This is the set of the NKI guide: what its instructions cost. The other set, the data sheet's peaks,
is in `engines.chips`; no number of one is derived from the other.
"""

from dataclasses import dataclass, fields
from datetime import date

from halfulp.engines.costs import LANES, Step
from halfulp.engines.facts import Fact, check_unit

GIB = 1 << 30
MIB = 1 << 20

_READ = date(2026, 8, 1)  # the snapshot of the documentation that was read
_NKI = "NKI guide (trainium_inferentia2_arch.rst)"
_DMA = "NKI guide (nki-dma-overview.rst): 17 B/ns an engine, 16 engines a core"
_V1 = "neuron-core-v1.rst"
_RATIO = "neuron-core-v2.rst"


@dataclass(frozen=True)
class CoreSpec:
    """One core.

    array_rows, array_columns   of the Tensor Engine
    vector_lanes, scalar_lanes  elements a cycle
    sbuf, psum                  bytes of its memories; None where nobody says
    dma                         bytes a second between the device's memory and the core, one way

    Raises TypeError, ValueError for facts of other units.
    """

    name: str
    array_rows: Fact
    array_columns: Fact
    tensor_clock: Fact
    vector_lanes: Fact
    vector_clock: Fact
    scalar_lanes: Fact
    scalar_clock: Fact
    gpsimd_clock: Fact | None = None
    sbuf: Fact | None = None
    psum: Fact | None = None
    dma: Fact | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.name != "name":
                check_unit(getattr(self, one.name), _unit(one.name), f"{self.name}: {one.name}")

    @property
    def ops_per_s(self) -> float:
        """Array x clock, a multiply-accumulate as two."""
        return 2 * self.array_rows.value * self.array_columns.value * self.tensor_clock.value

    def seconds(self, step: Step) -> float:
        """What cycles of one engine take, that are of 128 lanes, or of an array of 128 x 128.

        Raises ValueError for an engine that the core has not.
        """
        if step.engine == "tensor":
            cells = self.array_rows.value * self.array_columns.value
            return step.cycles * (LANES * LANES / cells) / self.tensor_clock.value
        if step.engine == "gpsimd":
            if self.gpsimd_clock is None:
                raise ValueError(f"{self.name} has no GPSIMD Engine")
            return step.cycles / self.gpsimd_clock.value
        lanes: Fact = getattr(self, f"{step.engine}_lanes")
        clock: Fact = getattr(self, f"{step.engine}_clock")
        return step.cycles * (LANES / lanes.value) / clock.value


def _unit(name: str) -> str:
    if name.endswith("_clock"):
        return "Hz"
    return {"sbuf": "bytes", "psum": "bytes", "dma": "bytes/s"}.get(name, "1")


def _nki(value: float, unit: str) -> Fact:
    return Fact(value, unit, _NKI, _READ)


SPEC_V2 = CoreSpec(
    name="NeuronCore-v2",
    array_rows=_nki(128, "1"),
    array_columns=_nki(128, "1"),
    tensor_clock=_nki(2.8e9, "Hz"),
    vector_lanes=_nki(128, "1"),
    vector_clock=_nki(1.12e9, "Hz"),
    scalar_lanes=_nki(128, "1"),
    scalar_clock=_nki(1.4e9, "Hz"),
    gpsimd_clock=_nki(1.4e9, "Hz"),
    sbuf=_nki(24 * MIB, "bytes"),
    psum=_nki(2 * MIB, "bytes"),
    dma=Fact(16 * 17e9, "bytes/s", _DMA, _READ),
)
#: Of a NeuronCore-v1 16 TFLOPS are documented, and what Vector and Scalar do in a cycle.
_CLOCK_V1 = 16e12 / (2 * 128 * 128)
_ARRAY_V1 = "assumed: the array of NeuronCore-v2; its clock from 16 TFLOPS (neuron-core-v1.rst)"
SPEC_V1 = CoreSpec(
    name="NeuronCore-v1",
    array_rows=Fact(128, "1", _ARRAY_V1, _READ),
    array_columns=Fact(128, "1", _ARRAY_V1, _READ),
    tensor_clock=Fact(_CLOCK_V1, "Hz", _ARRAY_V1, _READ),
    vector_lanes=Fact(256, "1", f"assumed: as many as operations a cycle, 256 ({_V1})", _READ),
    vector_clock=Fact(1e9, "Hz", "assumed: no document has the clock", _READ),
    scalar_lanes=Fact(512, "1", f"assumed: as many as operations a cycle, 512 ({_V1})", _READ),
    scalar_clock=Fact(1e9, "Hz", "assumed: no document has the clock", _READ),
)
#: How much faster NeuronCore-v2's engines are said to be than v1's: 10 and 3 times. They contradict
#: what v1 does in a cycle at any one clock; what is calibrated takes them, bounds take the other.
VECTOR_RATIO = Fact(10, "1", f"{_RATIO}: Vector Engine, 10 times", _READ)
SCALAR_RATIO = Fact(3, "1", f"{_RATIO}: Scalar Engine, 3 times", _READ)
