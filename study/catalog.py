"""Lists of what there is: formats, policies, chips, each as text."""

from collections.abc import Sequence

from halfulp.dtypes import FORMATS, FloatFormat, Format
from halfulp.engines import CHIPS, Chip, UnsupportedFormat


def formats() -> str:
    """Every named format, a line each."""
    floats = [["name", "bits", "exponent", "mantissa", "bias", "max", "tiny", "smallest", "eps"]]
    integers = [["name", "bits", "min", "max"]]
    for name, fmt in FORMATS.items():
        if isinstance(fmt, FloatFormat):
            layout = (fmt.bits, fmt.exponent_bits, fmt.mantissa_bits, fmt.bias)
            values = (fmt.max, fmt.tiny, fmt.smallest_subnormal, fmt.eps)
            floats.append([name, *map(str, layout), *(f"{value:.6g}" for value in values)])
        else:
            integers.append([name, str(fmt.bits), str(fmt.min), str(fmt.max)])
    others = "Any other: cfp8(E,M[,bias=B]) with E + M = 7, float(E,M[,bias=B]), int2 to int32"
    return f"{aligned(floats)}\n{aligned(integers)}\n{others}\n"


def one_format(fmt: Format) -> str:
    """All facts of one format, a line each."""
    if not isinstance(fmt, FloatFormat):
        facts: dict[str, object] = {"bits": fmt.bits, "smallest": fmt.min, "largest": fmt.max}
    else:
        facts = {
            "bits": fmt.bits,
            "exponent bits": fmt.exponent_bits,
            "mantissa bits": fmt.mantissa_bits,
            "bias": fmt.bias,
            "largest": f"{fmt.max!r}, code {fmt.max_code:#x}",
            "smallest normal": repr(fmt.tiny),
            "smallest subnormal": repr(fmt.smallest_subnormal),
            "spacing at 1": repr(fmt.eps),
            "infinity": "yes" if fmt.has_inf else "no",
            "NaN": "no" if fmt.nan_code is None else f"yes, code {fmt.nan_code:#x}",
        }
    lines = [[key, str(value)] for key, value in facts.items()]
    return f"{fmt.name}\n{aligned(lines, left=2)}"


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
