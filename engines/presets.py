"""THE TABLE of machines: what is known, or assumed, of the sums in their matrix instructions.

Sources are those of `preset_sources.SOURCES`.

No vectors have a NaN, an infinity, an overflow or a subnormal result but those of Zen 4: what the
NVIDIA machines do there (NaN with all bits set, infinity whatever the rounding, subnormals kept, no
floor under E) is what MMA-Sim says, and FASI of subnormals.
"""

import difflib
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum, unique
from itertools import product
from typing import Any

from halfulp.dtypes import (
    BF16,
    E4M3FN,
    E5M2,
    FP16,
    FP32,
    INT8,
    INT16,
    INT32,
    TF32,
    UINT8,
    FloatFormat,
    Format,
    Rounding,
)
from halfulp.engines.accumulation import (
    SYSTOLIC,
    Accumulation,
    Checked,
    Entry,
    IntegerAccumulator,
    Join,
    NanRule,
    Order,
    Wrap,
)


@unique
class Standing(StrEnum):
    """How a preset is known."""

    VECTORS = "vectors"  #: every public output of the hardware is reproduced
    MEASURED = "measured"  #: every output that was taken for this project is reproduced
    ASSUMED = "assumed"  #: not documented, and no outputs are public


@dataclass(frozen=True)
class Preset:
    """A matrix instruction of a machine.

    name          key in `PRESETS`: machine-instruction-operands-result
    machine       those for which the source speaks
    instruction   as its maker spells it
    out_format    of the result
    standing      how `accumulation` is known, as far as finite normal numbers go
    source        who says so
    note          what the source leaves open, or where it ends
    documented    fields of `accumulation` that the machine's maker documents
    modeled       fields that no output reaches: what another project's model of the machine does

    Raises ValueError for operands that the accumulator does not hold.
    """

    name: str
    machine: str
    instruction: str
    _: KW_ONLY
    a_format: Format
    b_format: Format
    out_format: Format
    accumulation: Accumulation
    standing: Standing
    source: str
    note: str = ""
    documented: frozenset[str] = frozenset()
    modeled: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.accumulation.check_operand(self.a_format)
        self.accumulation.check_operand(self.b_format)


#: Of the fp8 instructions of Ada, and of Hopper's WGMMA: fp32 whose ten lowest bits are zero.
E8M13 = FloatFormat(8, 13)


def _fused(block: int, fraction_bits: int, accumulator: FloatFormat, **more: Any) -> Accumulation:
    """fp32 results are truncated, those of fp16 rounded to nearest (vectors)."""
    nearest = accumulator == FP16
    return Accumulation(
        Order.FUSED,
        block=block,
        fraction_bits=fraction_bits,
        accumulator=accumulator,
        rounding=Rounding.NEAREST_EVEN if nearest else Rounding.TOWARD_ZERO,
        nan=NanRule.ALL_ONES,
        **more,
    )


def _apart(accumulator: FloatFormat) -> Accumulation:
    """Two blocks of 16, of alternate pairs, from +0; c is added to their sum, to nearest."""
    return _fused(16, 25, accumulator, tile=32, chains=2, run=2, entry=Entry.END)


