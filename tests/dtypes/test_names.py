"""Names, types of other libraries and numpy's finfo: both ways, and what is shown in a notebook."""

import copy
import pickle
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given

from halfulp.dtypes import (
    BF16,
    E2M1FN,
    E4M3,
    E4M3FN,
    E8M0FNU,
    FORMATS,
    FP16,
    FP32,
    INT4,
    INT8,
    TF32,
    UINT32,
    FloatFormat,
    Format,
    IntFormat,
    encode,
    numpy_dtype,
    parse_format,
    round_to,
    torch_dtype,
)
from halfulp.dtypes.dtype_names import DTYPES, from_dtype
from halfulp.dtypes.formats import ALIASES
from halfulp.dtypes.html import format_html
from tests.strategies import EVERY_FLOAT, FLOATS, float_formats

untyped_finfo: Any = ml_dtypes.finfo


@pytest.mark.parametrize("name", DTYPES)
def test_types_of_numpy_and_ml_dtypes_and_formats_name_each_other(name: str) -> None:
    fmt = DTYPES[name]
    dtype = numpy_dtype(fmt)
    assert dtype.name == name
    assert from_dtype(dtype) is from_dtype(dtype.type) is fmt
    kind = FloatFormat if isinstance(fmt, FloatFormat) else IntFormat
    assert kind.from_dtype(dtype) == fmt
    assert name in (fmt.name, *fmt.aliases) and parse_format(name) == fmt


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e8m0fnu, torch.int8]
)
def test_types_of_torch_and_formats_name_each_other(dtype: torch.dtype) -> None:
    fmt = from_dtype(dtype)
    assert torch_dtype(fmt) is dtype
    assert parse_format(str(dtype)) == fmt


def test_a_cast_takes_the_type_of_another_library_for_its_format() -> None:
    for dtype in (np.float16, np.dtype(">f2"), torch.float16):
        assert round_to(1.1, dtype) == round_to(1.1, FP16)
    assert encode(300.0, ml_dtypes.float8_e4m3fn) == encode(300.0, E4M3FN)
    assert encode(300.0, np.int8) == 127


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: from_dtype(float), TypeError, "is no type of numpy, ml_dtypes or torch"),
        (lambda: from_dtype(torch.float64), ValueError, "torch.float64 has no format here; those"),
        (lambda: FloatFormat.from_dtype(np.int8), ValueError, "IntFormat.from_dtype reads it"),
        (lambda: IntFormat.from_dtype(np.float16), ValueError, "FloatFormat.from_dtype reads it"),
        (lambda: numpy_dtype(TF32), ValueError, "no type holds the codes of tf32; those that have"),
        (lambda: torch_dtype(E4M3), ValueError, "has no type for e4m3"),
    ],
)
def test_a_type_without_a_format_is_refused(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("fmt", "spellings"),
    [
        (E4M3, ("fp8_e4m3", "fp8e4", "FP8_EXP4", "cfp8(4,3)", "float8_e4m3")),
        (E4M3FN, ("float8_e4m3fn", "torch.float8_e4m3fn", "FLOAT8E4M3FN", "ocp_e4m3")),
        (E2M1FN, ("float4_e2m1fn", "FLOAT4E2M1", "e2m1", "ml_dtypes.float4_e2m1fn")),
        (E8M0FNU, ("float8_e8m0fnu", "e8m0", "FLOAT8E8M0")),
        (BF16, ("bfloat16", "torch.bfloat16", "e8m7")),
        (FP32, ("float", "float32", "single")),
        (INT8, ("ocp_int8", "INT8")),
    ],
    ids=str,
)
def test_every_library_s_spelling_is_read(fmt: Format, spellings: tuple[str, ...]) -> None:
    for spelling in spellings:
        assert parse_format(spelling) == fmt, spelling


def test_aliases_are_the_table_s() -> None:
    listed = {alias: fmt for fmt in FORMATS.values() for alias in fmt.aliases}
    assert listed == {alias: FORMATS[name] for alias, name in ALIASES.items()}
    assert FloatFormat(6, 9).aliases == INT4.aliases == ()
    assert not set(ALIASES) & set(FORMATS)


