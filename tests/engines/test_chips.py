"""The table of chips: the data sheets' figures, what is derived from them, what is refused."""

import pytest

from halfulp.dtypes import FORMATS, IntFormat, cfp8
from halfulp.engines import (
    CHIPS,
    INFERENTIA1,
    INFERENTIA2,
    NEURONCORE_V1,
    NEURONCORE_V2,
    Chip,
    UnsupportedFormat,
)

PEAKS = [
    (INFERENTIA1, "bf16", 64.0, "TFLOPS"),
    (INFERENTIA1, "fp16", 64.0, "TFLOPS"),
    (INFERENTIA1, "int8", 128.0, "TOPS"),
    (INFERENTIA2, "fp32", 47.5, "TFLOPS"),
    (INFERENTIA2, "tf32", 190.0, "TFLOPS"),
    (INFERENTIA2, "bf16", 190.0, "TFLOPS"),
    (INFERENTIA2, "fp16", 190.0, "TFLOPS"),
    (INFERENTIA2, "e4m3", 190.0, "TFLOPS"),
    (INFERENTIA2, "e5m2", 190.0, "TFLOPS"),
    (INFERENTIA2, "e3m4", 190.0, "TFLOPS"),
    (INFERENTIA2, "cfp8(2,5,bias=3)", 190.0, "TFLOPS"),
    (INFERENTIA2, "int8", 380.0, "TOPS"),
]


@pytest.mark.parametrize(("chip", "name", "tera", "unit"), PEAKS)
def test_the_peaks_of_the_data_sheets(chip: Chip, name: str, tera: float, unit: str) -> None:
    peak = chip.peak(name)
    assert peak.tera == tera and peak.ops_per_s == tera * 10**12
    assert peak.unit == unit
    assert "data sheet" in peak.source and ".rst" in peak.source


@pytest.mark.parametrize("name", ["int16", "int32"])
def test_integers_without_a_datapath_take_the_rate_of_fp32_and_say_so(name: str) -> None:
    peak = INFERENTIA2.peak(name)
    assert peak.tera == 47.5
    assert f"{name} takes the fp32 path" in peak.source


@pytest.mark.parametrize("name", ["fp32", "tf32", "e4m3", "int16", "e4m3fn", "cfp8(2,5,bias=3)"])
def test_what_inferentia1_has_not(name: str) -> None:
    with pytest.raises(UnsupportedFormat, match="NeuronCore-v1 has no"):
        INFERENTIA1.peak(name)


@pytest.mark.parametrize("name", ["e4m3fn", "int4", "float(6,9)"])
def test_what_inferentia2_has_not(name: str) -> None:
    with pytest.raises(UnsupportedFormat, match="NeuronCore-v2 has no"):
        INFERENTIA2.peak(name)


def test_the_peak_from_array_and_clock_is_a_little_lower() -> None:
    derived = INFERENTIA2.derived_half
    assert derived is not None
    assert round(derived.tera, 1) == 183.5
    assert derived.ops_per_s == 2 * 2 * 128 * 128 * 2.8e9
    assert "array x clock" in derived.source
    assert INFERENTIA1.derived_half is None  # its clock is not documented


def test_chips_and_their_cores() -> None:
    assert CHIPS == {"inferentia1": INFERENTIA1, "inferentia2": INFERENTIA2}
    for key, chip in CHIPS.items():
        assert chip.key == key and chip.name.lower() == key
    assert (INFERENTIA1.core, INFERENTIA1.cores) == (NEURONCORE_V1, 4)
    assert (INFERENTIA2.core, INFERENTIA2.cores) == (NEURONCORE_V2, 2)
    assert NEURONCORE_V2.name == "NeuronCore-v2"


def test_every_operand_of_a_core_has_a_peak_or_a_refusal() -> None:
    for chip in CHIPS.values():
        for fmt in (*FORMATS.values(), cfp8(1, 6), cfp8(6, 1), IntFormat(5)):
            try:
                chip.core.check_operand(fmt)
            except UnsupportedFormat:
                with pytest.raises(UnsupportedFormat):
                    chip.peak(fmt)
            else:
                assert chip.peak(fmt).tera > 0
