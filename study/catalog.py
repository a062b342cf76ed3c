"""Lists of what there is: formats, policies, chips, each as text."""

from collections.abc import Sequence

import numpy as np

from halfulp.dtypes import FORMATS, FloatFormat, Format, decode
from halfulp.dtypes.html import facts_of
from halfulp.engines import CHIPS, Chip, UnsupportedFormat

_BINADES = 20  # whose spacings are all shown
_SHOWN_BITS = 8


def formats() -> str:
    """Every named format, a line each."""
    head = ["name", "bits", "exponent", "mantissa", "bias", "specials"]
    floats = [[*head, "max", "tiny", "smallest", "eps"]]
    integers = [["name", "bits", "min", "max"]]
    for name, fmt in FORMATS.items():
        if isinstance(fmt, FloatFormat):
            layout = (fmt.bits, fmt.exponent_bits, fmt.mantissa_bits, fmt.bias)
            values = (fmt.max, fmt.tiny, fmt.smallest_subnormal, fmt.eps)
            facts = [*map(str, layout), fmt.specials.value]
            floats.append([name, *facts, *(f"{value:.6g}" for value in values)])
        else:
            integers.append([name, str(fmt.bits), str(fmt.min), str(fmt.max)])
    others = (
        "Any other: cfp8(E,M[,bias=B]) with E + M = 7,"
        " float(E,M[,bias=B][,fn|fnuz|finite][,no_subnormals]), int2 to int32"
    )
    return f"{aligned(floats)}\n{aligned(integers)}\n{others}\n"


def one_format(fmt: Format) -> str:
    """All facts of one format, a line each; spacings and values of a float format."""
    text = f"{fmt.name}\n{aligned([[key, value] for key, value in facts_of(fmt).items()], left=2)}"
    if not isinstance(fmt, FloatFormat):
        return text
    return f"{text}\n{_spacings(fmt)}\n{_values(fmt)}"


def _spacings(fmt: FloatFormat) -> str:
    """The spacing of the values in each binade; of many binades the ends."""
    lines = [["from", "spacing"]]
    if fmt.subnormals and fmt.mantissa_bits:
        lines.append(["0", f"{fmt.smallest_subnormal:g}"])
    binades = list(range(fmt.emin, fmt.emax + 1))
    shown = binades if len(binades) <= _BINADES else [*binades[:4], None, *binades[-4:]]
    for power in shown:
        if power is None:
            lines.append(["...", "..."])
        else:
            lines.append([f"{2.0**power:g}", f"{2.0 ** (power - fmt.mantissa_bits):g}"])
    return aligned(lines)


def _values(fmt: FloatFormat) -> str:
    """What each code means, where one page holds them."""
    if fmt.bits > _SHOWN_BITS:
        return f"The {1 << fmt.bits} values are too many for a table.\n"
    count = 1 << fmt.bits
    width = min(16, count)
    values = decode(np.arange(count), fmt).reshape(-1, width)
    head = ["code", *(f"+{column:x}" for column in range(width))]
    lines = [
        [f"{row * width:#04x}", *(f"{value:g}" for value in line)]
        for row, line in enumerate(values.tolist())
    ]
    return aligned([head, *lines])


def policies() -> str:
    """The policies that each chip runs by default, and how any other is named."""
    # Only this list needs torch, which the layer below imports.
    from halfulp.quant import POLICIES, named_policy
    from halfulp.quant.policies import GRAMMAR

    parts = []
    for chip, names in POLICIES.items():
        lines = [["policy", "operands", "results", "scaling"]]
        for policy in map(named_policy, names):
            rule = policy.rules[-1]
            lines.append(
                [policy.name, str(rule.operands), str(rule.results or "fp32"), rule.scaling.value]
            )
        parts.append(f"{chip}\n{aligned(lines, left=4)}")
    return "\n".join([*parts, f"Any other: {GRAMMAR}\n"])


def chips() -> str:
    """Every chip with its peak rates and where they stand."""
    parts = []
    for key, chip in CHIPS.items():
        lines = [[rate, ", ".join(names), source] for (rate, source), names in _peaks(chip).items()]
        head = f"{key}: {chip.name}, {chip.cores} x {chip.core.name}"
        parts.append(f"{head}\n{aligned([['peak', 'formats', 'source'], *lines], left=3)}")
    return "\n".join(parts)


def _peaks(chip: Chip) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for name, fmt in FORMATS.items():
        try:
            peak = chip.peak(fmt)
        except UnsupportedFormat:
            continue
        found.setdefault((f"{peak.tera:g} {peak.unit}", peak.source), []).append(name)
    return found


def aligned(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """Lines of cells in columns two apart; the first `left` columns to the left, others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ""
    for line in lines:
        cells = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        text += "  ".join(cells).rstrip() + "\n"
    return text
