"""The tables of docs/rates.md, and its picture: `python docs/rates_tables.py` prints and draws."""

from collections import Counter
from pathlib import Path

from halfulp.engines import INFERENTIA1, INFERENTIA2
from halfulp.quant import named_policy
from halfulp.study import announcement
from halfulp.study.calibrated import Errors, shipped
from halfulp.study.measured import read_rows
from halfulp.study.rates import rate
from halfulp.study.rates_picture import rooflines, save

PICTURE = Path(__file__).parent / "rooflines.png"
#: Fitted numbers: what they are, and how they are shown.
SHOWN = {
    "launch_s": ("launch, us", 1e6),
    "each_s": ("each operation, us", 1e6),
    "least_s": ("least of an operation, us", 1e6),
    "bytes_per_s": ("bandwidth of a core, GB/s", 1e-9),
    "host_bytes_per_s": ("bandwidth of the host, GB/s", 1e-9),
    "spill_share": ("share that spills", 1.0),
    "elementwise": ("e", 1.0),
    "inferentia2": ("chip: Inferentia2 beside Trainium1", 1.0),
}
ERRORS = {
    "in_sample": "in the fit",
    "configuration": "configuration left out",
    "architecture": "architecture left out",
}


def _table(*rows: tuple[str, ...]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def calibration() -> str:
    """What was fitted, and the errors."""
    fitted = shipped().fitted
    numbers = [("core", "number", "value")]
    errors: list[tuple[str, ...]] = [
        ("core", "error of an estimate", "observations", "median", "nine of ten", "worst")
    ]
    for name, one in fitted.items():
        for key in one.calibration.structure.fitted:
            label, scale = SHOWN.get(key, (key.replace("era ", "era of "), 1.0))
            numbers.append((name, label, f"{one.calibration.values[key] * scale:.3g}"))
        for kind, label in ERRORS.items():
            errors.append((name, label, *_errors(getattr(one, kind))))
    return f"{_table(*numbers)}\n\n{_table(*errors)}"


def _errors(errors: Errors) -> tuple[str, ...]:
    shares = (errors.median, errors.p90, errors.worst)
    return str(errors.observations), *(f"{100 * one:.1f} %" for one in shares)


def announced() -> str:
    """The eight rows beside their rates."""
    head = (
        *("model", "batch", "tokens", "chip", "peak ms", "roofline ms", "binds", "calibrated ms"),
        *("measured ms", "peak", "roofline", "calibrated"),
    )
    rows = [head]
    for one in announcement.rows(shipped()):
        row = one.as_json()
        rows.append((
            row["model"], str(row["batch"]), str(row["tokens"]), row["chip"],
            *(f"{row[f'{name}_ms']:.2f}" for name in ("peak", "roofline")), row["bound"],
            *(f"{row[f'{name}_ms']:.2f}" for name in ("calibrated", "measured")),
            *(f"{row[f'{name}_to_measured']:.2f}" for name in ("peak", "roofline", "calibrated")),
        ))  # fmt: skip
    return _table(*rows)


def unread() -> str:
    """Rows that cannot be modelled, by the reason."""
    counted = Counter(one.reason for one in read_rows()[1])
    return _table(("rows", "reason"), *((str(n), why) for why, n in counted.most_common()))


def main() -> None:
    """Print the tables and draw the picture."""
    for table in (calibration(), announced(), unread()):
        print(table, end="\n\n")
    policy = named_policy("bf16-matmult")
    rates = [
        rate("bert-large", 4, 128, chip, policy, calibrated=shipped())
        for chip in (INFERENTIA1, INFERENTIA2)
    ]
    PICTURE.write_bytes(save(rooflines(rates), PICTURE))


if __name__ == "__main__":
    main()
