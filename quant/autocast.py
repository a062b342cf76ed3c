"""The compilers' own cast flags, read into policies.

Sources, in the AWS Neuron documentation: compiler/neuronx-cc/api-reference-guide/index.rst and
release-notes/components/compiler.rst (defaults by SDK) for neuronx-cc;
compiler/neuron-cc/command-line-reference.rst for neuron-cc.
"""

import difflib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from halfulp.dtypes import BF16, E4M3, FP16, TF32, FloatFormat
from halfulp.quant.policies import cast_policy
from halfulp.quant.policy import Policy, Rule


@dataclass(frozen=True)
class Era:
    """A compiler and what it does when no flag is given.

    defaults  the default in the compiler's own flags
    """

    compiler: str
    defaults: str


#: THE TABLE of eras. Since SDK 2.27 (2025-12-19) neuronx-cc casts nothing; before, as in the
#: announcement of Inferentia2, matmult operands to bf16, without mixed precision accumulation.
ERAS: dict[str, Era] = {
    "inf1": Era("neuron-cc", "--fast-math fp32-cast-all fast-relayout"),
    "inf2-2023": Era(
        "neuronx-cc",
        "--auto-cast matmult --auto-cast-type bf16 --disable-mixed-precision-accumulation",
    ),
    "inf2": Era(
        "neuronx-cc", "--auto-cast none --auto-cast-type bf16 --enable-mixed-precision-accumulation"
    ),
}

#: neuronx-cc: the formats of --auto-cast-type. fp8_e4m3 is the IEEE style one (largest value 240).
TYPES: dict[str, FloatFormat] = {"bf16": BF16, "fp16": FP16, "tf32": TF32, "fp8_e4m3": E4M3}

#: neuron-cc: (what is cast, to which format, format of transposes made by the matmult engine).
CASTS: dict[str, tuple[str, FloatFormat, FloatFormat]] = {
    "all": ("all", BF16, BF16),
    "all-fp16": ("all", FP16, FP16),
    "matmult": ("matmult", BF16, FP16),
    "matmult-bf16": ("matmult", BF16, BF16),
    "matmult-fp16": ("matmult", FP16, FP16),
}

#: THE TABLE of flags: each compiler's, with the values each takes; none for a switch.
FLAGS: dict[str, dict[str, tuple[str, ...]]] = {
    "neuronx-cc": {
        "--auto-cast": ("none", "matmult", "all"),
        "--auto-cast-type": tuple(TYPES),
        "--enable-mixed-precision-accumulation": (),
        "--disable-mixed-precision-accumulation": (),
        "--enable-saturate-infinity": (),
        "--model-type": ("generic", "transformer", "unet-inference"),
    },
    "neuron-cc": {
        "--fp32-cast": tuple(CASTS),
        "--fast-math": (
            "all",
            "none",
            *(f"fp32-cast-{cast}" for cast in CASTS),
            "fast-relayout",
            "no-fast-relayout",
        ),
        "--enable-saturate-infinity": (),
    },
}
SATURATE_NOTE = (
    "--enable-saturate-infinity is recorded, not emulated: it touches only infinities in operations"
    " that the compiler inserts, and which those are is not documented"
)


class UnknownFlag(ValueError):
    """A compiler flag, or a value of one, that does not exist or is not modelled."""


class AutoCast:
    """Reads flags of neuronx-cc (NeuronCore-v2) and neuron-cc (NeuronCore-v1) into a `Policy`."""

    @staticmethod
    def parse(flags: str | Sequence[str], *, era: str | None = None) -> Policy:
        """The policy of a command line such as "--auto-cast matmult --auto-cast-type bf16".

        flags  one string or its words; "--flag value" and "--flag=value"; of competing ones the
               right-most wins
        era    whose defaults hold for flags left out (`ERAS`); None takes "inf1" for flags of
               neuron-cc, "inf2" for those of neuronx-cc

        What a flag asks for and the emulation does not model stands in `Policy.notes`.
        Raises UnknownFlag (a ValueError) with what is allowed.
        """
        words = _words(flags) if isinstance(flags, str) else list(flags)
        chosen = _era(words) if era is None else _known_era(era)
        given = _settings(words, chosen)
        settings = [*_settings(shlex.split(ERAS[chosen].defaults), chosen), *given]
        reader = _neuronx if ERAS[chosen].compiler == "neuronx-cc" else _neuron
        return reader(settings, {flag for flag, _ in given})

    @staticmethod
    def preset(era: str) -> Policy:
        """What the compiler of that era does without flags: "inf1", "inf2-2023" or "inf2".

        Raises UnknownFlag (a ValueError) for another era.
        """
        return AutoCast.parse("", era=era)


def _known_era(era: str) -> str:
    if era not in ERAS:
        raise UnknownFlag(f"no preset is called {era!r}; known: {', '.join(ERAS)}")
    return era


