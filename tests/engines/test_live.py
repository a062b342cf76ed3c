"""Presets of the processor's own instructions give what the processor gives, run now."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from halfulp.dtypes import BF16, IntFormat
from halfulp.engines import PRESETS, Preset, matmul
from halfulp.engines.live import UnsupportedInstruction, dots, is_live

Array = npt.NDArray[Any]
LIVE = [p for p in PRESETS.values() if p.instruction.startswith("V") and p.name.startswith("zen4")]
ROWS = 4000


def bf16_operands(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Every code, and products that meet: near one, around the smallest normal number."""
    codes = random.integers(0, 1 << 16, shape, dtype=np.uint32)
    near = random.integers(0x3F00, 0x4100, shape, dtype=np.uint32)
    small = random.integers(0x1E80, 0x2080, shape, dtype=np.uint32)
    draw = random.random(shape)
    chosen = np.where(draw < 0.3, codes, np.where(draw < 0.8, near, small))
    chosen |= random.integers(0, 2, shape, dtype=np.uint32) << 15
    return (chosen << 16).view(np.float32)


def operands(preset: Preset, depth: int) -> tuple[Array, Array, Array]:
    random = np.random.default_rng(depth)
    shape = (ROWS, depth)
    if preset.a_format == BF16:
        c = random.integers(0, 1 << 32, ROWS, dtype=np.uint32)
        c[::2] = bf16_operands(random, (ROWS,)).view(np.uint32)[::2]
        return bf16_operands(random, shape), bf16_operands(random, shape), c.view(np.float32)
    sides = []
    for fmt in (preset.a_format, preset.b_format):
        assert isinstance(fmt, IntFormat)
        x = random.integers(fmt.min, fmt.max, shape, endpoint=True)
        sides.append(np.where(random.random(shape) < 0.2, fmt.max, x).astype(np.float32))
    far = random.integers(-(2**31), 2**31, ROWS)
    c = np.where(random.random(ROWS) < 0.5, far, 2**31 - 1).astype(np.int32)
    return sides[0], sides[1], c


@pytest.mark.parametrize("depth", [4, 24])
@pytest.mark.parametrize("preset", LIVE, ids=lambda preset: preset.name)
def test_the_processor_agrees_with_its_preset(preset: Preset, depth: int) -> None:
    if not is_live(preset):
        pytest.skip(f"this processor has no {preset.instruction}")
    a, b, c = operands(preset, depth)
    found = matmul(
        a[:, None, :],
        b[:, :, None],
        c[:, None, None],
        accumulation=preset.accumulation,
        a_format=preset.a_format,
        b_format=preset.b_format,
    ).ravel()
    given = dots(preset, a, b, c)
    np.testing.assert_array_equal(found.view(np.uint32), given.view(np.uint32))


def test_the_processor_is_asked_only_for_what_it_has() -> None:
    other = PRESETS["h100-wmma-bf16-fp32"]
    assert not is_live(other)
    with pytest.raises(UnsupportedInstruction, match=r"matmul"):
        dots(other, np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(1, np.float32))


def test_a_lane_takes_a_whole_word() -> None:
    preset = PRESETS["zen4-vdpbf16ps-bf16-fp32"]
    if not is_live(preset):
        pytest.skip("this processor has no VDPBF16PS")
    with pytest.raises(ValueError, match="multiple of 2"):
        dots(preset, np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(1, np.float32))
