"""AutoCast: the compilers' flags and their defaults by era."""

import pytest

from halfulp.dtypes import BF16, E4M3, FP16, TF32, FloatFormat
from halfulp.quant import ERAS, AutoCast, Rule, UnknownFlag, named_policy

MATMULT, ALL = "matmult", "all"


def rule(fmt: FloatFormat, scope: str, *, fused: bool = True) -> Rule:
    return Rule(operands=fmt, results=fmt if scope == ALL else None, fused=fused)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--auto-cast none", Rule()),
        ("--auto-cast matmult", rule(BF16, MATMULT)),
        ("--auto-cast=matmult --auto-cast-type=bf16", rule(BF16, MATMULT)),
        ("--auto-cast matmult --auto-cast-type fp16", rule(FP16, MATMULT)),
        ("--auto-cast matmult --auto-cast-type tf32", rule(TF32, MATMULT)),
        ("--auto-cast matmult --auto-cast-type fp8_e4m3", rule(E4M3, MATMULT)),
        ("--auto-cast all", rule(BF16, ALL)),
        ("--auto-cast-type fp16 --auto-cast all", rule(FP16, ALL)),
        ("--auto-cast all --auto-cast none --auto-cast matmult", rule(BF16, MATMULT)),
        ("--auto-cast all --auto-cast-type fp16 --auto-cast-type tf32", rule(TF32, ALL)),
        ("--auto-cast all --disable-mixed-precision-accumulation", rule(BF16, ALL, fused=False)),
        (
            "--auto-cast all --disable-mixed-precision-accumulation"
            " --enable-mixed-precision-accumulation",
            rule(BF16, ALL),
        ),
        ("--auto-cast matmult --disable-mixed-precision-accumulation", rule(BF16, MATMULT)),
        ("--fp32-cast all", rule(BF16, ALL)),
        ("--fp32-cast all-fp16", rule(FP16, ALL)),
        ("--fp32-cast matmult", rule(BF16, MATMULT)),
        ("--fp32-cast=matmult-bf16", rule(BF16, MATMULT)),
        ("--fp32-cast matmult-fp16", rule(FP16, MATMULT)),
        ("--fast-math all", rule(BF16, ALL)),
        ("--fast-math none", rule(BF16, MATMULT)),
        ("--fast-math no-fast-relayout", rule(BF16, ALL)),
        ("--fast-math fp32-cast-all-fp16", rule(FP16, ALL)),
        ("--fast-math fp32-cast-matmult-fp16 no-fast-relayout", rule(FP16, MATMULT)),
        ("--fast-math=fp32-cast-matmult-bf16,fast-relayout", rule(BF16, MATMULT)),
        ("--fp32-cast matmult-fp16 --fast-math all", rule(FP16, MATMULT)),
        ("--fast-math none --fp32-cast all", rule(BF16, ALL)),
    ],
)
def test_flags_become_one_rule(flags: str, expected: Rule) -> None:
    assert AutoCast.parse(flags).rules == (expected,)
    assert AutoCast.parse(flags.split()).rules == (expected,)


def test_a_policy_from_flags_is_the_named_one() -> None:
    flags = "--auto-cast matmult --auto-cast-type bf16"
    assert AutoCast.parse(flags) == named_policy("bf16-matmult")


def test_presets_are_the_defaults_of_their_era() -> None:
    assert AutoCast.preset("inf1") == named_policy("bf16-all")
    assert AutoCast.preset("inf2-2023") == named_policy("bf16-matmult")
    assert AutoCast.preset("inf2") == named_policy("fp32")


def test_an_era_fills_in_the_flags_left_out() -> None:
    assert AutoCast.parse("--auto-cast-type fp16", era="inf2-2023") == named_policy("fp16-matmult")
    unfused = AutoCast.parse("--auto-cast all", era="inf2-2023")
    assert unfused.rules == (rule(BF16, ALL, fused=False),)
    assert unfused.name != "bf16-all"


@pytest.mark.parametrize(
    ("flags", "note"),
    [
        ("--auto-cast all --enable-saturate-infinity", "saturate-infinity is recorded"),
        ("--fp32-cast all --enable-saturate-infinity", "saturate-infinity is recorded"),
        ("--auto-cast-type fp16", "fp16 has no effect"),
        ("--auto-cast all --model-type transformer", "model-type transformer"),
        ("--fp32-cast matmult", "matmult engine in fp16"),
        ("--fp32-cast matmult-bf16", "matmult engine in bf16"),
    ],
)
def test_what_is_not_modelled_is_recorded(flags: str, note: str) -> None:
    policy = AutoCast.parse(flags)
    assert any(note in said for said in policy.notes)
    assert set(policy.notes) <= set(policy.assumptions)


@pytest.mark.parametrize("flags", ["--fast-math none", "--fp32-cast all", "--auto-cast matmult"])
def test_what_is_modelled_needs_no_note(flags: str) -> None:
    assert AutoCast.parse(flags).notes == ()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--auto-cast matmul", "did you mean matmult.*none, matmult, all"),
        ("--auto-cast-type e4m3", "fp8_e4m3"),
        ("--auto-cast", "takes one of none, matmult, all; given: nothing"),
        ("--auto-cast matmult all", "given: matmult all"),
        ("--auto-cats all", "did you mean --auto-cast"),
        ("--fp32-cast all-bf16", "all, all-fp16, matmult"),
        ("--fast-math fp32-cast-everything", "fp32-cast-all"),
        ("--fp32-cast all --auto-cast all", "flags of one compiler"),
        ("--enable-saturate-infinity yes", "takes no value"),
        ("--enable-mixed-precision-accumulation=1", "takes no value"),
        ("bf16", "no flag"),
    ],
)
def test_an_unknown_flag_or_value_names_the_allowed_ones(flags: str, message: str) -> None:
    with pytest.raises(UnknownFlag, match=message):
        AutoCast.parse(flags)


def test_an_open_quote_is_told_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"the flags .* cannot be read .*close every quote"):
        AutoCast.parse("--auto-cast 'matmult")


def test_an_unknown_era_names_the_known_ones() -> None:
    with pytest.raises(UnknownFlag, match=", ".join(ERAS)):
        AutoCast.preset("inf3")
    with pytest.raises(UnknownFlag, match="inf2-2023"):
        AutoCast.parse("", era="2023")


def test_flags_of_the_other_compiler_do_not_fit_an_era() -> None:
    with pytest.raises(UnknownFlag, match="no flag of neuronx-cc"):
        AutoCast.parse("--fp32-cast all", era="inf2")