_ONE = "the vectors have one block; that low k come first is MMA-Sim's, for V100 presumed"
_CUT_C = "c has fp32 and is cut toward zero with the products, as the accumulator input is here"
_ZERO_C = f"in the vectors c is 0, where it enters is MMA-Sim's; {_CUT_C}"
_WIDTH = "22 to 25 fraction bits give the same vectors"
_UNREACHED = frozenset(
    ("floor_exponent", "overflows_to_infinity", "flushes_inputs", "flushes_results", "nan")
)
_UNREACHED_TOO = {_ONE: {"chains"}, _ZERO_C: {"entry"}}
_NVIDIA = {
    "v100": "NVIDIA V100",
    "a100": "NVIDIA A100, A2",
    "ada": "NVIDIA RTX 1000 Ada, L40S",
    "h100": "NVIDIA H100, H200",
    "b200": "NVIDIA B200",
}
_WMMA, _WMMA8 = "wmma m16n16k16", "wmma m16n16k8"
_MMA, _WGMMA = "mma.sync m16n8k32", "wgmma k32"
_TENSOR_CORES: tuple[tuple[str, str, FloatFormat, FloatFormat, Accumulation, str], ...] = (
    ("v100", _WMMA, FP16, FP32, _fused(4, 23, FP32), _ONE),
    ("v100", _WMMA, FP16, FP16, _fused(4, 23, FP16), _ONE),
    ("a100", _WMMA, FP16, FP32, _fused(8, 24, FP32), _ONE),
    ("a100", _WMMA, FP16, FP16, _fused(8, 24, FP16), _ONE),
    ("a100", _WMMA, BF16, FP32, _fused(8, 24, FP32), _ONE),
    ("a100", _WMMA8, TF32, FP32, _fused(4, 24, FP32), _ONE),
    ("ada", _WMMA, FP16, FP32, _fused(8, 24, FP32), _ONE),
    ("ada", _WMMA, FP16, FP16, _fused(8, 24, FP16), _ONE),
    ("ada", _WMMA, BF16, FP32, _fused(8, 24, FP32), _ONE),
    ("ada", _WMMA8, TF32, FP32, _fused(4, 24, FP32), _ONE),
    ("ada", _MMA, E4M3FN, FP32, _fused(16, 13, E8M13), _CUT_C),
    ("ada", _MMA, E4M3FN, FP16, _fused(16, 13, FP16), ""),
    ("ada", _MMA, E5M2, FP32, _fused(16, 13, E8M13), _CUT_C),
    ("ada", _MMA, E5M2, FP16, _fused(16, 13, FP16), ""),
    ("h100", _WMMA, FP16, FP32, _fused(16, 25, FP32), _ONE),
    ("h100", _WMMA, FP16, FP16, _fused(16, 25, FP16), _ONE),
    ("h100", _WMMA, BF16, FP32, _fused(16, 25, FP32), _ONE),
    ("h100", _WMMA8, TF32, FP32, _fused(8, 25, FP32), _ONE),
    ("h100", _WGMMA, E4M3FN, FP32, _fused(32, 13, E8M13), _ZERO_C),
    ("h100", _WGMMA, E5M2, FP32, _fused(32, 13, E8M13), _ZERO_C),
    ("h100", _MMA, E4M3FN, FP16, _apart(FP16), _WIDTH),
    ("h100", _MMA, E5M2, FP16, _apart(FP16), _WIDTH),
    ("b200", _WMMA, FP16, FP32, _fused(16, 25, FP32), _ONE),
    ("b200", _WMMA, FP16, FP16, _fused(16, 25, FP16), _ONE),
    ("b200", _WMMA, BF16, FP32, _fused(16, 25, FP32), _ONE),
    ("b200", _WMMA8, TF32, FP32, _fused(8, 25, FP32), _ONE),
    ("b200", _MMA, E4M3FN, FP32, _apart(FP32), _WIDTH),
    ("b200", _MMA, E4M3FN, FP16, _apart(FP16), _WIDTH),
    ("b200", _MMA, E5M2, FP32, _apart(FP32), _WIDTH),
    ("b200", _MMA, E5M2, FP16, _apart(FP16), _WIDTH),
)


def _tensor_core(
    key: str, instruction: str, fmt: FloatFormat, out: FloatFormat, how: Accumulation, note: str
) -> Preset:
    kind = instruction.split()[0].removesuffix(".sync")
    return Preset(
        f"{key}-{kind}-{fmt}-{out}",
        _NVIDIA[key],
        instruction,
        a_format=fmt,
        b_format=fmt,
        out_format=out,
        accumulation=how,
        standing=Standing.VECTORS,
        source="vectors" if how.entry is Entry.END else "vectors; MMA-Sim",
        note=note,
        modeled=_UNREACHED | _UNREACHED_TOO.get(note, set()),
    )


def _vnni(instruction: str, a: Format, b: Format, tile: int, overflow: Wrap) -> Preset:
    held = IntegerAccumulator(32, overflow=overflow, checked=Checked.TILE)
    return Preset(
        f"zen4-{instruction.lower()}-{a}-{INT32}",
        "AMD Zen 4",
        instruction,
        a_format=a,
        b_format=b,
        out_format=INT32,
        accumulation=Accumulation(tile=tile, accumulator=held),
        standing=Standing.MEASURED,
        source="Zen 4",
    )


