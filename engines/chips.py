"""THE TABLE of chips: what the data sheets say, each number with its source.

Gibibytes where a page writes GiB; others write GB of the same memories.
"""

from dataclasses import dataclass, replace
from datetime import date

from halfulp.dtypes import BF16, FP16, INT8, TF32, FloatFormat, Format, IntFormat
from halfulp.engines.core import NEURONCORE_V1, NEURONCORE_V2, NeuronCore
from halfulp.engines.facts import Fact, check_unit
from halfulp.engines.operands import UnsupportedFormat, as_format
from halfulp.engines.specs import GIB, SPEC_V1, SPEC_V2, CoreSpec

_TERA = 10**12
_READ = date(2026, 8, 1)  # the snapshot of the documentation that was read


@dataclass(frozen=True)
class Peak:
    """A peak rate of a chip.

    ops_per_s   operations a second; a multiply-accumulate is two
    unit        "TOPS" for integers, "TFLOPS" for floats
    source      who says so
    """

    ops_per_s: float
    unit: str
    source: str

    @property
    def tera(self) -> float:
        """10^12 operations a second."""
        return self.ops_per_s / _TERA


@dataclass(frozen=True)
class Chip:
    """A chip of NeuronCores.

    key      name in `CHIPS` and on the command line
    int8     peak of INT8 operands
    half     of FP16 and BF16, and of cFP8 and TF32 where the core has them
    wide     of FP32, or None
    memory   bytes of the device's memory, which its cores share
    stream   bytes a second that it gives to all of them
    link     bytes a second of NeuronLink, in and out of the chip together; None where nobody says
    spec     of one core, by the NKI guide

    Raises TypeError, ValueError for facts of other units.
    """

    name: str
    key: str
    core: NeuronCore
    cores: int
    int8: Peak
    half: Peak
    wide: Peak | None
    memory: Fact
    stream: Fact
    link: Fact | None
    spec: CoreSpec

    def __post_init__(self) -> None:
        for name, unit in (("memory", "bytes"), ("stream", "bytes/s"), ("link", "bytes/s")):
            check_unit(getattr(self, name), unit, f"{self.name}: {name}")

    def peak(self, fmt: Format | str) -> Peak:
        """The data sheet's peak for matmul operands of this format.

        Raises UnsupportedFormat where the core does not take it or the data sheet gives none.
        """
        found = as_format(fmt)
        self.core.check_operand(found)
        if found == INT8:
            return self.int8
        if isinstance(found, FloatFormat) and (found in (BF16, FP16, TF32) or found.bits == 8):
            return self.half
        if self.wide is None:
            raise UnsupportedFormat(f"{self.name}: the data sheet gives no peak for {found.name}")
        if isinstance(found, IntFormat):
            source = f"{found.name} takes the fp32 path; {self.wide.source}"
            return Peak(self.wide.ops_per_s, self.wide.unit, source)
        return self.wide

    @property
    def derived_half(self) -> Peak | None:
        """The 16-bit peak from array and clock; the data sheet's is a little higher.

        None where the clock is assumed.
        """
        if self.spec.tensor_clock.is_assumed:
            return None
        source = f"array x clock, {self.spec.tensor_clock.source}"
        return Peak(self.cores * self.spec.ops_per_s, "TFLOPS", source)


_SHEET1 = "data sheet (announcement of Inferentia2, inferentia.rst)"
_SHEET3 = "data sheet (trainium.rst)"
_SHEET2 = "data sheet (announcement of Inferentia2, inferentia2.rst)"
INFERENTIA1 = Chip(
    name="Inferentia1",
    key="inferentia1",
    core=NEURONCORE_V1,
    cores=4,
    int8=Peak(128 * _TERA, "TOPS", _SHEET1),
    half=Peak(64 * _TERA, "TFLOPS", _SHEET1),
    wide=None,
    memory=Fact(8 * GIB, "bytes", "inferentia.rst", _READ),
    stream=Fact(50 * GIB, "bytes/s", "inferentia.rst", _READ),
    link=Fact(32 * GIB, "bytes/s", "inf1-arch.rst: 6xlarge and 24xlarge", _READ),
    spec=SPEC_V1,
)
INFERENTIA2 = Chip(
    name="Inferentia2",
    key="inferentia2",
    core=NEURONCORE_V2,
    cores=2,
    int8=Peak(380 * _TERA, "TOPS", f"{_SHEET2}; no compiler path reaches it"),
    half=Peak(190 * _TERA, "TFLOPS", _SHEET2),
    wide=Peak(47.5 * _TERA, "TFLOPS", _SHEET2),
    memory=Fact(32 * GIB, "bytes", "inferentia2.rst", _READ),
    stream=Fact(820 * GIB, "bytes/s", "inferentia2.rst", _READ),
    link=Fact(192 * GIB, "bytes/s", "inf2-arch.rst, since 2023-05-26", _READ),
    spec=SPEC_V2,
)
#: The same core in a chip of which there are more measurements; its numerics are Inferentia2's.
TRAINIUM1 = replace(
    INFERENTIA2,
    name="Trainium1",
    key="trainium1",
    int8=Peak(380 * _TERA, "TOPS", f"{_SHEET3}; no compiler path reaches it"),
    half=Peak(190 * _TERA, "TFLOPS", _SHEET3),
    wide=Peak(47.5 * _TERA, "TFLOPS", _SHEET3),
    memory=Fact(32 * GIB, "bytes", "trainium.rst", _READ),
    stream=Fact(820 * GIB, "bytes/s", "trainium.rst", _READ),
    link=Fact(384 * GIB, "bytes/s", "trn1-arch.rst: 32xlarge (a column without header)", _READ),
)
#: Every chip whose formats are emulated, by its key.
CHIPS: dict[str, Chip] = {chip.key: chip for chip in (INFERENTIA1, INFERENTIA2)}
#: Every chip that has rates.
RATED_CHIPS: dict[str, Chip] = {**CHIPS, TRAINIUM1.key: TRAINIUM1}
