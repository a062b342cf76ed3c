"""Block formats are values: the named ones, their names, what is derived and what is refused."""

import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from halfulp.dtypes import (
    BLOCK_FORMATS,
    E2M1FN,
    E4M3FN,
    E4M3FNUZ,
    E5M2,
    E8M0FNU,
    INT4,
    INT8,
    MXFP4,
    MXFP8_E4M3,
    MXINT8,
    NVFP4,
    UINT4,
    BlockFormat,
    FloatFormat,
    IntFormat,
    UnknownFormat,
    cfp8,
    parse_block_format,
)
from halfulp.dtypes.block_format import BLOCK_ALIASES, LARGEST_TENSOR_SCALE, LEAST_TENSOR_SCALE

#: element, block, scale, tensor scale, largest element, its exponent, bits a value: OCP MX 1.0,
#: tables 1 to 7; NVFP4: NVIDIA.
FACTS = {
    "mxfp8_e4m3": ("e4m3fn", 32, "e8m0fnu", False, 448.0, 8, 8.25),
    "mxfp8_e5m2": ("e5m2", 32, "e8m0fnu", False, 57344.0, 15, 8.25),
    "mxfp6_e3m2": ("e3m2fn", 32, "e8m0fnu", False, 28.0, 4, 6.25),
    "mxfp6_e2m3": ("e2m3fn", 32, "e8m0fnu", False, 7.5, 2, 6.25),
    "mxfp4": ("e2m1fn", 32, "e8m0fnu", False, 6.0, 2, 4.25),
    "mxint8": ("int8", 32, "e8m0fnu", False, 127 / 64, 0, 8.25),
    "nvfp4": ("e2m1fn", 16, "e4m3fn", True, 6.0, 2, 4.5),
}


def test_the_table_is_that_of_the_specifications() -> None:
    found = {
        name: (
            fmt.element.name,
            fmt.block_size,
            fmt.scale.name,
            fmt.tensor_scale,
            fmt.element_max,
            fmt.element_emax,
            fmt.bits_per_value,
        )
        for name, fmt in BLOCK_FORMATS.items()
    }
    assert found == FACTS


@pytest.mark.parametrize("name", BLOCK_FORMATS)
def test_a_name_is_read_and_written(name: str) -> None:
    fmt = BLOCK_FORMATS[name]
    assert fmt.name == str(fmt) == name
    for text in (name, name.upper(), f"  {name} "):
        assert parse_block_format(text) is BlockFormat.parse(text) is fmt
    assert eval(repr(fmt), {"BlockFormat": BlockFormat, **_NAMES}) == fmt
    assert pickle.loads(pickle.dumps(fmt)) == fmt and hash(fmt) == hash(
        BlockFormat(fmt.element, fmt.block_size, fmt.scale, tensor_scale=fmt.tensor_scale)
    )


_NAMES = {"FloatFormat": FloatFormat, "IntFormat": IntFormat}


def test_other_spellings_are_read() -> None:
    for alias, name in BLOCK_ALIASES.items():
        assert parse_block_format(alias) is BLOCK_FORMATS[name] and alias not in BLOCK_FORMATS
    assert parse_block_format("block(e2m1, 16, e4m3fn, tensor_scale)") == NVFP4
    assert parse_block_format("block(int8,32,e8m0)") == MXINT8


@pytest.mark.parametrize(
    "fmt",
    [
        BlockFormat(cfp8(4, 3), 64, E8M0FNU),
        BlockFormat(cfp8(5, 2, bias=18), 1, E8M0FNU),
        BlockFormat(INT4, 4096, E8M0FNU),
        BlockFormat(E4M3FN, 16, E4M3FN),
        BlockFormat(FloatFormat(2, 3, bias=2), 128, E4M3FN, tensor_scale=True),
    ],
    ids=str,
)
def test_a_format_without_a_name_has_a_general_one(fmt: BlockFormat) -> None:
    assert fmt.name.startswith("block(") and parse_block_format(fmt.name) == fmt


def test_it_is_frozen_and_keeps_plain_numbers() -> None:
    fmt = BlockFormat(E2M1FN, np.int64(32), E8M0FNU)  # type: ignore[arg-type]
    assert fmt == MXFP4 and type(fmt.block_size) is int
    with pytest.raises(FrozenInstanceError):
        fmt.block_size = 16  # type: ignore[misc]


