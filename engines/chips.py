"""THE TABLE of chips: what the data sheets say, each number with its source."""

from dataclasses import dataclass

from halfulp.dtypes import BF16, FP16, INT8, TF32, FloatFormat, Format, IntFormat
from halfulp.engines.core import NEURONCORE_V1, NEURONCORE_V2, NeuronCore
from halfulp.engines.operands import UnsupportedFormat, as_format

_TERA = 10**12


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
class Array:
    """The systolic array of one core, where it is documented."""

    rows: int
    columns: int
    clock_hz: float
    source: str

    @property
    def ops_per_s(self) -> float:
        return 2 * self.rows * self.columns * self.clock_hz


@dataclass(frozen=True)
class Chip:
    """A chip of NeuronCores.

    key     name in `CHIPS` and on the command line
    int8    peak of INT8 operands
    half    of FP16 and BF16, and of cFP8 and TF32 where the core has them
    wide    of FP32, or None
    array   from which the 16-bit peak can be derived (`derived_half`), or None
    """

    name: str
    key: str
    core: NeuronCore
    cores: int
    int8: Peak
    half: Peak
    wide: Peak | None
    array: Array | None

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
        """The 16-bit peak from array and clock; the data sheet's is a little higher."""
        if self.array is None:
            return None
        source = f"array x clock, {self.array.source}"
        return Peak(self.cores * self.array.ops_per_s, "TFLOPS", source)


_SHEET1 = "data sheet (announcement of Inferentia2, inferentia.rst)"
_SHEET2 = "data sheet (announcement of Inferentia2, inferentia2.rst)"
INFERENTIA1 = Chip(
    name="Inferentia1",
    key="inferentia1",
    core=NEURONCORE_V1,
    cores=4,
    int8=Peak(128 * _TERA, "TOPS", _SHEET1),
    half=Peak(64 * _TERA, "TFLOPS", _SHEET1),
    wide=None,
    array=None,
)
INFERENTIA2 = Chip(
    name="Inferentia2",
    key="inferentia2",
    core=NEURONCORE_V2,
    cores=2,
    int8=Peak(380 * _TERA, "TOPS", f"{_SHEET2}; no compiler path reaches it"),
    half=Peak(190 * _TERA, "TFLOPS", _SHEET2),
    wide=Peak(47.5 * _TERA, "TFLOPS", _SHEET2),
    array=Array(128, 128, 2.8e9, "trainium_inferentia2_arch.rst"),
)
#: Every chip, by its key.
CHIPS: dict[str, Chip] = {chip.key: chip for chip in (INFERENTIA1, INFERENTIA2)}
