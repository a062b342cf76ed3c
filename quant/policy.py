"""What a policy is: ordered rules that say in which format each layer of a model computes."""

from dataclasses import dataclass
from enum import StrEnum, unique
from fnmatch import fnmatchcase

from halfulp.dtypes import BF16, E4M3, FP16, FP32, TF32, FloatFormat, Format, IntFormat
from halfulp.dtypes.rounding import choice

#: Formats that a compiler flag casts to; the others extrapolate from what the hardware has.
FLAGGED = (FP32, TF32, BF16, FP16, E4M3)


@unique
class Scaling(StrEnum):
    """By what a matmul operand is multiplied before it is rounded; the result is divided by it."""

    NONE = "none"  #: values are rounded as they are
    #: floats, per tensor: the largest 2^k that keeps every finite value within the format
    POWER_OF_TWO = "power_of_two"
    #: integers: the largest finite magnitude becomes the format's max; activations per tensor,
    #: weights per output channel
    SYMMETRIC = "symmetric"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """In which formats the operations of the matching layers compute.

    pattern   layer name with the wildcards *, ? and [...]; it matches a layer and all inside it,
              so that "encoder.layer.1" covers "encoder.layer.1.output" but not
              "encoder.layer.10"; "*" matches everything, operations outside any layer too (their
              name is "")
    operands  format of the operands of linear layers and attention products (TensorEngine)
    results   format of the result of every operation, and of the parameters that the other
              operations read; None leaves them fp32
    scaling   see `Scaling`; None takes SYMMETRIC for an integer format, NONE for a float
    fused     softmax and layer normalization keep fp32 inside and cast only their result; False
              casts after each of their instructions. Without `results` nothing is cast and it
              must be True

    Raises TypeError and ValueError for choices that do not fit together.
    """

    pattern: str = "*"
    operands: Format = FP32
    results: FloatFormat | None = None
    scaling: Scaling = None  # type: ignore[assignment]  # None is replaced when the rule is made
    fused: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern:
            raise TypeError(
                f"pattern={self.pattern!r} is not a layer name; give a string, '*' for all layers"
            )
        if not isinstance(self.operands, FloatFormat | IntFormat):
            raise TypeError(f"operands={self.operands!r} is not a format; parse_format reads names")
        if self.results is not None and not isinstance(self.results, FloatFormat):
            raise TypeError(f"results={self.results!r} is neither a float format nor None")
        if self.results == FP32:
            object.__setattr__(self, "results", None)
        default = Scaling.SYMMETRIC if isinstance(self.operands, IntFormat) else Scaling.NONE
        scaling = default if self.scaling is None else choice(Scaling, self.scaling, "scaling")
        object.__setattr__(self, "scaling", scaling)
        if not self.fused and (self.results is None or self.scaling is not Scaling.NONE):
            raise ValueError("fused=False casts inside softmax: it needs results, and no scaling")
        self._check_scale()

    def _check_scale(self) -> None:
        integer = isinstance(self.operands, IntFormat)
        if integer and (self.scaling is not Scaling.SYMMETRIC or self.results is not None):
            raise ValueError(
                f"{self.operands} operands take scaling='symmetric' and results=None (matmult"
                f" only), not scaling={self.scaling.value!r}, results={self.results}"
            )
        if isinstance(self.operands, IntFormat) and not self.operands.signed:
            raise ValueError(f"{self.operands} operands need a zero point; give a signed format")
        if not integer and self.scaling is Scaling.SYMMETRIC:
            raise ValueError(
                f"{self.operands} operands take scaling='none' or 'power_of_two', not 'symmetric'"
            )
        if self.scaling is not Scaling.POWER_OF_TWO:
            return
        for fmt in (self.operands, self.results):
            # sums of 2^16 products of the largest values must stay inside fp32
            if isinstance(fmt, FloatFormat) and fmt.max >= 2.0**56:
                raise ValueError(
                    f"{fmt} scaled to its largest value {fmt.max:.3g} would overflow the fp32"
                    " accumulation; it has range enough: leave the scaling out"
                )

    def matches(self, layer: str) -> bool:
        """Whether this rule is for the layer of that name."""
        inside = f"{self.pattern}.*"
        return self.pattern == "*" or fnmatchcase(layer, self.pattern) or fnmatchcase(layer, inside)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What this rule takes for granted and no document says."""
        return (*_operand_assumptions(self), *_result_assumptions(self))


def _operand_assumptions(rule: Rule) -> list[str]:
    fmt, said = rule.operands, []
    if isinstance(fmt, IntFormat) and fmt.bits <= 8:
        said += [
            f"{fmt} matmul with int32 sums is a claim of the data sheet without a compiler path",
            f"{fmt} scales are a choice of halfulp: symmetric, from the largest finite magnitude;"
            " activations and attention operands per tensor, weights per output channel",
        ]
    elif isinstance(fmt, IntFormat):
        said.append(
            f"{fmt} operands have no documented datapath: they take the compiler's fp32 path, with"
            " scales per tensor (activations) and per output channel (weights), a choice of halfulp"
        )
    elif fmt == FP32:
        said.append("fp32 matmul takes four passes; the split into high and low halves is assumed")
    elif fmt not in FLAGGED:
        said.append(f"no compiler flag casts to {fmt}: extrapolated from the hardware's formats")
    if isinstance(fmt, FloatFormat) and fmt.bias != (1 << (fmt.exponent_bits - 1)) - 1:
        said.append(f"that the hardware can be set to the bias {fmt.bias} of {fmt} is assumed")
    if rule.scaling is Scaling.POWER_OF_TWO:
        said.append("no compiler flag scales: a power of two per tensor is a choice of halfulp")
    return said


def _result_assumptions(rule: Rule) -> list[str]:
    if rule.results is None:
        if rule.operands == FP32:
            return []
        return ["the bias of a linear layer stays fp32 and is added as the sum leaves PSUM"]
    inside = "keep fp32 inside" if rule.fused else "cast after each of their instructions"
    return [
        "where 'all' rounds inside a fused chain is not documented; attention is QK^T, scale in"
        " fp32, round, mask, softmax, round, PV, round; masks are never cast",
        f"softmax and layer normalization {inside}; every other operation rounds its result to"
        f" {rule.results} once",
    ]


@dataclass(frozen=True)
class Policy:
    """Ordered rules; the first that matches a layer decides.

    name   what tables and reports call it
    rules  the last one has the pattern "*", so that every layer has a rule
    notes  what its source asked for and the emulation does not model

    Raises TypeError and ValueError for rules that leave a layer without an answer or never match.
    """

    name: str
    rules: tuple[Rule, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))
        object.__setattr__(self, "notes", tuple(self.notes))
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name={self.name!r} is not a name; give a string")
        if not self.rules or not all(isinstance(rule, Rule) for rule in self.rules):
            raise TypeError(f"policy {self.name!r}: rules={self.rules!r} is not one or more Rule")
        patterns = [rule.pattern for rule in self.rules]
        if patterns[-1] != "*":
            raise ValueError(
                f"policy {self.name!r}: the last pattern must be '*', not {patterns[-1]!r}"
            )
        if len(set(patterns)) < len(patterns):
            twice = sorted({p for p in patterns if patterns.count(p) > 1})
            raise ValueError(
                f"policy {self.name!r}: of equal patterns the first wins: {', '.join(twice)}"
            )

    def __str__(self) -> str:
        return self.name

    def rule_for(self, layer: str) -> Rule:
        """The first rule that matches the layer."""
        return next(rule for rule in self.rules if rule.matches(layer))

    @property
    def operand_format(self) -> Format:
        """Format of matmul operands outside the exceptions: that of the last rule."""
        return self.rules[-1].operands

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Every fact that this policy takes for granted, in words, each once; its notes follow."""
        said = [text for rule in reversed(self.rules) for text in rule.assumptions]
        return tuple(dict.fromkeys([*said, *self.notes]))
