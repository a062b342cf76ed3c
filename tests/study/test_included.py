"""Chips, instances and prices of one's own: checked as the tables are, a source for each number."""

from pathlib import Path

import pytest

from halfulp.engines.chips import INFERENTIA2
from halfulp.quant import named_policy
from halfulp.study.calibrated import shipped
from halfulp.study.included import BUILT_IN, IncludeError, include
from halfulp.study.rates import rate

OURS = 'source = "our plan", as_of = 2026-11-01'
GOOD = f"""
[core.faster]
based_on = "NeuronCore-v2"
tensor_clock = {{ value = 5.6e9, unit = "Hz", {OURS} }}

[chip.wide]
based_on = "inferentia2"
core = "faster"
cores = 4
memory = {{ value = 64e9, unit = "bytes", {OURS} }}
half = {{ value = 800e12, unit = "ops/s", {OURS} }}

[instance.wide-box]
chip = "wide"
chips = 2
prices.on-demand = {{ value = 3.1, unit = "USD/h", {OURS} }}

[price."inf2.xlarge"]
contract = {{ value = 0.5, unit = "USD/h", {OURS} }}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_chip_in_a_few_lines(tmp_path: Path) -> None:
    hardware = include(written(tmp_path, GOOD))
    chip, instance = hardware.chips["wide"], hardware.instances["wide-box"]
    assert (chip.cores, chip.key, chip.memory.value) == (4, "wide", 64e9)
    assert chip.peak("bf16").tera == 800 and "our plan" in chip.peak("bf16").source
    # what was not given is that of the chip it is based on
    assert chip.peak("fp32") == INFERENTIA2.peak("fp32") and chip.stream == INFERENTIA2.stream
    assert instance.cores == 8 and instance.price().value == 3.1
    # one's own price comes first, the others stay
    known = hardware.instances["inf2.xlarge"]
    assert known.price().value == 0.5 and known.price("on-demand").value == 0.758
    assert BUILT_IN.instances["inf2.xlarge"].price().value == 0.758


def test_its_rates_come_from_its_own_numbers_and_nobody_measured_it(tmp_path: Path) -> None:
    chip = include(written(tmp_path, GOOD)).chips["wide"]
    policy = named_policy("bf16-matmult")
    ours, theirs = (
        rate("distilbert", 8, 64, one, policy, calibrated=shipped()) for one in (chip, INFERENTIA2)
    )
    tensor = "tensor"
    assert ours.work.least_seconds[tensor] == theirs.work.least_seconds[tensor] / 2
    assert ours.calibrated is None and theirs.calibrated is not None
    assert ours.latency_s == ours.timeline.end_s
    assert ours.peak_s * 200e12 == pytest.approx(theirs.peak_s * 95e12, rel=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f", {OURS} }}\n\n[chip", " }\n\n[chip", "core.faster.tensor_clock has no as_of, source"),
        ('source = "our plan"', 'source = " "', "source=' '; needed: who says so"),
        ("value = 5.6e9", "value = 0", "value=0; needed: a finite number greater than zero"),
        ("value = 5.6e9", "value = nan", "needed: a finite number"),
        ("value = 5.6e9", 'value = "fast"', "value='fast'; needed: a number"),
        ("value = 5.6e9", "value = true", "value=True; needed: a number"),
        ('unit = "Hz"', 'unit = "GHz"', "unit='GHz'; allowed: 1, Hz, bytes"),
        ('unit = "Hz"', 'unit = "bytes"', "tensor_clock is in bytes; needed: Hz"),
        ('unit = "ops/s"', 'unit = "Hz"', "chip.wide.half is in Hz; needed: ops/s"),
        ("as_of = 2026-11-01", 'as_of = "today"', "needed: a date such as"),
        ('based_on = "inferentia2"', 'based_on = "tpu"', "chip.wide.based_on: 'tpu' is not known"),
        ('based_on = "inferentia2"\n', "", "chip.wide.based_on: None is not known"),
        ('core = "faster"', 'core = "slower"', "chip.wide.core: 'slower' is not known"),
        ("cores = 4", "cores = 0", "chip.wide.cores=0 is out of range"),
        ("cores = 4", "cores = 2.5", "chip.wide.cores=2.5 is not an integer"),
        ("cores = 4", "cores = 4\ncolor = 1", "chip.wide has color; allowed: based_on"),
        ('chip = "wide"', 'chip = "narrow"', "instance.wide-box.chip: 'narrow' is not known"),
        ("prices.on-demand", "prices.a.b", "instance.wide-box.prices.a"),
        ('[price."inf2.xlarge"]', '[price."inf9.xlarge"]', "price: 'inf9.xlarge' is not known"),
        ("[core.faster]", "[kernel.faster]", "the file has kernel; allowed: core, chip"),
        ("[core.faster]", "[core", "own.toml"),
        ("[core.faster]", '[core."NeuronCore-v2"]', "core.NeuronCore-v2 is there already"),
        ("[chip.wide]", "[chip.inferentia2]", "chip.inferentia2 is there already"),
        ("contract = {", "contract = 0.5 #", "contract=0.5; needed: {value, unit, source"),
    ],
)  # fmt: skip
def test_a_wrong_file_says_where(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(IncludeError) as error:
        include(written(tmp_path, GOOD.replace(old, new)))
    assert message in str(error.value) and "own.toml" in str(error.value)


def test_an_instance_without_a_price_is_refused(tmp_path: Path) -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith("prices")]
    with pytest.raises(IncludeError, match="wide-box has no price"):
        include(written(tmp_path, "\n".join(lines)))


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(IncludeError, match="missing.toml"):
        include(tmp_path / "missing.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(IncludeError, match="bytes.toml"):
        include(tmp_path / "bytes.toml")
    assert include(written(tmp_path, "")) == BUILT_IN
