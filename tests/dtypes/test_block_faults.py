"""The checks of block formats can fail: faults planted in every part of them are found."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import (
    MXFP4,
    MXFP8_E4M3,
    MXINT8,
    NVFP4,
    BlockFormat,
    ScaleRule,
    block_kernels,
    blocks,
    encode,
    reference_blocks,
)
from halfulp.dtypes.block_layout import Layout
from halfulp.dtypes.parameters import NAMES32, bits32, parameters32
from halfulp.dtypes.rounding import NanTo, Overflow, Rounding
from tests.dtypes import test_block_arrays as arrays
from tests.dtypes import test_blocks as exact
from tests.dtypes.block_checks import Array

Patch = Callable[[pytest.MonkeyPatch], None]


def _changed(name: str, change: Callable[..., Any]) -> Patch:
    """Plant `change(original, *arguments)` for a function of the kernels."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = getattr(block_kernels, name)
        patch.setattr(block_kernels, name, lambda *given: change(original, *given))

    return plant


def _parameter(name: str, place: int, change: Callable[[int], int]) -> Patch:
    """Another value of one parameter of a loop."""

    def changed(original: Callable[..., Array], *given: Any) -> Array:
        values = original(*given).copy()
        values[place] = change(int(values[place]))
        return values

    return _changed(name, changed)


def _overflow(policy: Overflow) -> Patch:
    def element(original: Any, fmt: BlockFormat, tensor: float) -> Any:
        values = original(fmt, tensor).copy()
        if fmt != MXINT8:
            own = parameters32(fmt.element, policy, Rounding.NEAREST_EVEN, NanTo.ZERO)
            values[: len(own)] = own
        return values

    return _changed("_element", element)


def _rule(wrong: ScaleRule) -> Patch:
    return _changed("_carry", lambda original, fmt, rule: original(fmt, wrong))


def _after(change: Callable[[Array, Array, Array], None]) -> Patch:
    """Change the codes or scales of an encoding, given its numbers."""

    def changed(original: Any, x: Array, codes: Array, scales: Array, *more: Any) -> None:
        original(x, codes, scales, *more)
        change(x, codes, scales)

    return _changed("encode", changed)


def _last_left_out(x: Array, codes: Array, scales: Array) -> None:
    codes[-1:] = 0


def _nan_elements(x: Array, codes: Array, scales: Array) -> None:
    codes[np.isnan(x)] = 0x7F


def _zero_scale(x: Array, codes: Array, scales: Array) -> None:
    scales[scales == 1] = 0


def _minus_zero_lost(x: Array, codes: Array, scales: Array) -> None:
    codes[(x == 0) & (codes == 8)] = 0


def _twice_rounded(original: Any, *given: Any) -> None:
    """Elements of a quotient that was already rounded to float32."""
    x, codes, scales, fmt, _, tensor, found = given
    original(*given)
    if found is None or x.dtype != np.float32:
        return
    factors = block_kernels_decoded(scales, fmt) * np.float32(tensor)
    with np.errstate(all="ignore"):
        quotients = x.reshape(len(scales), -1) / factors[:, None]
    known = np.isfinite(quotients) & (scales != 0x7F)[:, None]
    wrong = encode(np.where(known, quotients, 0), fmt.element, overflow="saturate")
    codes[:] = np.where(known, wrong, codes.reshape(known.shape)).reshape(-1)


def block_kernels_decoded(scales: Array, fmt: BlockFormat) -> Array:
    from halfulp.dtypes import decode

    return decode(scales, fmt.scale)


def _byte_zero_is_zero(original: Any, codes: Array, scales: Array, out: Array, *more: Any) -> None:
    original(codes, scales, out, *more)
    rows = out.reshape(scales.size, -1)
    rows[scales == 0] = 0


def _byte_zero_is_half(original: Any, codes: Array, scales: Array, out: Array, *more: Any) -> None:
    original(codes, scales, out, *more)
    rows = out.reshape(scales.size, -1)
    rows[scales == 0] /= 2


def _partial_block_dropped(patch: pytest.MonkeyPatch) -> None:
    original = Layout._parts
    patch.setattr(Layout, "_parts", lambda self, *given: original(self, *given)[:1])


def _integers_by_float32(patch: pytest.MonkeyPatch) -> None:
    original = blocks._plain

    def wrong(source: Any) -> Array:
        x = original(source)
        return x.astype(np.float32) if source.array.dtype.kind == "i" else x

    patch.setattr(blocks, "_plain", wrong)


def elements(fmt: BlockFormat, *exponents: int) -> Callable[[], None]:
    def run() -> None:
        for exponent in exponents:
            exact.test_elements_are_exact_at_every_boundary(fmt, exponent)

    return run


