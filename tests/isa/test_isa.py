"""What `make isa` would tell: a difference, a missing program; and what it asks."""

import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from halfulp.dtypes import E2M1FN, E4M3, INT8, Overflow, Rounding
from tests.isa.__main__ import Row, differences, main, table
from tests.isa.bits import choices
from tests.isa.parts import EVERYWHERE, PARTS
from tests.isa.processors import PROCESSORS
from tests.test_architecture import WITHOUT_OPTIONAL
from tests.tree import ROOT

NATIVE = Row("native", "zen4", 1.0, {name: f"digest of {name}" for name in PARTS}, True)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_differs_is_named_and_changes_the_hash(part: str) -> None:
    other = replace(NATIVE, name="other", parts={**NATIVE.parts, part: "another"})
    assert differences([NATIVE, NATIVE, other]) == [f"other differs from native: {part}"]
    assert (other.hash != NATIVE.hash) is (part in EVERYWHERE)
    assert other.hash[:16] in table([NATIVE, other])
    assert differences([NATIVE, replace(NATIVE, name="other")]) == []


def test_every_processor_does_all_the_work() -> None:
    for one in PROCESSORS:
        assert sorted(one.parts + one.more) == sorted(PARTS)
        assert set(EVERYWHERE) <= set(one.parts)


def test_casts_are_made_in_every_rounding_with_every_overflow_that_the_format_can_have() -> None:
    for fmt, overflows in ((E4M3, set(Overflow)), (E2M1FN, set(Overflow) - {Overflow.NAN})):
        made = [(c["rounding"], c["overflow"]) for c in choices(fmt) if "overflow" in c]
        assert len(made) == len(set(made)) == len(Rounding) * len(overflows)
        assert {overflow for _, overflow in made} == overflows
    assert {c["rounding"] for c in choices(INT8) if "rounding" in c} == set(Rounding)


def test_what_runs_elsewhere_needs_no_optional_package() -> None:
    code = f"{WITHOUT_OPTIONAL}\nimport tests.isa.bits"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_emulator_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if "qemu" in name else f"bin/{name}")
    with pytest.raises(SystemExit, match="missing: qemu-user; on Debian: apt-get install qemu-u"):
        main([])
    with pytest.raises(SystemExit, match="unknown: --quick"):
        main(["--quick"])
