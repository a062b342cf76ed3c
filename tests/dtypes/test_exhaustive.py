"""The proof of the casts on every input: its judges are right, and it finds what is wrong."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from halfulp.dtypes import (
    E2M1FN,
    E4M3,
    E4M3FN,
    E5M2FNUZ,
    E8M0FNU,
    FP32,
    INT8,
    INT32,
    TF32,
    FloatFormat,
    Format,
    Overflow,
    Philox,
    Rounding,
    Subnormals,
    binades,
    cast,
    draws,
    intervals,
)
from halfulp.dtypes.binades import Binades, UnconfirmedRule
from halfulp.dtypes.conversion import Conversion, conversion
from halfulp.dtypes.exhaustive import SOURCES, Judge, Verdict, Wrong, judge_of, patterns_of, verify
from halfulp.dtypes.intervals import Intervals, code_of, meaning, number, pattern_of
from halfulp.dtypes.rounding import DETERMINISTIC, NanTo
from tests.dtypes.opinion import convert, encode_by_spacing
from tests.strategies import CORNERS, EVERY_FLOAT, FLOATS, float32_boundaries, overflows_of

Array = npt.NDArray[Any]
ONE, TWO = 0x3F800000, 0x40000000
NAN = 0x7FC00000
NARROW = {name: fmt for name, fmt in EVERY_FLOAT.items() if fmt.bits <= 8}
#: Formats that both the search and the rule can judge, one with values among float32's subnormals.
BOTH = [FLOATS["e4m3"], FLOATS["e5m2fnuz"], CORNERS["cfp8(3,4,bias=146)"]]
WIDE = [fmt for fmt in EVERY_FLOAT.values() if fmt.bits > 16 and fmt.subnormals]
#: Each with a rounding, and every rounding with some.
WIDE_CASES = [(fmt, DETERMINISTIC[index % 6]) for index, fmt in enumerate(WIDE)]


def made(fmt: Format, *modes: Any, **more: Any) -> Conversion:
    """A conversion with something for NaN."""
    rounding, overflow = modes or (Rounding.NEAREST_EVEN, Overflow.INF)
    no_nan = isinstance(fmt, FloatFormat) and not fmt.has_nan
    nan = NanTo.MAX if no_nan else None
    return conversion(fmt, rounding=rounding, overflow=overflow, nan=nan, **more)


def expected(judge: Any, patterns: Array) -> tuple[Array, Array]:
    """What a judge says of single patterns."""
    codes, bits = np.empty(1, np.int64), np.empty(1, np.uint32)
    found = []
    for pattern in patterns.tolist():
        judge.expect(pattern, codes, bits)
        found.append((codes[0], bits[0]))
    codes_found, bits_found = np.array(found).T
    return codes_found, bits_found


def some_patterns(fmt: FloatFormat) -> npt.NDArray[np.uint32]:
    """Those of the format's boundaries, thinned, and random ones."""
    boundaries = float32_boundaries(fmt).view(np.uint32)
    random = np.random.default_rng(5)
    return np.concatenate(
        [
            random.choice(boundaries, min(200, boundaries.size), replace=False),
            random.integers(0, 1 << 32, 100, dtype=np.uint32),
        ]
    )


@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("fmt", NARROW.values(), ids=str)
def test_the_search_says_what_a_second_opinion_says(fmt: FloatFormat, rounding: Rounding) -> None:
    patterns = some_patterns(fmt)
    x = convert(patterns.view(np.float32), np.float64)
    for overflow in overflows_of(fmt) if fmt in (E4M3, E4M3FN) else [Overflow.INF]:
        codes, _ = expected(Intervals(made(fmt, rounding, overflow)), patterns)
        wanted = encode_by_spacing(x, fmt, rounding, overflow)
        wanted = np.where(wanted == -1, fmt.max_code, wanted)
        assert np.array_equal(codes, wanted)


@pytest.mark.parametrize("fmt", NARROW.values(), ids=str)
def test_every_code_has_its_run_and_each_run_one_code(fmt: FloatFormat) -> None:
    judge = Intervals(made(fmt))
    assert judge.starts[0] == 0 and judge.starts == sorted(set(judge.starts))
    finite = set(range(fmt.max_code + 1))
    finite |= {fmt.sign_code + code for code in finite} if fmt.signed else set()
    if not fmt.has_minus_zero:
        finite -= {fmt.sign_code} if fmt.signed else set()
    assert finite <= set(judge.codes)
    assert judge.bits == [meaning(code, fmt) for code in judge.codes]
    for start, code in zip(judge.starts, judge.codes, strict=True):
        assert code_of(number(start), made(fmt)) == code