def scales(name: str, rule: ScaleRule) -> Callable[[], None]:
    return lambda: exact.test_scales_are_exact_at_every_exponent(name, rule)


def quotients(*tensors: float) -> Callable[[], None]:
    def run() -> None:
        for tensor in tensors:
            exact.test_quotients_are_exact_beside_every_tie(NVFP4, tensor)

    return run


def specials(fmt: BlockFormat) -> Callable[[], None]:
    return lambda: exact.test_special_blocks_are_as_documented(fmt, np.float32)


def codes(fmt: BlockFormat) -> Callable[[], None]:
    return lambda: exact.test_every_code_with_every_scale_decodes(fmt)


FLOOR, CEIL, EVEN, RCEIL = ScaleRule
UP, DOWN = (lambda value: value + 1), (lambda value: value - 1)
FAULTS: dict[str, tuple[Patch, Callable[[], None]]] = {
    "scale one step too large": (_parameter("_power_rule", 0, DOWN), elements(MXFP4, 0)),
    "scale one step too small": (_parameter("_power_rule", 0, UP), elements(MXINT8, 0)),
    "ceil for floor": (_rule(CEIL), scales("mxfp8_e4m3", FLOOR)),
    "rceil for ceil": (_rule(RCEIL), scales("mxint8", CEIL)),
    "floor for even": (_rule(FLOOR), scales("mxfp8_e5m2", EVEN)),
    "even for rceil": (_rule(EVEN), scales("mxfp4", RCEIL)),
    "even's tie down": (
        _changed("_carry", lambda original, fmt, rule: original(fmt, rule) - (rule is EVEN)),
        scales("mxfp6_e2m3", EVEN),
    ),
    "ceil by float32's bits": (
        _changed("_carry", lambda original, fmt, rule: original(fmt, rule) >> 29 << 29),
        scales("mxfp8_e4m3", CEIL),
    ),
    "past the largest to the code of NaN": (
        _parameter("_element", NAMES32.index("max_code"), UP),
        elements(MXFP8_E4M3, 0),
    ),
    "float64 past the largest to NaN": (_overflow(Overflow.NAN), elements(MXFP8_E4M3, 0)),
    "integers to -128": (_parameter("_element", 1, lambda _: bits32(128.0)), elements(MXINT8, 0)),
    "integers in another unit": (
        _parameter("_element", 2, lambda _: bits32(2.0**-7)),
        codes(MXINT8),
    ),
    "the last element left out": (_after(_last_left_out), elements(MXFP8_E4M3, 1)),
    "NaN kept in its element": (_after(_nan_elements), specials(MXFP8_E4M3)),
    "a zero scale for small blocks": (_after(_zero_scale), quotients(1.0)),
    "the sign of zero lost": (_after(_minus_zero_lost), specials(MXFP4)),
    "a quotient rounded twice": (
        _changed("encode", _twice_rounded),
        quotients(exact.TENSOR_SCALES[5]),
    ),
    "remainders below float32": (
        _parameter("_tensor", 1, lambda _: bits32(1.0)),
        quotients(exact.TENSOR_SCALES[1]),
    ),
    "block scales by another maximum": (
        _parameter("_quotient_rule", 0, lambda _: bits32(8.0)),
        quotients(1.0),
    ),
    "a scale byte of 0 as zero": (_changed("decode", _byte_zero_is_zero), codes(MXFP4)),
    "a scale byte of 0 as half": (
        _changed("decode", _byte_zero_is_half),
        exact.test_a_scale_byte_of_zero_is_two_to_the_minus_127,
    ),
    "a tensor scale cut to float32": (
        _changed(
            "tensor_scale",
            lambda original, *given: float(np.nextafter(np.float32(original(*given)), 0)),
        ),
        lambda: exact.test_tensor_scales_are_exact(NVFP4),
    ),
    "NaN in the tensor scale": (
        _changed("tensor_scale", lambda original, found, fmt: original(found & 0x7F7FFFFF, fmt)),
        specials(NVFP4),
    ),
    "partial blocks dropped": (
        _partial_block_dropped,
        lambda: arrays.test_a_partial_block_is_a_block(MXFP4),
    ),
    "integers through float32": (
        _integers_by_float32,
        arrays.test_integers_of_64_bits_are_not_rounded_on_the_way,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, check = FAULTS[name]
    check()
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        check()


def test_the_reference_and_the_kernels_share_no_code() -> None:
    shared = {"LEAST_TENSOR_SCALE", "LARGEST_TENSOR_SCALE", "BlockFormat", "ScaleRule"}
    functions = {
        name
        for name, member in vars(reference_blocks).items()
        if getattr(member, "__module__", "").startswith("halfulp.dtypes.block_")
    }
    assert functions <= shared
