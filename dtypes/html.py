"""A format as a table for notebooks."""

from html import escape

import numpy as np

from halfulp.dtypes.format import FloatFormat, Format

_MOST_BITS = 6  # of a format whose every value is shown


def format_html(fmt: Format) -> str:
    """The facts of a format, and the values of a small one, as HTML."""
    facts = facts_of(fmt)
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()
    )
    text = f"<table><caption>{escape(str(fmt))}</caption>{rows}</table>"
    if isinstance(fmt, FloatFormat) and fmt.bits <= _MOST_BITS:
        text += _values(fmt)
    return text


def facts_of(fmt: Format) -> dict[str, str]:
    """What is worth knowing of a format, in words."""
    if not isinstance(fmt, FloatFormat):
        return {"bits": str(fmt.bits), "smallest": str(fmt.min), "largest": str(fmt.max)}
    facts = {
        "bits": str(fmt.bits),
        "exponent bits": str(fmt.exponent_bits),
        "mantissa bits": str(fmt.mantissa_bits),
        "bias": str(fmt.bias),
        "specials": fmt.specials.value,
        "largest": f"{fmt.max!r}, code {fmt.max_code:#x}",
        "smallest normal": repr(fmt.tiny),
        "smallest subnormal": repr(fmt.smallest_subnormal) if fmt.subnormals else "none",
        "spacing at 1": repr(fmt.eps),
        "infinity": "no" if fmt.inf_code is None else f"yes, code {fmt.inf_code:#x}",
        "NaN": "no" if fmt.nan_code is None else f"yes, code {fmt.nan_code:#x}",
        "-0": "yes" if fmt.has_minus_zero else "no",
    }
    if fmt.aliases:
        facts["other names"] = ", ".join(fmt.aliases)
    return facts


def _values(fmt: FloatFormat) -> str:
    from halfulp.dtypes.cast import decode

    values = decode(np.arange(1 << fmt.bits), fmt).reshape(-1, 8)
    rows = "".join(
        f"<tr><th>{8 * row:#04x}</th>" + "".join(f"<td>{value:g}</td>" for value in line) + "</tr>"
        for row, line in enumerate(values.tolist())
    )
    return f"<table><caption>values by code</caption>{rows}</table>"