@pytest.mark.parametrize("rounding", DETERMINISTIC[::4])
@pytest.mark.parametrize("fmt", BOTH, ids=str)
def test_the_search_and_the_rule_say_the_same(fmt: FloatFormat, rounding: Rounding) -> None:
    subnormals = list(Subnormals)[DETERMINISTIC.index(rounding) % 3]
    case = made(fmt, rounding, Overflow.INF, subnormals=subnormals)
    search = Intervals(case)
    judges: list[Judge] = [search, Binades(case)]
    place = search.starts[len(search.starts) // 3]
    for start in (0, 1 << 23, max(place - 1000, 0), 0x7F7FFF00, 0x80000000, 0xFF7FFF00):
        said = [(np.empty(2048, np.int64), np.empty(2048, np.uint32)) for _ in judges]
        for judge, arrays in zip(judges, said, strict=True):
            judge.expect(start, *arrays)
        assert np.array_equal(said[0][0], said[1][0])
        assert np.array_equal(said[0][1], said[1][1])


@pytest.mark.parametrize(("fmt", "rounding"), WIDE_CASES, ids=str)
def test_the_rule_for_wide_formats_says_what_the_reference_says(
    fmt: FloatFormat, rounding: Rounding
) -> None:
    patterns = some_patterns(fmt)
    subnormals = list(Subnormals)[WIDE.index(fmt) % 3]
    case = made(fmt, rounding, Overflow.INF, subnormals=subnormals)
    codes, bits = expected(Binades(case), patterns)
    wanted = [code_of(number(pattern), case) for pattern in patterns.tolist()]
    assert codes.tolist() == wanted
    assert bits.tolist() == [meaning(code, fmt) for code in wanted]


def test_a_rule_that_the_reference_does_not_confirm_judges_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ties_away(rounding: Rounding, rest: Array, dropped: int, *_: Any) -> Array:
        return rest << 1 >= 1 << dropped

    monkeypatch.setattr(binades, "_goes_up", ties_away)
    with pytest.raises(UnconfirmedRule, match="the rule gives code"):
        Binades(made(TF32))


def test_patterns_and_numbers_are_the_same_thing() -> None:
    for pattern in (0, 1, ONE, 0x7F7FFFFF, 0x7F800000, 0x80000000, 0x80000001, 0xFF800000, NAN):
        assert pattern_of(number(pattern)) == pattern
    assert pattern_of(number(0xFFC12345)) == NAN
    with pytest.raises(ValueError, match="is no float32"):
        pattern_of(0.1)


def test_a_format_that_no_judge_serves_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 16"):
        Intervals(made(TF32))
    for fmt in (FloatFormat(8, 22, bias=127, subnormals=False), INT32):
        with pytest.raises(ValueError, match="with subnormals"):
            judge_of(made(fmt))


def test_the_judges_share_nothing_with_the_kernels() -> None:
    code = (
        "import sys, halfulp.dtypes.exhaustive as proof\n"
        "from halfulp.dtypes.conversion import conversion\n"
        "for name in ('e4m3', 'tf32'): proof.judge_of(conversion(name))\n"
        "print(*(m for m in sys.modules if m.startswith(('halfulp', 'numba', 'llvmlite'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "halfulp.dtypes.binades" in loaded
    kernels = {f"halfulp.dtypes.{name}" for name in ("kernels", "parameters", "codec", "jit")}
    assert not kernels & set(loaded)
    assert not [name for name in loaded if name.startswith(("numba", "llvmlite"))]


def parts(fmt: Format) -> list[range]:
    """Small parts of float32 where something happens: both ends, 1 and its neighbors, NaN."""
    last = fmt.max if isinstance(fmt, FloatFormat) else float(fmt.max)
    top = pattern_of(float(np.float32(last)))
    starts = (0, ONE - 5000, top - 5000, 0x7F7FF000, 0x80000000, 0x80000000 + top - 5000)
    return [range(start, min(start + 10_000, 1 << 32)) for start in starts]


@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("name", ["e4m3", "e4m3fn", "e5m2fnuz", "e2m1fn", "e8m0fnu"])
def test_parts_of_float32_are_cast_exactly(name: str, rounding: Rounding) -> None:
    fmt = FLOATS[name]
    for overflow in overflows_of(fmt):
        subnormals = list(Subnormals)[list(Overflow).index(overflow) % 3]
        case = made(fmt, rounding, overflow, subnormals=subnormals)
        # the largest numbers, infinity and NaN; the last NaN, -0 and what follows it
        for part in (range(0x7F700000, 0x7F900000), range(0x7FFF0000, 0x80010000)):
            verdict = verify(case, part=part, threads=2)
            assert (verdict.inputs, verdict.wrong) == (len(part), 0), verdict.first


@pytest.mark.parametrize("rounding", DETERMINISTIC[::2])
def test_a_part_in_a_wide_format_is_cast_exactly(rounding: Rounding) -> None:
    assert verify(made(TF32, rounding, Overflow.INF), part=range(ONE, ONE + 300_000)).wrong == 0


def test_a_format_of_integers_is_cast_exactly() -> None:
    for rounding in DETERMINISTIC:
        for part in parts(INT8):
            assert verify(made(INT8, rounding, Overflow.INF), part=part).wrong == 0


@pytest.mark.deep
@pytest.mark.parametrize("source", ["float16", "bfloat16"])
@pytest.mark.parametrize("fmt", [E4M3, E2M1FN, E8M0FNU, FP32], ids=str)
def test_every_number_of_16_bits_is_cast_exactly(fmt: FloatFormat, source: str) -> None:
    for subnormals in Subnormals:
        case = made(fmt, Rounding.TO_ODD, Overflow.INF, subnormals=subnormals)
        verdict = verify(case, source=source)
        assert (verdict.inputs, verdict.wrong) == (1 << 16, 0), verdict.first


def test_a_part_is_judged_whole_by_any_number_of_threads_and_the_progress_told() -> None:
    part = range(ONE - 12_345, ONE + (5 << 20))
    for threads in (1, 3):
        told: list[float] = []
        verdict = verify(made(E4M3), part=part, threads=threads, progress=told.append)
        assert (verdict.inputs, verdict.wrong, verdict.first) == (len(part), 0, ())
        assert len(told) == 6 and told == sorted(told) and told[-1] == 1.0


Cast = Callable[..., Any]


def planted(
    monkeypatch: pytest.MonkeyPatch, name: str, spoil: Callable[[Array, Array], None]
) -> None:
    """Let a public cast do `spoil(patterns, result)` after its work."""
    right = getattr(cast, name)

    def wrong(x: Any, fmt: Any, *, out: Any = None, **options: Any) -> Any:
        result = right(x, fmt, out=out, **options)
        spoil(x.view(f"u{x.itemsize}"), result)
        return result

    monkeypatch.setattr(cast, name, wrong)


def at(pattern: int, change: int) -> Callable[[Array, Array], None]:
    """One input's result is off in its lowest bits."""

    def spoil(patterns: Array, result: Array) -> None:
        codes = result.view(f"u{result.itemsize}")
        codes[patterns == pattern] ^= codes.dtype.type(change)

    return spoil


@pytest.mark.parametrize(
    "pattern", [0, ONE, ONE + 777_777, 0x7F800000, NAN, 0x80000000, (1 << 32) - 1]
)
@pytest.mark.parametrize("name", ["encode", "round_to"])
@pytest.mark.parametrize("fmt", [E4M3, pytest.param(TF32, marks=pytest.mark.deep)], ids=str)
def test_one_wrong_input_is_found_and_shown(
    fmt: FloatFormat, name: str, pattern: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, name, at(pattern, 1))
    case = made(fmt)
    part = range(max(0, pattern - 100_000), min(pattern + 100_000, 1 << 32))
    verdict = verify(case, part=part)
    assert (verdict.inputs, verdict.wrong) == (len(part), 1)
    (wrong,) = verdict.first
    code = code_of(number(pattern), case)
    bits = meaning(code, fmt)
    assert (wrong.pattern, wrong.wanted_code, wrong.wanted_bits) == (pattern, code, bits)
    if name == "encode":
        assert (wrong.code, wrong.bits) == (code ^ 1, bits)
        assert str(wrong) == f"{pattern:#x}: encode gave {code ^ 1:#x}, wanted {code:#x}"
    else:
        assert (wrong.code, wrong.bits) == (code, bits ^ 1)
        assert str(wrong) == f"{pattern:#x}: round_to gave {bits ^ 1:#010x}, wanted {bits:#010x}"


def test_many_wrong_inputs_are_counted_and_the_first_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_sign_of_zero(patterns: Array, result: Array) -> None:
        result[result == E4M3.sign_code] = 0

    planted(monkeypatch, "encode", no_sign_of_zero)
    verdict = verify(made(E4M3), part=range(0x80000000 - 50, 0x80000000 + 3_000_000), threads=2)
    assert verdict.wrong == 3_000_000
    assert [wrong.pattern for wrong in verdict.first] == [0x80000000 + i for i in range(8)]


def test_results_that_are_not_written_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("encode", "round_to"):
        with monkeypatch.context() as patch:
            patch.setattr(cast, name, lambda x, fmt, *, out, **options: out)
            verdict = verify(made(E4M3), part=range(ONE, ONE + 1000))
            assert verdict.wrong == 1000


@pytest.mark.parametrize(
    ("given", "judged"),
    [
        (made(E4M3, Rounding.NEAREST_AWAY, Overflow.INF), made(E4M3)),
        (made(E4M3, Rounding.TOWARD_ZERO, Overflow.INF), made(E4M3)),
        (made(E4M3FN, Rounding.NEAREST_EVEN, Overflow.SATURATE), made(E4M3FN)),
        (made(E4M3), made(E4M3FN)),
        pytest.param(made(TF32, Rounding.TO_ODD, Overflow.INF), made(TF32), marks=pytest.mark.deep),
        (made(E5M2FNUZ, subnormals="flush_outputs"), made(E5M2FNUZ)),
        (made(FP32, subnormals="flush_inputs"), made(FP32)),
    ],
)
def test_a_cast_in_another_mode_is_found(
    given: Conversion, judged: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halfulp.dtypes.exhaustive import options_of

    right = cast.encode
    monkeypatch.setattr(
        cast,
        "encode",
        lambda x, fmt, *, out, **options: right(x, given.fmt, out=out, **options_of(given)),
    )
    inputs = [range(0, 1 << 20), range(0x37000000, 0x37100000), range(0x43600000, 0x43F00000)]
    inputs.append(range(ONE, ONE + (1 << 18)))
    assert sum(verify(judged, part=part).wrong for part in inputs) > 0


def test_a_wrong_number_of_16_bits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, "encode", at(0x3C01, 1))
    verdict = verify(made(E4M3), source="float16")
    assert (verdict.wrong, verdict.first[0].pattern) == (1, 0x3C01)


def stochastic(fmt: FloatFormat, **more: Any) -> Conversion:
    more |= {} if fmt.has_nan else {"nan": "zero"}
    return conversion(fmt, rounding="stochastic", random=Philox(0), **more)


@pytest.mark.parametrize("subnormals", Subnormals)
@pytest.mark.parametrize(
    "name", ["e4m3", "e4m3fn", "e5m2fnuz", "e2m1fn", "e8m0fnu", "bf16", "fp32"]
)
def test_every_draw_gives_its_result(name: str, subnormals: Subnormals) -> None:
    case = stochastic(FLOATS[name], subnormals=subnormals)
    pairs = 0
    for part in (
        range(0, 0x00800001),
        range(ONE - 1, ONE + (3 << 20)),
        range(0xBF7FFFFF, 0xBF900000),
    ):
        verdict = draws.verify_draws(case, part=part)
        assert verdict.wrong == 0, verdict.first
        pairs += verdict.inputs
    assert pairs > 4 * 2**17


def test_the_inputs_of_the_draws_are_everywhere() -> None:
    patterns = draws.inputs_of(E4M3)
    codes = {code_of(number(pattern), made(E4M3)) for pattern in patterns}
    assert codes == set(range(0x79)) | set(range(0x80, 0xF9)) | {0x7C}
    shares = {draws.lot_of(pattern, stochastic(E4M3), (3,)).ups >> 29 for pattern in patterns}
    assert shares == set(range(8))


def test_a_probability_is_that_of_the_distance() -> None:
    lot = draws.lot_of(pattern_of(1.0 + 3 / 32), stochastic(E4M3), (1, 2, 3, 32))
    assert (lot.low, lot.high, lot.ups) == (0x38, 0x39, 3 << 30)
    assert [lot.threshold(bits) for bits in (1, 2, 3, 32)] == [1, 1, 2, 1 << 30]
    assert draws.lot_of(pattern_of(1.0), stochastic(E4M3), (8,)).threshold(8) == 256


def one_draw_early(right: Cast) -> Cast:
    """Rounding up begins one draw too early."""

    def wrong(x: Any, fmt: Any, **options: Any) -> Any:
        given = options["random"]
        values = np.minimum(given.values.astype(np.int64) + 1, (1 << given.random_bits) - 1)
        options["random"] = type(given)(values, given.random_bits)
        return right(x, fmt, **options)

    return wrong


def half_the_bits(right: Cast) -> Cast:
    """Of 32 random bits the lower half does not count."""

    def wrong(x: Any, fmt: Any, **options: Any) -> Any:
        given = options["random"]
        if given.random_bits == 32:
            options["random"] = type(given)(given.values & np.uint32(0xFFFF0000), 32)
        return right(x, fmt, **options)

    return wrong


@pytest.mark.parametrize("spoil", [one_draw_early, half_the_bits])
@pytest.mark.parametrize("name", ["encode", "round_to"])
def test_a_cast_with_another_probability_is_found(
    name: str, spoil: Callable[[Cast], Cast], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = range(ONE, ONE + (1 << 20))
    assert draws.verify_draws(stochastic(E4M3), part=part).wrong == 0
    monkeypatch.setattr(cast, name, spoil(getattr(cast, name)))
    verdict = draws.verify_draws(stochastic(E4M3), part=part)
    assert verdict.wrong > 0
    assert " with draw " in str(verdict.first[0]) and f"{name} gave" in str(verdict.first[0])


def test_a_reference_with_another_probability_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from halfulp.dtypes import reference

    def always_half(magnitude: Any, negative: bool, rounding: Any, noise: Any) -> int:
        below = int(magnitude)
        if magnitude == below or noise is None:
            return below + (magnitude != below and rounding is not Rounding.TOWARD_ZERO)
        return below + (noise.value >= 1 << (noise.bits - 1))

    monkeypatch.setattr(reference, "whole", always_half)
    with pytest.raises(draws.UnconfirmedProbability, match="the distance is 3/4"):
        draws.lot_of(pattern_of(1.0 + 3 / 32), stochastic(E4M3), (8,))


def test_a_reference_that_depends_on_the_number_of_bits_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from halfulp.dtypes import reference
    from halfulp.dtypes.reference_rounding import whole

    def wrong_with_eight_bits(magnitude: Any, negative: bool, rounding: Any, noise: Any) -> int:
        if noise is not None and noise.bits == 8:
            return int(magnitude)
        return whole(magnitude, negative, rounding, noise)

    x = pattern_of(1.0 + 3 / 32)
    assert draws.lot_of(x, stochastic(E4M3), (8,)).threshold(8) == 64
    monkeypatch.setattr(reference, "whole", wrong_with_eight_bits)
    with pytest.raises(draws.UnconfirmedProbability, match="with 8 random bits: 64"):
        draws.lot_of(x, stochastic(E4M3), (8,))


def test_a_verdict_is_a_value() -> None:
    wrong = Wrong(0x3F800000, 1, 2, 3, 4)
    assert str(wrong).startswith("0x3f800000: encode gave 0x1, wanted 0x2; round_to gave")
    assert Verdict(1, 1, (wrong,), 0.5) == Verdict(1, 1, (wrong,), 0.5)
    assert {name: len(patterns_of(name)) for name in SOURCES} == {
        "float32": 1 << 32,
        "float16": 1 << 16,
        "bfloat16": 1 << 16,
    }
    assert intervals.PATTERNS == 1 << 32


@pytest.mark.deep
@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("fmt", FLOATS.values(), ids=str)
def test_all_of_float32_is_cast_exactly(fmt: FloatFormat, rounding: Rounding) -> None:
    verdict = verify(made(fmt, rounding, Overflow.INF), threads=2)
    assert (verdict.inputs, verdict.wrong) == (1 << 32, 0), verdict.first


@pytest.mark.deep
@pytest.mark.parametrize("fmt", FLOATS.values(), ids=str)
def test_every_draw_of_every_chosen_input_gives_its_result(fmt: FloatFormat) -> None:
    assert draws.verify_draws(stochastic(fmt)).wrong == 0