_X86 = (
    Preset(
        "zen4-vdpbf16ps-bf16-fp32",
        "AMD Zen 4",
        "VDPBF16PS",
        a_format=BF16,
        b_format=BF16,
        out_format=FP32,
        accumulation=Accumulation(
            tile=2,
            chains=2,
            descending=True,  # the odd one of a pair is in the upper half of 32 bits, and first
            flushes_inputs=True,
            flushes_results=True,
            nan=NanRule.OPERAND,
        ),
        standing=Standing.MEASURED,
        source="Zen 4; Intel's page of VDPBF16PS says the same",
        note="TDPBF16PS (AMX) is documented otherwise",
    ),
    _vnni("VPDPBUSD", UINT8, INT8, 4, Wrap.WRAP),
    _vnni("VPDPBUSDS", UINT8, INT8, 4, Wrap.SATURATE),
    _vnni("VPDPWSSD", INT16, INT16, 2, Wrap.WRAP),
    _vnni("VPDPWSSDS", INT16, INT16, 2, Wrap.SATURATE),
)

_NKI = "NKI: rows in order, fp32 sums, PSUM in fp32 across tiles; the rest assumed"
_PATENTS = "US 11,308,027 (chains), US 11,467,806 (exponents); patents prove nothing about a chip"


def _alternatives() -> dict[str, Accumulation]:
    """Every combination of what is open; chains are strided by row, and their sums added."""
    found = {}
    for chains, rounds, cut, wide in product(
        ((1, Join.CHAINED), (2, Join.SEQUENTIAL), (4, Join.SEQUENTIAL), (4, Join.PAIRWISE)),
        (False, True), (False, True), (False, True),
    ):  # fmt: skip
        count, join = chains
        words = [f"chains{count}", *([join.value] if count == 4 else [])]
        words += ["rounded"] * rounds + ["truncated"] * cut + ["wide"] * wide
        found["neuroncore-assumed-" + "-".join(words)] = Accumulation(
            tile=128,
            chains=count,
            join=join,
            entry=Entry.END,
            rounds_products=rounds,
            rounding=Rounding.TOWARD_ZERO if cut else Rounding.NEAREST_EVEN,
            extra_exponent_bits=2 if wide else 0,
        )
    return found


#: What a NeuronCore may do inside its array, by name: 1, 2 or 4 chains (4 joined in sequence or in
#: pairs), products fused or "rounded", sums nearest even or "truncated", exponents of fp32 or
#: "wide" by two bits. The one that the engines take is "neuroncore-assumed-chains1" (`SYSTOLIC`).
NEURONCORE: dict[str, Accumulation] = _alternatives()


def _neuroncore(name: str, machine: str, accumulation: Accumulation, source: str) -> Preset:
    return Preset(
        name,
        machine,
        "matmul",
        a_format=BF16,
        b_format=BF16,
        out_format=FP32,
        accumulation=accumulation,
        standing=Standing.ASSUMED,
        source=source,
        note="assumed: direction, start at +0, chains, roundings, exponent range, NaN, subnormals",
        documented=frozenset(("accumulator", "psum")),
    )


#: Every preset, by its name.
PRESETS: dict[str, Preset] = {
    found.name: found
    for found in (
        *(_tensor_core(*row) for row in _TENSOR_CORES),
        *_X86,
        *(
            _neuroncore(f"neuroncore-{v}-matmul-bf16-fp32", f"NeuronCore-{v}", SYSTOLIC, _NKI)
            for v in ("v1", "v2")
        ),
        *(
            _neuroncore(name, "NeuronCore-v1, v2", how, f"{_NKI}; {_PATENTS}")
            for name, how in NEURONCORE.items()
        ),
    )
}


def preset(name: str) -> Preset:
    """The preset of that name. Raises ValueError with the nearest names for an unknown one."""
    if name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(name, PRESETS, 3, 0) or list(PRESETS)
    raise ValueError(f"no preset {name!r}; the nearest: {', '.join(near)}")
