"""Block formats on any array: axes, memory, sources, containers, out=; and what is refused."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from halfulp.dtypes import (
    BLOCK_FORMATS,
    E2M1FN,
    E8M0FNU,
    BlockFormat,
    decode_blocks,
    encode_blocks,
    round_to_blocks,
)
from halfulp.dtypes.threads import get_num_threads, set_num_threads
from tests.dtypes.block_checks import Array, as_float32, check
from tests.dtypes.opinion import bits
from tests.strategies import layouts

FORMATS = [*BLOCK_FORMATS.values(), BlockFormat(E2M1FN, 5, E8M0FNU)]


def numbers(*shape: int) -> Array:
    return as_float32(np.random.default_rng(3).standard_normal(shape))


def tensor_of(fmt: BlockFormat) -> float | None:
    """A tensor scale of one's own, so that a part of an array has that of the whole."""
    return 2.0**-10 if fmt.tensor_scale else None


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_an_axis_is_that_of_the_moved_array(fmt: BlockFormat, axis: int) -> None:
    x = numbers(37, 64, 21)
    found = encode_blocks(x, fmt, axis=axis)
    wanted = encode_blocks(np.ascontiguousarray(np.moveaxis(x, axis, -1)), fmt)
    assert found.codes.shape == x.shape and found.tensor_scale == wanted.tensor_scale
    assert (np.moveaxis(found.codes, axis, -1) == wanted.codes).all()
    assert (np.moveaxis(found.scales, axis, -1) == wanted.scales).all()
    values = decode_blocks(found, fmt, axis=axis)
    assert (bits(np.moveaxis(values, axis, -1)) == bits(decode_blocks(wanted, fmt))).all()
    assert (bits(round_to_blocks(x, fmt, axis=axis)) == bits(values)).all()


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_a_partial_block_is_a_block(fmt: BlockFormat) -> None:
    size = fmt.block_size
    for length in (1, size - 1, size, size + 1, 2 * size - 1, 3 * size + 2):
        x = numbers(3, length)
        check(x, fmt)
        found = encode_blocks(x, fmt, tensor_scale=tensor_of(fmt))
        assert found.scales.shape == (3, -(-length // size))
        last = (length - 1) // size * size
        alone = encode_blocks(x[:, last:], fmt, tensor_scale=tensor_of(fmt))
        assert (found.codes[:, last:] == alone.codes).all()
        assert (found.scales[:, -1:] == alone.scales).all()


@pytest.mark.parametrize("name", ["mxfp8_e5m2", "mxint8", "nvfp4"])
def test_memory_does_not_matter(name: str) -> None:
    x = numbers(8, 96)
    tensor = tensor_of(BLOCK_FORMATS[name])
    for layout, array in layouts(x):
        before = array.copy()
        for axis in (0, 1):
            if array.ndim == 0:
                continue
            plain = np.ascontiguousarray(array.astype(np.float32))
            wanted = encode_blocks(plain, name, axis=axis, tensor_scale=tensor)
            found = encode_blocks(array, name, axis=axis, tensor_scale=tensor)
            assert (found.codes == wanted.codes).all(), layout
            assert (found.scales == wanted.scales).all(), layout
            values = decode_blocks(wanted, name, axis=axis)
            strange = np.asfortranarray(found.codes)[...], np.asfortranarray(found.scales)
            again = decode_blocks((*strange, tensor)[: 2 + (tensor is not None)], name, axis=axis)
            assert (bits(again) == bits(values)).all(), layout
        assert (bits(array) == bits(before)).all(), layout


@pytest.mark.parametrize("shape", [(0,), (0, 64), (5, 0), (2, 0, 3)])
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_nothing_gives_nothing(fmt: BlockFormat, shape: tuple[int, ...]) -> None:
    for axis in range(len(shape)):
        found = encode_blocks(np.zeros(shape, np.float32), fmt, axis=axis)
        blocks = tuple(
            -(-n // fmt.block_size) if place == axis else n for place, n in enumerate(shape)
        )
        assert found.codes.shape == shape and found.scales.shape == blocks
        assert decode_blocks(found, fmt, axis=axis).shape == shape


@pytest.mark.parametrize(
    "kind",
    ["float16", "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
    + [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float4_e2m1fn],
)
@pytest.mark.parametrize("name", ["mxfp6_e2m3", "mxint8", "nvfp4"])
def test_every_source_is_rounded_once(name: str, kind: Any) -> None:
    x = np.array([[0, 1, 3, 5, 100, 127, 77, 2] * 8]).astype(kind)
    if np.dtype(kind).kind in "iu":
        top = np.iinfo(kind).max
        x[0, ::3] = top - np.arange(22).astype(kind)
    exact = x.astype(np.float64) if np.dtype(kind).itemsize < 8 else None
    found = encode_blocks(x, name)
    if exact is not None:
        wanted = encode_blocks(exact, name)
        assert (found.codes == wanted.codes).all() and (found.scales == wanted.scales).all()
        assert found.tensor_scale == wanted.tensor_scale


def test_integers_of_64_bits_are_not_rounded_on_the_way() -> None:
    # 2^62 + 1 is past the tie between the codes, though float64 has it on the tie
    for add, code in ((-1, 64), (0, 64), (1, 65)):
        x = np.array([(1 << 62) + (1 << 55) + add])
        assert encode_blocks(x, "mxint8").codes.tolist() == [code]


def test_out_is_written_to() -> None:
    for name in ("mxfp4", "nvfp4"):
        x = numbers(6, 70)
        wanted = encode_blocks(x, name)
        codes, scales = np.empty_like(wanted.codes), np.empty_like(wanted.scales)
        found = encode_blocks(x, name, out=(codes, scales))
        assert found.codes is codes and found.scales is scales
        assert (codes == wanted.codes).all() and (scales == wanted.scales).all()
        strided = np.zeros((12, 140), np.uint8)[::2, ::2], np.zeros((6, 20), np.uint8)[:, ::2]
        strided = strided[0], strided[1][:, : scales.shape[1]]
        encode_blocks(x, name, out=strided)
        assert (strided[0] == codes).all() and (strided[1] == scales).all()
        values = decode_blocks(wanted, name)
        target = np.zeros((6, 140), np.float32)[:, ::2]
        assert decode_blocks(wanted, name, out=target) is target
        assert (bits(target) == bits(values)).all()
        assert round_to_blocks(x, name, out=x) is x and (bits(x) == bits(values)).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.int32])
def test_tensors_stay_tensors(kind: torch.dtype) -> None:
    x = torch.from_numpy(numbers(4, 40) * 9).to(kind)
    array = x.to(torch.float64).numpy()
    for name in ("mxfp8_e4m3", "mxint8", "nvfp4"):
        found, wanted = encode_blocks(x, name), encode_blocks(array, name)
        assert found.codes.numpy().tolist() == wanted.codes.tolist()
        assert found.scales.numpy().tolist() == wanted.scales.tolist()
        values = decode_blocks(found, name)
        assert values.dtype == torch.float32 and values.numpy().tolist() == (
            decode_blocks(wanted, name).tolist()
        )
        target = torch.empty(4, 40)
        assert round_to_blocks(x, name, out=target) is target and target.equal(values)
        out = torch.empty_like(found.codes), torch.empty_like(found.scales)
        assert encode_blocks(x, name, out=out).codes is out[0] and out[0].equal(found.codes)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_threads_and_size_change_no_bit(fmt: BlockFormat) -> None:
    x = numbers(3, 1 << 18)  # more than a thread's share, and chunks that end within it
    x[1, 77] = np.nan
    before = get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            whole = encode_blocks(x, fmt)
            found.append((whole, decode_blocks(whole, fmt)))
    finally:
        set_num_threads(before)
    for whole, values in found[1:]:
        assert (whole.codes == found[0][0].codes).all()
        assert (whole.scales == found[0][0].scales).all()
        assert (bits(values) == bits(found[0][1])).all()
    start = x.shape[1] - x.shape[1] % fmt.block_size - 4 * fmt.block_size
    tail = x[:, start:]
    part = encode_blocks(tail, fmt, tensor_scale=found[0][0].tensor_scale)
    assert (part.codes == found[0][0].codes[:, start:]).all()


def test_streaming_stores_change_no_bit() -> None:
    x = numbers(1 << 10, 1 << 13)  # 8 M codes, 32 MiB of values
    for name in ("mxfp4", "nvfp4"):
        memory = np.zeros(x.size + 64, np.uint8)
        start = -memory.ctypes.data % 64
        codes = memory[start : start + x.size].reshape(x.shape)
        found = encode_blocks(
            x,
            name,
            out=(codes, np.empty((1024, x.shape[1] // (32 if name == "mxfp4" else 16)), np.uint8)),
        )
        again = encode_blocks(x[::64], name, tensor_scale=found.tensor_scale)
        assert (codes[::64] == again.codes).all() and (found.scales[::64] == again.scales).all()
        values = decode_blocks(found, name)
        assert (bits(values[::64]) == bits(decode_blocks(again, name))).all()


ONE = np.ones((2, 32), np.float32)
CODES = np.zeros((2, 32), np.uint8), np.zeros((2, 1), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: encode_blocks(ONE, "mxfp9"), ValueError, "did you mean mxfp"),
        (lambda: encode_blocks(ONE, "e4m3"), ValueError, "no block format"),
        (lambda: encode_blocks(ONE, E2M1FN), TypeError, "is no block format"),  # type: ignore[arg-type]
        (lambda: encode_blocks(ONE, "mxfp4", axis=2), ValueError, r"allowed: -2 to 1"),
        (lambda: encode_blocks(ONE, "mxfp4", axis=1.0), TypeError, "axis=1.0 is not an integer"),  # type: ignore[arg-type]
        (lambda: encode_blocks(1.0, "mxfp4"), ValueError, "no axis for blocks"),
        (lambda: encode_blocks(ONE * 1j, "mxfp4"), TypeError, "allowed: floats"),
        (lambda: encode_blocks(ONE, "mxfp4", scale_rule="up"), ValueError, "'rceil'"),
        (lambda: encode_blocks(ONE, "nvfp4", scale_rule="floor"), ValueError, "has e4m3fn scales"),
        (lambda: encode_blocks(ONE, "mxfp4", tensor_scale=1.0), ValueError, "has no tensor scale"),
        (lambda: encode_blocks(ONE, "nvfp4", tensor_scale=0.1), ValueError, "no float32 from"),
        (lambda: encode_blocks(ONE, "nvfp4", tensor_scale=0.0), ValueError, "no float32 from"),
        (lambda: encode_blocks(ONE, "nvfp4", tensor_scale=-1.0), ValueError, "no float32 from"),
        (lambda: encode_blocks(ONE, "nvfp4", tensor_scale=2.0**120), ValueError, "no float32"),
        (lambda: encode_blocks(ONE, "nvfp4", tensor_scale=2.0**-127), ValueError, "no float32"),
        (lambda: encode_blocks(ONE, "nvfp4", tensor_scale=np.nan), ValueError, "no float32 from"),
        (lambda: encode_blocks(ONE, "nvfp4", tensor_scale="1"), TypeError, "is not one number"),  # type: ignore[arg-type]
        (lambda: encode_blocks(ONE, "mxfp4", out=CODES[0]), TypeError, "a tuple of two"),  # type: ignore[arg-type]
        (lambda: encode_blocks(ONE, "mxfp4", out=CODES[::-1]), ValueError, "needed: shape"),
        (
            lambda: encode_blocks(ONE, "mxfp4", out=(CODES[0], CODES[0][:, :1])),
            ValueError,
            "scales overlap",
        ),
        (lambda: decode_blocks(CODES[0], "mxfp4"), TypeError, "encoded is an ndarray"),  # type: ignore[arg-type]
        (lambda: decode_blocks((CODES[0],), "mxfp4"), TypeError, "give .codes, scales. or"),
        (lambda: decode_blocks(CODES, "nvfp4"), ValueError, "nvfp4 has a tensor scale; give"),
        (lambda: decode_blocks((*CODES, 1.0), "mxfp4"), ValueError, "has no tensor scale"),
        (lambda: decode_blocks((*CODES, 0.3), "nvfp4"), ValueError, "no float32 from"),
        (lambda: decode_blocks(CODES, "mxfp4", axis=0), ValueError, r"need \(1, 32\)"),
        (lambda: decode_blocks((CODES[0] + 16, CODES[1]), "mxfp4"), ValueError, "16 is no code"),
        (lambda: decode_blocks((CODES[0], CODES[1] - 1.0), "mxfp4"), TypeError, "scales are codes"),
        (
            lambda: decode_blocks((CODES[0], CODES[1].astype(int) + 256), "mxfp4"),
            ValueError,
            "scales: 256 is no code of e8m0fnu; allowed: 0 to 255",
        ),
        (lambda: decode_blocks((ONE, CODES[1]), "mxfp4"), TypeError, "not float32; view them"),
        (lambda: decode_blocks(CODES, "mxfp4", out=CODES[0]), ValueError, "type float32"),
        (lambda: round_to_blocks(ONE, "mxfp4", out=np.ones(3)), ValueError, "needed: shape"),
    ],
)
def test_wrong_input_is_refused(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
