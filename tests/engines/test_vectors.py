"""Outputs of real machines: every preset that has some gives the same bits.

They lie beside the checkout, with their licence; SUBJECTS says what is under test.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from halfulp.dtypes import (
    E4M3FN,
    E5M2,
    FP32,
    TF32,
    FloatFormat,
    Rounding,
    decode,
    parse_format,
)
from halfulp.engines import matmul, reference_accumulation
from halfulp.engines.presets import PRESETS, Preset, Standing
from tests.tree import ROOT

Array = npt.NDArray[Any]
FOLDER = ROOT.parent / "shared" / "vectors"

#: a (rows, K), b (rows, K), c (rows,) or None: one dot product a row, (rows,)
Dots = Callable[[Array, Array, Array | None, Preset], Array]


def by_reference(a: Array, b: Array, c: Array | None, preset: Preset) -> Array:
    out = preset.out_format if isinstance(preset.out_format, FloatFormat) else FP32
    rows = [
        reference_accumulation.matmul(
            a[i : i + 1],
            b[i : i + 1].T,
            None if c is None else c[i : i + 1],
            preset.accumulation,
            preset.a_format,
            preset.b_format,
            out_format=out,
        )
        for i in range(len(a))
    ]
    return np.concatenate(rows).ravel()


def by_kernel(a: Array, b: Array, c: Array | None, preset: Preset) -> Array:
    """Each row a product of its own, (1, K) times (K, 1), in one batch."""
    found: Array = matmul(
        a[:, None, :],
        b[:, :, None],
        None if c is None else c[:, None, None],
        accumulation=preset.accumulation,
        a_format=preset.a_format,
        b_format=preset.b_format,
        out_format=preset.out_format,
    )
    return found.ravel()


#: What is under test, and of how many rows of each set; None: of all.
SUBJECTS = [
    pytest.param(by_kernel, None, id="kernel"),
    pytest.param(by_reference, 40, id="reference"),
    pytest.param(by_reference, None, id="reference, all rows", marks=pytest.mark.deep),
]
subjects = pytest.mark.parametrize(("dots", "rows"), SUBJECTS)

#: Machines of the vectors, and whose presets they follow.
MACHINES = {"V100": "v100", "A100": "a100", "A2": "a100", "Ada": "ada", "L40S": "ada"}
MACHINES |= {"H100": "h100", "H200": "h100", "B200": "b200"}
FP8 = {"E4M3": E4M3FN, "E5M2": E5M2}


def _cases() -> list[tuple[str, str, str]]:
    """Machine, operands and result of every set of outputs."""
    found = [("V100", "fp16", out) for out in ("fp32", "fp16")]
    for machine in [name for name in MACHINES if name != "V100"]:
        found += [(machine, name, "fp32") for name in ("fp16", "bf16", "tf32")]
        found.append((machine, "fp16", "fp16"))
        if machine not in ("A100", "A2"):
            results = ("fp32",) if machine == "L40S" else ("fp32", "fp16")
            found += [(machine, name, out) for name in FP8 for out in results]
    return found


CASES = _cases()


def preset_of(machine: str, name: str, out: str) -> Preset:
    key = MACHINES[machine]
    if name not in FP8:
        return PRESETS[f"{key}-wmma-{name}-{out}"]
    kind = "wgmma" if key == "h100" and out == "fp32" else "mma"
    return PRESETS[f"{key}-{kind}-{FP8[name]}-{out}"]


@cache
def manifest() -> Any:
    if not FOLDER.exists():
        pytest.skip("no hardware vectors beside the checkout, in ../shared/vectors")
    return json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))


@cache
def arrays(name: str) -> dict[str, Array]:
    manifest()
    with np.load(FOLDER / name) as found:
        return dict(found)


def values(codes: Array, fmt: FloatFormat) -> Array:
    return codes.view(np.float32) if fmt == TF32 else decode(codes, fmt)


def inputs(machine: str, name: str, out: str) -> tuple[Array, Array, Array, Array]:
    """a, b (rows, K), c as its preset takes it, and the float32 bits of the outputs."""
    (entry,) = (v for v in manifest()["vectors"] if v["file"] == f"{machine}_{name}.npz")
    fmt = FP8[name] if name in FP8 else FloatFormat.parse(name)
    a, b = (values(arrays("inputs.npz")[entry[side]], fmt) for side in "ab")
    own, preset = arrays(entry["file"]), preset_of(machine, name, out)
    c = own["c"].view(np.float32)
    if "wgmma" in preset.name:
        c = np.zeros_like(c)  # these outputs were taken so; the c of the file belongs to d_fp16
    codes = own[f"d_{out}"]
    wanted = decode(codes, parse_format(out)).view(np.uint32) if out == "fp16" else codes
    return a, b, c, wanted


def chosen(count: int, rows: int | None) -> slice:
    """That many rows, from everywhere."""
    return slice(None, None, 1 if rows is None else -(-count // rows))


@subjects
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_vectors_of_tensor_cores(
    dots: Dots, rows: int | None, case: tuple[str, str, str]
) -> None:
    a, b, c, wanted = inputs(*case)
    part = chosen(len(a), rows)
    found = dots(a[part], b[part], c[part], preset_of(*case))
    np.testing.assert_array_equal(found.view(np.uint32), wanted[part])


@subjects
@pytest.mark.parametrize("kind", range(7))
def test_the_vectors_of_vdpbf16ps(dots: Dots, rows: int | None, kind: int) -> None:
    found = arrays("Zen4_VDPBF16PS.npz")
    these = np.flatnonzero(found["kind"] == kind)
    these = these[chosen(len(these), rows)]
    # by shifts: a conversion would lose what is in a NaN
    a, b = ((found[side][these].astype(np.uint32) << 16).view(np.float32) for side in "ab")
    c, wanted = found["c"][these].view(np.float32), found["d"][these]
    result = dots(a, b, c, PRESETS["zen4-vdpbf16ps-bf16-fp32"])
    np.testing.assert_array_equal(result.view(np.uint32), wanted)


@subjects
@pytest.mark.parametrize("name", ["vpdpbusd", "vpdpbusds", "vpdpwssd", "vpdpwssds"])
def test_the_vectors_of_vnni(dots: Dots, rows: int | None, name: str) -> None:
    found = arrays("Zen4_VNNI.npz")
    a, b, c, wanted = (found[f"{name.upper()}_{letter}"] for letter in "abcd")
    kinds: tuple[Any, Any] = (np.uint8, np.int8) if "busd" in name else (np.int16, np.int16)
    (one,) = (preset for key, preset in PRESETS.items() if f"-{name}-" in key)
    part = chosen(len(c), rows)
    left, right = (x[part].view(t).astype(np.float32) for x, t in zip((a, b), kinds, strict=True))
    result = dots(left, right, c[part].view(np.int32), one)
    np.testing.assert_array_equal(result, wanted[part].view(np.int32))


@pytest.mark.parametrize(
    "wrong",
    [
        {"fraction_bits": 23},
        {"fraction_bits": 25},
        {"block": 4},
        {"entry": "late"},
        {"cut": Rounding.TOWARD_NEGATIVE},
        {"cut": Rounding.NEAREST_EVEN},
        {"rounding": Rounding.NEAREST_EVEN},
    ],
    ids=str,
)
def test_the_vectors_tell_any_other_parameter_apart(wrong: dict[str, Any]) -> None:
    case = ("A100", "fp16", "fp32")
    a, b, c, wanted = inputs(*case)
    preset, part = preset_of(*case), chosen(len(a), 40)
    other = dataclasses.replace(preset.accumulation, **wrong)
    other_preset = dataclasses.replace(preset, accumulation=other)
    found = by_reference(a[part], b[part], c[part], other_preset)
    assert (found.view(np.uint32) != wanted[part]).any()


def test_every_set_of_the_vectors_is_a_case() -> None:
    sets = {
        (v["machine"], v["in_format"], out) for v in manifest()["vectors"] for out in v["outputs"]
    }
    assert sets == set(CASES) and len(CASES) == len(sets)


def test_every_preset_with_vectors_is_a_case() -> None:
    used = {preset_of(*case).name for case in CASES}
    assert used == {p.name for p in PRESETS.values() if p.standing is Standing.VECTORS}


def test_the_vectors_are_those_of_the_manifest() -> None:
    found = manifest()
    sums = {
        one["file"]: one["sha256"] for one in (*found["vectors"], *found["cpu"], found["inputs"])
    }
    for name, wanted in sums.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == wanted, name
