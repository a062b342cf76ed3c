"""Policies: rules, names, defaults, assumptions."""

import pytest

from halfulp.dtypes import BF16, E3M4, E4M3, FP16, FP32, INT8, INT16, TF32, UINT8, cfp8
from halfulp.quant import POLICIES, Policy, Rule, Scaling, UnknownPolicy, named_policy


def test_the_first_matching_rule_wins() -> None:
    policy = Policy("mixed", (Rule(pattern="classifier", operands=BF16), Rule(operands=E4M3)))
    assert policy.rule_for("classifier").operands == BF16
    assert policy.rule_for("classifier.dense").operands == BF16
    assert policy.rule_for("bert.encoder.layer.0").operands == E4M3
    assert policy.rule_for("").operands == E4M3
    assert policy.operand_format == E4M3


@pytest.mark.parametrize(
    ("pattern", "layer", "matched"),
    [
        ("encoder.layer.1", "encoder.layer.1", True),
        ("encoder.layer.1", "encoder.layer.1.output.dense", True),
        ("encoder.layer.1", "encoder.layer.10", False),
        ("encoder.layer.1", "encoder.layer.10.output", False),
        ("*.query", "encoder.layer.0.attention.self.query", True),
        ("*.layer.[01].*", "encoder.layer.1.output", True),
        ("*.layer.[01].*", "encoder.layer.2.output", False),
        ("Encoder", "encoder", False),
        ("*", "", True),
        ("encoder", "", False),
    ],
)
def test_a_pattern_matches_a_layer_and_all_inside_it(
    pattern: str, layer: str, matched: bool
) -> None:
    assert Rule(pattern=pattern).matches(layer) is matched


def test_integers_are_scaled_symmetrically_without_being_told() -> None:
    assert Rule(operands=INT8).scaling is Scaling.SYMMETRIC
    assert Rule(operands=BF16).scaling is Scaling.NONE
    assert Rule(operands=E4M3, scaling="power_of_two").scaling is Scaling.POWER_OF_TWO  # type: ignore[arg-type]


def test_results_in_fp32_are_no_cast() -> None:
    assert Rule(operands=BF16, results=FP32) == Rule(operands=BF16)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (dict(pattern=""), "not a layer name"),
        (dict(operands="bf16"), "parse_format"),
        (dict(operands=BF16, results=INT8), "neither a float format"),
        (dict(operands=INT8, results=BF16), "int8 operands take"),
        (dict(operands=INT8, scaling=Scaling.NONE), "int8 operands take"),
        (dict(operands=UINT8), "zero point"),
        (dict(operands=BF16, scaling=Scaling.SYMMETRIC), "bf16 operands take"),
        (dict(operands=BF16, scaling=Scaling.POWER_OF_TWO), "leave the scaling out"),
        (dict(operands=cfp8(7, 0), scaling=Scaling.POWER_OF_TWO), "leave the scaling out"),
        (dict(operands=BF16, scaling="log"), "allowed: 'none', 'power_of_two', 'symmetric'"),
        (dict(operands=BF16, fused=False), "needs results"),
    ],
)
def test_rules_that_do_not_fit_together_are_refused(
    choices: dict[str, object], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Rule(**choices)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((), "one or more Rule"),
        ((Rule(pattern="encoder"),), "last pattern must be"),
        ((Rule(), Rule()), "the first wins"),
        ((Rule(pattern="a"), Rule(pattern="a"), Rule()), "the first wins: a"),
    ],
)
def test_rules_that_cannot_decide_are_refused(rules: tuple[Rule, ...], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Policy("p", rules)


def test_a_policy_is_a_value() -> None:
    assert named_policy("e4m3-all") == named_policy("e4m3-all")
    assert len({named_policy("e4m3-all"), named_policy("fp8_e4m3-all")}) == 1


@pytest.mark.parametrize("chip", POLICIES)
def test_every_default_name_is_read_back(chip: str) -> None:
    for name in POLICIES[chip]:
        assert named_policy(name).name == name
    assert len(set(POLICIES[chip])) == len(POLICIES[chip])


def test_names_say_formats_scope_and_scale() -> None:
    rule = named_policy("cfp8(2,5,bias=3)-all-scaled").rules[0]
    assert rule.operands == rule.results == cfp8(2, 5, bias=3)
    assert rule.scaling is Scaling.POWER_OF_TWO
    assert named_policy("fp32").rules == (Rule(),)
    assert named_policy("TF32-matmult").rules == (Rule(operands=TF32),)
    assert named_policy("float16-all").rules == (Rule(operands=FP16, results=FP16),)
    assert named_policy("int16-matmult").rules == (Rule(operands=INT16),)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("bf16matmult", "bf16-matmult"),
        ("bf16-matmul", "bf16-matmult"),
        ("e4m3-matmult-scale", "e4m3-matmult-scaled"),
        ("bf17-all", "bf16-all"),
        ("fp32-matmult", "fp32"),
        ("fp-32", "fp32"),
    ],
)
def test_an_unknown_name_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownPolicy, match=f"(?=.*{name})(?=.*{nearest})"):
        named_policy(name)


@pytest.mark.parametrize("name", ["int8-all", "int8-matmult-scaled", "bf16-all-scaled"])
def test_a_name_that_makes_no_sense_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="scal"):
        named_policy(name)


def test_a_format_out_of_range_says_so() -> None:
    with pytest.raises(ValueError, match="must be 7"):
        named_policy("cfp8(4,4)-matmult")


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("fp32", "four passes"),
        ("e5m2-matmult", "no compiler flag casts to e5m2"),
        ("e3m4-matmult-scaled", "no compiler flag casts to e3m4"),
        ("e3m4-matmult-scaled", "no compiler flag scales"),
        ("cfp8(4,3,bias=9)-all", "bias 9"),
        ("bf16-all", "not documented"),
        ("int8-matmult", "without a compiler path"),
        ("int16-matmult", "fp32 path"),
        ("bf16-matmult", "bias of a linear layer"),
    ],
)
def test_a_policy_says_what_it_assumes(name: str, fact: str) -> None:
    assert any(fact in said for said in named_policy(name).assumptions)


@pytest.mark.parametrize("name", ["e4m3-matmult", "fp16-matmult", "bf16-matmult", "tf32-matmult"])
def test_what_a_flag_casts_to_is_no_assumption(name: str) -> None:
    assert not any("no compiler flag" in said for said in named_policy(name).assumptions)


def test_each_assumption_is_said_once() -> None:
    rules = [Rule(pattern=pattern, operands=E3M4) for pattern in ("a", "b", "*")]
    said = Policy("p", tuple(rules), notes=("n",)).assumptions
    assert len(set(said)) == len(said)
    assert said[-1] == "n"
