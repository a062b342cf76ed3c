"""Codes of 4 and 6 bits: byte by byte as documented, any shape, back again; and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halfulp.dtypes import BLOCK_FORMATS, FORMATS, INT4, MXFP6_E2M3, NVFP4, IntFormat, pack, unpack
from halfulp.dtypes.packing import Array


def as_one_number(codes: list[int], bits: int) -> list[int]:
    """The documented order, read literally: the codes as digits of one little-endian number."""
    number = sum((code & ((1 << bits) - 1)) << (bits * place) for place, code in enumerate(codes))
    return list(number.to_bytes(-(-len(codes) * bits // 8), "little"))


def test_two_codes_share_a_byte_the_first_one_low() -> None:
    assert pack(np.array([0x1, 0xF, 0x7]), "e2m1fn").tolist() == [0xF1, 0x07]
    assert unpack(np.array([0xF1, 0x07], np.uint8), NVFP4).tolist() == [0x1, 0xF, 0x7, 0x0]


def test_four_codes_share_three_bytes() -> None:
    a, b, c, d = 0b100001, 0b110010, 0b111011, 0b101101
    wanted = [a + 64 * (b % 4), b // 4 + 16 * (c % 16), c // 16 + 4 * d]
    assert pack(np.array([a, b, c, d]), "e3m2").tolist() == wanted
    assert unpack(np.array(wanted, np.uint8), MXFP6_E2M3).tolist() == [a, b, c, d]


@given(st.data())
def test_any_codes_come_back(data: st.DataObject) -> None:
    fmt = data.draw(st.sampled_from(["mxfp4", "e2m3", "int4", "uint4", "int6", "uint6"]))
    bits = 6 if "6" in fmt or fmt == "e2m3" else 4
    low = -(1 << (bits - 1)) if fmt.startswith("int") else 0
    codes = data.draw(st.lists(st.integers(low, low + (1 << bits) - 1), max_size=11))
    packed = pack(np.array(codes, np.int64), fmt)
    assert packed.dtype == np.uint8 and packed.tolist() == as_one_number(codes, bits)
    back = unpack(packed, fmt, count=len(codes))
    assert back.dtype == (np.int8 if low else np.uint8) and back.tolist() == codes
    held = unpack(packed, fmt)
    assert held.tolist() == codes + [0] * (len(packed) * 8 // bits - len(codes))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5), (2, 3, 7), (1, 1, 1), (4, 8)])
@pytest.mark.parametrize("bits", [4, 6])
def test_only_the_last_axis_is_packed(shape: tuple[int, ...], bits: int) -> None:
    fmt = IntFormat(bits, signed=False)
    codes = np.random.default_rng(0).integers(0, 1 << bits, shape).astype(np.uint8)
    packed = pack(codes, fmt)
    assert packed.shape == (*shape[:-1], -(-shape[-1] * bits // 8))
    rows = codes.reshape(int(np.prod(shape[:-1])), shape[-1])
    wanted = [as_one_number(row.tolist(), bits) for row in rows]
    assert packed.reshape(len(rows), packed.shape[-1]).tolist() == wanted
    assert (unpack(packed, fmt, count=shape[-1]) == codes).all()


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint32", "int64", "uint64"])
def test_any_integer_type_in_any_memory(kind: str) -> None:
    codes: Array = np.arange(48).astype(kind).reshape(6, 8) % 16
    wanted = pack(codes, "mxfp4")
    frozen = codes.copy()
    frozen.flags.writeable = False
    for other in (
        np.asfortranarray(codes),
        frozen,
        codes[::-1][::-1],
        codes.astype(f">{kind[0]}8"),
    ):
        assert (pack(other, "mxfp4") == wanted).all()
    assert (frozen == codes).all()


def test_tensors_stay_tensors() -> None:
    codes = torch.arange(16, dtype=torch.uint8).reshape(2, 8)
    packed = pack(codes, "nvfp4")
    assert packed.dtype == torch.uint8 and packed.tolist()[0] == [0x10, 0x32, 0x54, 0x76]
    assert unpack(packed, "nvfp4").equal(codes)
    assert packed.view(torch.float4_e2m1fn_x2).shape == (2, 4)


def test_every_name_of_such_a_format_is_taken() -> None:
    widths = {name: fmt.bits for name, fmt in FORMATS.items()}
    widths |= {name: fmt.element.bits for name, fmt in BLOCK_FORMATS.items()}
    for name, bits in widths.items():
        if bits in (4, 6):
            assert pack(np.zeros(4, np.uint8), name).size == bits // 2
        else:
            with pytest.raises(ValueError, match=f"have {bits} bits; packed are those of 4 or 6"):
                pack(np.zeros(4, np.uint8), name)


def test_what_is_no_code_is_refused() -> None:
    for value in (16, -1, 255):
        with pytest.raises(ValueError, match=f"^{value} is no code of e2m1fn; allowed: 0 to 15"):
            pack(np.array([3, value]), "mxfp4")
    with pytest.raises(ValueError, match="^8 is no code of int4; allowed: -8 to 7"):
        pack(np.array([-8, 8]), INT4)
    with pytest.raises(TypeError, match="codes are integers, not float64"):
        pack(np.zeros(2), "mxfp4")
    with pytest.raises(TypeError, match="codes are integers, not bool"):
        pack(np.zeros(2, bool), "mxfp4")
    with pytest.raises(TypeError, match="packed has type int8; bytes are uint8"):
        unpack(np.zeros(2, np.int8), "mxfp4")
    with pytest.raises(TypeError, match="fmt=4 is no format"):
        pack(np.zeros(2, np.uint8), 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no format is called 'mxfp'"):
        pack(np.zeros(2, np.uint8), "mxfp")
    with pytest.raises(ValueError, match="no dimension"):
        pack(np.uint8(3), "mxfp4")
    with pytest.raises(ValueError, match="no dimension"):
        unpack(np.uint8(3), "mxfp4")


@pytest.mark.parametrize(
    ("fmt", "size", "fewest", "most"),
    [("mxfp4", 0, 0, 0), ("mxfp4", 3, 5, 6), ("mxfp6_e3m2", 1, 1, 1), ("mxfp6_e3m2", 2, 2, 2)]
    + [("mxfp6_e3m2", 3, 3, 4), ("mxfp6_e3m2", 6, 7, 8)],
)
def test_a_count_fits_the_bytes(fmt: str, size: int, fewest: int, most: int) -> None:
    packed = np.zeros((2, size), np.uint8)
    for count in range(fewest, most + 1):
        assert unpack(packed, fmt, count=count).shape == (2, count)
        assert pack(np.zeros((2, count), np.uint8), fmt).shape == packed.shape
    for count in (fewest - 1, most + 1):
        with pytest.raises(ValueError, match=f"allowed: {fewest} to {most}"):
            unpack(packed, fmt, count=count)
    with pytest.raises(TypeError, match="count=1.5 is not an integer"):
        unpack(packed, fmt, count=1.5)  # type: ignore[arg-type]