def _era(words: Sequence[str]) -> str:
    names = {word.partition("=")[0] for word in words if word.startswith("-")}
    old, new = (names & set(FLAGS[compiler]) for compiler in ("neuron-cc", "neuronx-cc"))
    only_old, only_new = old - new, new - old
    if only_old and only_new:
        raise UnknownFlag(
            f"{', '.join(sorted(only_old))} belongs to neuron-cc and"
            f" {', '.join(sorted(only_new))} to neuronx-cc: give the flags of one compiler"
        )
    return "inf1" if only_old else "inf2"


def _words(flags: str) -> list[str]:
    try:
        return shlex.split(flags)
    except ValueError as error:
        raise ValueError(
            f"the flags {flags!r} cannot be read ({str(error).lower()}); close every quote,"
            " or give a list of words"
        ) from error


def _settings(words: Sequence[str], era: str) -> list[tuple[str, str]]:
    """Each (flag, value) in the order given; a switch has the value "", a list a pair a part."""
    compiler = ERAS[era].compiler
    allowed = FLAGS[compiler]
    pairs: list[tuple[str, str]] = []
    rest = list(words)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag not in allowed:
            raise UnknownFlag(_unknown("flag", flag, allowed, compiler))
        values = [value] if equals else []
        while not equals and rest and not rest[0].startswith("-") and (allowed[flag] or not values):
            values.append(rest.pop(0))
        pairs += _checked(flag, [part for v in values for part in v.split(",")], allowed[flag])
    return pairs


def _checked(flag: str, values: list[str], allowed: tuple[str, ...]) -> list[tuple[str, str]]:
    if not allowed:
        if values:
            raise UnknownFlag(f"{flag} is a switch and takes no value, not {' '.join(values)!r}")
        return [(flag, "")]
    if not values or (len(values) > 1 and flag != "--fast-math"):
        given = " ".join(values) or "nothing"
        raise UnknownFlag(f"{flag} takes one of {', '.join(allowed)}; given: {given}")
    for value in values:
        if value not in allowed:
            raise UnknownFlag(_unknown(f"value of {flag}", value, allowed, None))
    return [(flag, value) for value in values]


def _unknown(kind: str, given: str, allowed: Iterable[str], compiler: str | None) -> str:
    near = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    where = f" of {compiler} that is modelled" if compiler else ""
    return f"{given!r} is no {kind}{where}; {hint}allowed: {', '.join(allowed)}"


def _neuronx(settings: list[tuple[str, str]], given: set[str]) -> Policy:
    last = dict(settings)
    fused, notes = True, []
    for flag, value in settings:
        if flag.endswith("-mixed-precision-accumulation"):
            fused = flag.startswith("--enable")
        elif flag == "--enable-saturate-infinity":
            notes.append(SATURATE_NOTE)
        elif flag == "--model-type":
            notes.append(f"--model-type {value} is recorded: no cast is documented for it")
    scope, fmt = last["--auto-cast"], TYPES[last["--auto-cast-type"]]
    if scope == "none":
        if "--auto-cast-type" in given:
            kind = last["--auto-cast-type"]
            notes.append(f"--auto-cast-type {kind} has no effect: --auto-cast is none")
        return Policy("fp32", (Rule(),), tuple(notes))
    policy = cast_policy(fmt, everything=scope == "all")
    name = policy.name
    rule = policy.rules[0]
    if not fused and rule.results is not None:
        rule = Rule(operands=rule.operands, results=rule.results, fused=False)
        name += " --disable-mixed-precision-accumulation"
    return Policy(name, (rule,), tuple(notes))


def _neuron(settings: list[tuple[str, str]], given: set[str]) -> Policy:
    cast, relayout, notes = "all", True, []
    for flag, value in settings:
        if flag == "--enable-saturate-infinity":
            notes.append(SATURATE_NOTE)
        elif flag == "--fast-math" and value in ("all", "none"):
            cast, relayout = ("all", True) if value == "all" else ("matmult-bf16", False)
        elif flag == "--fast-math" and value.endswith("fast-relayout"):
            relayout = value == "fast-relayout"
        elif flag == "--fast-math":
            cast = value.removeprefix("fp32-cast-")
    # deprecated, but it overrides the casting part of --fast-math wherever it stands
    cast = dict(settings).get("--fp32-cast", cast)
    scope, fmt, transposes = CASTS[cast]
    if relayout and scope == "matmult":
        notes.append(
            f"transposes that the compiler makes through the matmult engine in {transposes} are"
            " recorded, not emulated: where it inserts them is not documented"
        )
    policy = cast_policy(fmt, everything=scope == "all")
    return Policy(policy.name, policy.rules, tuple(dict.fromkeys(notes)))