@pytest.mark.parametrize("name", [n for n in DTYPES if isinstance(DTYPES[n], FloatFormat)])
def test_finfo_s_names_say_what_ml_dtypes_says(name: str) -> None:
    fmt, info = DTYPES[name], untyped_finfo(numpy_dtype(DTYPES[name]))
    assert isinstance(fmt, FloatFormat)
    names = ["bits", "eps", "max", "min", "tiny", "smallest_normal", "nmant", "machep"]
    names += ["nexp", "iexp", "minexp"]
    if fmt != E8M0FNU:  # there ml_dtypes calls no spacing from 1/2 to 1, and no subnormal one
        names += ["epsneg", "negep", "smallest_subnormal"]
    for one in names:
        assert float(getattr(fmt, one)) == float(getattr(info, one)), one
    # ml_dtypes rounds up where the largest value is not the last below a power of two
    assert fmt.max < 2.0**fmt.maxexp <= 2 * fmt.max or fmt.maxexp == info.maxexp


@pytest.mark.parametrize(("fmt", "dtype"), [(FP16, np.float16), (FP32, np.float32)])
def test_finfo_s_names_say_what_numpy_says(fmt: FloatFormat, dtype: Any) -> None:
    info = np.finfo(dtype)
    for name in ("epsneg", "machep", "negep", "maxexp", "minexp", "nexp", "iexp", "nmant"):
        assert getattr(fmt, name) == getattr(info, name), name
    assert dtype(fmt.resolution) == info.resolution


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "int32", "uint32"])
def test_iinfo_s_names_say_what_numpy_says(name: str) -> None:
    fmt, info = IntFormat.parse(name), np.iinfo(name)
    assert (fmt.bits, fmt.min, fmt.max, fmt.kind) == (info.bits, info.min, info.max, info.kind)


@given(float_formats())
def test_a_format_is_a_value(fmt: FloatFormat) -> None:
    again = pickle.loads(pickle.dumps(fmt))
    assert again == fmt and hash(again) == hash(fmt)
    assert copy.copy(fmt) == copy.deepcopy(fmt) == fmt
    assert {fmt: 1}[eval(repr(fmt))] == 1
    assert str(fmt) == fmt.name and FloatFormat.parse(fmt.name) == fmt


def test_a_pickled_format_is_the_same_in_another_process() -> None:
    fmts = [*FORMATS.values(), *EVERY_FLOAT.values()]
    code = (
        "import pickle, sys; fmts = pickle.load(sys.stdin.buffer);"
        "sys.stdout.write(repr(fmts)); import halfulp.dtypes as d;"
        "assert fmts[0] == d.FP32 and hash(fmts[0]) == hash(d.FP32)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(fmts), capture_output=True, check=True
    )
    assert done.stdout.decode() == repr(fmts)


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.cells[-1] += data


@pytest.mark.parametrize("fmt", [*FLOATS.values(), INT8, UINT32], ids=str)
def test_a_notebook_shows_a_table(fmt: Format) -> None:
    parser = _Cells()
    parser.feed(fmt._repr_html_())
    assert not parser.open, "every tag is closed"
    assert str(fmt.bits) in parser.cells
    if isinstance(fmt, FloatFormat) and fmt.bits <= 6:
        assert {"0", "-0", f"{fmt.max:g}", f"{fmt.min:g}"} <= set(parser.cells)
    assert repr(fmt).startswith(type(fmt).__name__)


def test_a_format_without_other_names_is_shown_without_them() -> None:
    assert "other names" in format_html(E4M3)
    assert not FloatFormat(6, 9).aliases and "other names" not in format_html(FloatFormat(6, 9))


def test_a_type_that_an_older_library_lacks_is_missed_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(ml_dtypes, "float4_e2m1fn")
    with pytest.raises(ValueError, match=f"ml_dtypes {ml_dtypes.__version__} has no float4_e2m1fn"):
        numpy_dtype(E2M1FN)


def test_what_is_shown_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FloatFormat, "aliases", ("<script>&",))
    assert "<script>" not in format_html(E4M3) and "&lt;script&gt;&amp;" in format_html(E4M3)
