"""THE TABLE of policies: which names exist, and how a name is read."""

import difflib
import re

from halfulp.dtypes import FORMATS, FloatFormat, IntFormat, UnknownFormat, parse_format
from halfulp.quant.policy import Policy, Rule, Scaling

#: What a study runs on each chip when it is not told otherwise, by the chip's key.
POLICIES: dict[str, tuple[str, ...]] = {
    "inferentia1": ("bf16-all", "fp16-all", "bf16-matmult", "fp16-matmult"),
    "inferentia2": (
        "fp32",
        "tf32-matmult",
        "tf32-all",
        "fp16-matmult",
        "fp16-all",
        "bf16-matmult",
        "bf16-all",
        "e5m2-matmult",
        "e4m3-matmult",
        "e3m4-matmult",
        "e5m2-matmult-scaled",
        "e4m3-matmult-scaled",
        "e3m4-matmult-scaled",
        "e4m3-all",
        "e5m2-all",
        "int8-matmult",
        "int16-matmult",
    ),
}
GRAMMAR = (
    "fp32, or <format>-<matmult|all>[-scaled] with any format name, such as bf16-matmult,"
    " e4m3-matmult-scaled, cfp8(2,5,bias=3)-all"
)
_NAME = re.compile(r"(?P<format>.+?)-(?P<scope>matmult|all)(?P<scaled>-scaled)?")


class UnknownPolicy(ValueError):
    """A name that no policy has."""


def named_policy(name: str) -> Policy:
    """The policy of that name: "fp32", "bf16-matmult", "e4m3-all-scaled", "cfp8(2,5,bias=3)-all".

    fp32      nothing is cast (`--auto-cast none`)
    matmult   operands of linear layers and attention products are cast; all else stays fp32
    all       the result of every operation is cast too
    -scaled   8-bit floats and fp16: every tensor is scaled by a power of two before it is cast
    int8, int16 (-matmult only): always scaled, activations per tensor, weights per output channel

    Raises UnknownPolicy (a ValueError) with the nearest names, ValueError where a format does not
    fit. Source: `--auto-cast` of neuronx-cc, compiler/neuronx-cc/api-reference-guide/index.rst of
    the AWS Neuron documentation, for bf16, fp16, tf32 and e4m3; what the others assume stands in
    `Policy.assumptions`.
    """
    if not isinstance(name, str):
        raise TypeError(f"a policy name is a string, not {type(name).__name__}")
    text = name.strip().lower()
    if text == "fp32":
        return Policy("fp32", (Rule(),))
    match = _NAME.fullmatch(text)
    if match is None:
        raise _unknown(name)
    try:
        fmt = parse_format(match["format"])
    except UnknownFormat as error:
        raise _unknown(name) from error
    if fmt.name == "fp32":
        raise UnknownPolicy(f"no policy is called {name!r}; without a cast it is 'fp32'")
    return cast_policy(fmt, everything=match["scope"] == "all", scaled=match["scaled"] is not None)


def cast_policy(fmt: FloatFormat | IntFormat, *, everything: bool, scaled: bool = False) -> Policy:
    """One rule for all layers, under its canonical name.

    Raises ValueError when the format cannot be cast to in that way.
    """
    name = f"{fmt.name}-{'all' if everything else 'matmult'}{'-scaled' if scaled else ''}"
    if isinstance(fmt, IntFormat):
        if everything or scaled:
            raise ValueError(
                f"{name}: integers are always scaled and for matmult only; say {fmt.name}-matmult"
            )
        return Policy(name, (Rule(operands=fmt),))
    scaling = Scaling.POWER_OF_TWO if scaled else Scaling.NONE
    return Policy(name, (Rule(operands=fmt, results=fmt if everything else None, scaling=scaling),))


def _unknown(name: str) -> UnknownPolicy:
    scopes = ("matmult", "all", "matmult-scaled", "all-scaled")
    known = ["fp32", *(f"{fmt}-{scope}" for fmt in FORMATS if fmt != "fp32" for scope in scopes)]
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return UnknownPolicy(f"no policy is called {name!r}; {hint}names: {GRAMMAR}")
