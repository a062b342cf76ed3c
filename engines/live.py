"""Dot product instructions of the processor itself, where it has them: witnesses of `presets`."""

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import config

from halfulp.dtypes import BF16
from halfulp.dtypes.addresses import address
from halfulp.dtypes.jit import Kernel, kernel
from halfulp.dtypes.lanes import I32, I64, Lanes, load, store
from halfulp.dtypes.natives import native, unpack
from halfulp.dtypes.threads import alone
from halfulp.engines.grid import Counter
from halfulp.engines.presets import Preset

Array = npt.NDArray[Any]
_LANES = 16  # 32-bit sums of a register; each takes 32 bits of either operand


class UnsupportedInstruction(RuntimeError):
    """The processor, or the one that numba is told to compile for, has not this instruction."""


def _build(mnemonic: str) -> Callable[[ir.Function], None]:
    """(sums, a, b, steps): steps of one instruction, in order."""

    def build(function: ir.Function) -> None:
        llvmlite.binding.initialize_native_asmparser()
        sums, a, b, steps = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        vector = ir.VectorType(I32, _LANES)
        kind = ir.FunctionType(vector, [vector] * 3)
        # as assembly: no compiler comes between the instruction and what is asked of it
        instruction = ir.InlineAsm(kind, f"{mnemonic} $3, $2, $0", "=v,0,v,v", side_effect=False)
        loop = Counter(builder, steps, 1, [load(builder, sums, I32, _LANES)])
        shift = builder.mul(loop.index, I64(4 * _LANES))
        operands = [load(builder, builder.add(base, shift), I32, _LANES).value for base in (a, b)]
        result = builder.call(instruction, [loop.sums[0].value, *operands])
        store(builder, loop.close([Lanes(builder, result)])[0], sums)
        builder.ret_void()

    return build


def _instruction(mnemonic: str) -> Any:
    return native(f"halfulp_{mnemonic}", 4, _build(mnemonic))


_vdpbf16ps = _instruction("vdpbf16ps")
_vpdpbusd = _instruction("vpdpbusd")
_vpdpbusds = _instruction("vpdpbusds")
_vpdpwssd = _instruction("vpdpwssd")
_vpdpwssds = _instruction("vpdpwssds")


@kernel
def _run_vdpbf16ps(arguments: int) -> None:
    sums, a, b, steps, _ = unpack(arguments, 5)
    _vdpbf16ps((sums, a, b, steps))


@kernel
def _run_vpdpbusd(arguments: int) -> None:
    sums, a, b, steps, _ = unpack(arguments, 5)
    _vpdpbusd((sums, a, b, steps))


@kernel
def _run_vpdpbusds(arguments: int) -> None:
    sums, a, b, steps, _ = unpack(arguments, 5)
    _vpdpbusds((sums, a, b, steps))


@kernel
def _run_vpdpwssd(arguments: int) -> None:
    sums, a, b, steps, _ = unpack(arguments, 5)
    _vpdpwssd((sums, a, b, steps))


@kernel
def _run_vpdpwssds(arguments: int) -> None:
    sums, a, b, steps, _ = unpack(arguments, 5)
    _vpdpwssds((sums, a, b, steps))


#: By the name in a preset: the feature that a processor needs, and the instruction.
_KERNELS: dict[str, tuple[str, Kernel]] = {
    "VDPBF16PS": ("avx512bf16", _run_vdpbf16ps),
    "VPDPBUSD": ("avx512vnni", _run_vpdpbusd),
    "VPDPBUSDS": ("avx512vnni", _run_vpdpbusds),
    "VPDPWSSD": ("avx512vnni", _run_vpdpwssd),
    "VPDPWSSDS": ("avx512vnni", _run_vpdpwssds),
}


def is_live(preset: Preset) -> bool:
    """Whether this processor has the instruction of a preset."""
    if preset.instruction not in _KERNELS or config.CPU_NAME:
        return False
    feature, _ = _KERNELS[preset.instruction]
    return bool(llvmlite.binding.get_host_cpu_features().get(feature))


def dots(preset: Preset, a: Array, b: Array, c: Array) -> Array:
    """One dot product a row by the processor's own instruction.

    a, b      (rows, K), values of the preset's operand formats; K a multiple of what one lane takes
    c         (rows,): float32, or int32
    returns   (rows,), of the type of c, the bits of NaN too

    Raises UnsupportedInstruction where the processor has not the instruction, ValueError for shapes
    that do not match.
    """
    if not is_live(preset):
        raise UnsupportedInstruction(
            f"{preset.name}: this processor has no {preset.instruction}; `halfulp.engines.matmul`"
            " computes what it gives"
        )
    each = preset.accumulation.tile or 1
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] % each or c.shape != a.shape[:1]:
        raise ValueError(
            f"a has shape {a.shape}, b {b.shape}, c {c.shape};"
            f" needed: (rows, K) twice, K a multiple of {each}, and (rows,)"
        )
    steps, run = a.shape[1] // each, _KERNELS[preset.instruction][1]
    left, right = (_words(x, fmt, each) for x, fmt in ((a, preset.a_format), (b, preset.b_format)))
    sums = np.zeros((len(left), _LANES), np.uint32)
    sums.reshape(-1)[: len(c)] = c.view(np.uint32)
    for group, lanes in enumerate(sums):
        alone(run, address(lanes), address(left[group]), address(right[group]), steps)
    return sums.reshape(-1)[: len(c)].view(c.dtype)


def _words(x: Array, fmt: object, each: int) -> Array:
    """Operands as registers want them: [group of rows][step][lane], 32 bits a lane."""
    if fmt == BF16:  # by a shift: a conversion would lose what is in a NaN
        codes = (x.astype(np.float32, copy=False).view(np.uint32) >> 16).astype(np.uint16)
    else:
        codes = x.astype(np.int64).astype({4: np.uint8, 2: np.uint16}[each])
    rows = -(-len(x) // _LANES) * _LANES
    padded = np.zeros((rows, x.shape[1]), codes.dtype)
    padded[: len(x)] = codes
    grouped = padded.reshape(-1, _LANES, x.shape[1] // each, each).swapaxes(1, 2)
    return np.ascontiguousarray(grouped)