def test_an_element_may_reach_the_ends_and_no_further() -> None:
    assert LEAST_TENSOR_SCALE.hex() == "0x1.0000000000000p-126"
    assert LARGEST_TENSOR_SCALE.hex() == "0x1.0000000000000p+119"
    assert BlockFormat(FloatFormat(5, 2, bias=19), 32, E8M0FNU).element_emax == 11
    with pytest.raises(ValueError, match=r"from 2\^-21 to 2\^10.* least 2\^-20.*less than 2\^16"):
        BlockFormat(FloatFormat(5, 2, bias=20), 32, E8M0FNU)


def test_integer_elements_are_fractions() -> None:
    assert MXINT8.element_unit == 2.0**-6 and MXINT8.element_fraction_bits == 6
    assert MXFP8_E4M3.element_unit == 1.0 and MXFP8_E4M3.element_fraction_bits == 3
    two = BlockFormat(IntFormat(2), 8, E8M0FNU)
    assert (two.element_unit, two.element_max, two.element_emax) == (1.0, 1.0, 0)


@pytest.mark.parametrize(
    ("given", "options", "error", "words"),
    [
        (("e4m3", 32, E8M0FNU), {}, TypeError, "element='e4m3' is no format"),
        ((E4M3FN, 32, INT8), {}, TypeError, "scale=IntFormat"),
        ((E4M3FN, 32.0, E8M0FNU), {}, TypeError, "block_size=32.0 is not an integer"),
        ((E4M3FN, True, E8M0FNU), {}, TypeError, "block_size=True is not an integer"),
        ((E4M3FN, 0, E8M0FNU), {}, ValueError, "allowed: 1 to 4096"),
        ((E4M3FN, 4097, E8M0FNU), {}, ValueError, "allowed: 1 to 4096"),
        ((E4M3FN, 32, E5M2), {}, ValueError, "allowed: e8m0fnu, e4m3fn"),
        ((E4M3FN, 32, E8M0FNU), {"tensor_scale": 1}, TypeError, "give True or False"),
        ((E4M3FN, 32, E8M0FNU), {"tensor_scale": True}, ValueError, "goes with scale=e4m3fn"),
        ((INT8, 16, E4M3FN), {}, ValueError, "element=int8 needs scale=e8m0fnu"),
        ((UINT4, 32, E8M0FNU), {}, ValueError, "not signed with at most 8 bits"),
        ((FloatFormat(5, 3), 32, E8M0FNU), {}, ValueError, "not signed with at most 8 bits"),
        ((E8M0FNU, 32, E8M0FNU), {}, ValueError, "not signed with at most 8 bits"),
        ((E4M3FNUZ, 32, E8M0FNU), {}, ValueError, "needs subnormals"),
        ((FloatFormat(4, 3, subnormals=False), 32, E8M0FNU), {}, ValueError, "needs subnormals"),
        ((cfp8(6, 1), 32, E8M0FNU), {}, ValueError, r"goes from 2\^-31 to 2\^31"),
        ((cfp8(2, 5, bias=17), 32, E8M0FNU), {}, ValueError, r"at least 2\^-20"),
        ((cfp8(4, 3, bias=20), 32, E8M0FNU), {}, ValueError, "a largest one from 1"),
    ],
)
def test_what_is_no_block_format_is_refused(
    given: tuple[Any, ...], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        BlockFormat(*given, **options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mxfp8", "did you mean mxfp8_e4m3, mxfp8_e5m2. "),
        ("nvfp5", "did you mean nvfp4"),
        ("mxfp5", "known: mxfp8_e4m3, mxfp8_e5m2"),
        ("e4m3", "no block format is called 'e4m3'"),
        ("block(e9,32,e8m0fnu)", "no format is called 'e9'"),
        ("block(e2m1,32)", "block.ELEMENT,SIZE,SCALE"),
        ("block(e2m1,32,int8)", "allowed: e8m0fnu, e4m3fn"),
        ("", "known"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_block_format(text)
    assert isinstance(caught.value, UnknownFormat) == ("allowed" not in words)


def test_a_name_is_a_string() -> None:
    with pytest.raises(TypeError, match="not int"):
        parse_block_format(4)  # type: ignore[arg-type]
