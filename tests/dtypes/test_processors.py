"""The code for another processor: its assembly, read here, does what the names of its parts say."""

import re
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import pytest
from llvmlite import ir

from halfulp.dtypes import natives, team
from halfulp.dtypes.direction import Direction
from halfulp.dtypes.lanes import I64

ARM = "aarch64-unknown-linux-gnu"
#: RMode, bits 22 and 23 of FPCR (Arm Architecture Reference Manual, FPCR): 0 to nearest,
#: 1 toward plus infinity, 2 toward minus infinity, 3 toward zero.
RMODE = {Direction.NEAREST: 0, Direction.UP: 1, Direction.DOWN: 2, Direction.CUT: 3}


@pytest.fixture
def arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvmlite.binding, "get_process_triple", lambda: ARM)


def assembly(fill: Callable[[ir.Function], Any]) -> str:
    """What LLVM makes for ARM of a function of one int64."""
    module = ir.Module()
    module.triple = ARM
    fill(ir.Function(module, ir.FunctionType(ir.VoidType(), [I64]), "tested"))
    llvmlite.binding.initialize_all_targets()
    llvmlite.binding.initialize_all_asmprinters()
    parsed = llvmlite.binding.parse_assembly(str(module))
    parsed.verify()
    machine = llvmlite.binding.Target.from_triple(ARM).create_target_machine()
    return machine.emit_assembly(parsed)


def guarded(direction: Direction) -> Callable[[ir.Function], Any]:
    def fill(function: ir.Function) -> None:
        body = ir.Function(function.module, function.function_type, "body")
        natives._call_guarded(function, body, direction, None)

    return fill


@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("direction", Direction)
def test_arm_switches_the_direction_and_back(direction: Direction) -> None:
    text = assembly(guarded(direction))
    kept, written, called, restored = re.findall(
        r"^\s+(mrs\s+\w+, FPCR|msr\s+FPCR, \w+|bl\s+body)$", text, re.M
    )
    before = kept.split()[1].rstrip(",")
    assert (called.split(), restored.split()) == (["bl", "body"], ["msr", "FPCR,", before])
    register = written.split()[2]
    constants = re.findall(rf"mov\s+w{register[1:]}, #(\d+)$", text, re.M)
    value = 0 if register == "xzr" else int(constants[0])
    assert value == RMODE[direction] << 22, "and all else as it is by default"


@pytest.mark.usefixtures("arm")
def test_arm_rests_while_it_spins() -> None:
    def fill(function: ir.Function) -> None:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        team._pause(builder)
        builder.ret_void()

    assert re.findall(r"^\t(yield|hint.*)$", assembly(fill), re.M) == ["yield"]


def test_an_unknown_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    triple = "riscv64-unknown-linux-gnu"
    monkeypatch.setattr(llvmlite.binding, "get_process_triple", lambda: triple)
    with pytest.raises(NotImplementedError, match=f"{triple}: only .* x86 and 64-bit ARM"):
        assembly(guarded(Direction.NEAREST))
