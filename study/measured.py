"""Published measurements of encoders on Inferentia1, Inferentia2, Trainium1; and one's own."""

import csv
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from halfulp.study.artifacts import DATA

#: 824 rows of the public documentation's history, of one blog and of the announcement.
MEASURED_ROWS = DATA / "rates" / "measured_rows.csv"
_CHIPS = {
    "Inferentia1": "inferentia1",
    "Inferentia2": "inferentia2",
    "Trainium1": "trainium1",
}
#: The column "arch", and the architecture that it is here.
_MODELS = {
    "base": "bert-base",
    "large": "bert-large",
    "distil": "distilbert",
    "albert-base": "albert-base",
    "xlmr-base-mlm": "xlm-roberta-base-mlm",
}
#: Flags of rows that are no measurement of a core's service time, or not of the model they name.
UNFIT = (
    "inconsistent",
    "tutorial_client_loop",
    "server_overhead",
    "neuroncore_pipeline",
    "doc_label_says",
    "pre_release_dec2022",
    "lm_head_output",
)
#: Generations of the compiler, oldest first; one of NeuronCore-v1's, five of v2's.
ERAS = ("v1", "hf-feb-2023", "2.8-2.9", "2.10-2.14", "2.15-2.22", "2.23+")
#: Columns without which a table of measurements cannot be read.
_COLUMNS = ("model", "chip", "batch", "seq_len", "cores_used", "service_ms")


class MeasurementError(ValueError):
    """A table of measurements that cannot be read, with the line and the column."""


@dataclass(frozen=True)
class Row:
    """One measurement.

    model       an architecture of `study.architectures`
    name        of the checkpoint, as it was published
    cores       that work at the same time, each on a batch of its own
    service_s   from a batch's begin to its end on one core
    output      whether hidden states go back to the host, or a few numbers
    era         of the compiler, one of `ERAS`
    origin      "neuron-docs", "hf-blog-2023", "announcement", ...
    flags       what is odd about it
    line        in the table
    """

    model: str
    name: str
    chip: str
    batch: int
    tokens: int
    cores: int
    service_s: float
    output: bool
    era: str
    origin: str
    flags: tuple[str, ...]
    line: int

    @property
    def is_set_aside(self) -> bool:
        """ALBERT of February 2023 on Inferentia2: up to twice as slow as all that came later.

        Its GELU is spelt as nine operations, which the compiler of those days may not have joined
        (assumed). These rows are predicted and reported, not fitted.
        """
        early = self.chip == "inferentia2" and self.era == "hf-feb-2023"
        return early and self.model == "albert-base"

    @property
    def is_fit(self) -> bool:
        """Whether it may be fitted."""
        odd = any(flag.startswith(UNFIT) for flag in self.flags)
        return not odd and not self.is_set_aside and self.origin != "announcement"


@dataclass(frozen=True)
class Unread:
    """A row that cannot be modelled, and why."""

    line: int
    model: str
    reason: str


@dataclass(frozen=True)
class Configuration:
    """What distinguishes one measured configuration from another, whatever the compiler."""

    model: str
    chip: str
    batch: int
    tokens: int
    cores: int
    output: bool

    def __str__(self) -> str:
        cores = f", {self.cores} cores" if self.cores > 1 else ""
        return f"{self.model}, batch {self.batch}, {self.tokens} tokens, {self.chip}{cores}"


@dataclass(frozen=True)
class Observation:
    """The median of the rows of one configuration, era and origin."""

    configuration: Configuration
    era: str
    origin: str
    service_s: float
    rows: int


def read_rows(path: Path = MEASURED_ROWS) -> tuple[list[Row], list[Unread]]:
    """The rows that can be modelled, and those that cannot, with the reason.

    A table of one's own has at least the columns model, chip, batch, seq_len, cores_used and
    service_ms; model is an architecture. With a column task whose text has "classification" a few
    numbers go back to the host, else the hidden states; with a column era that is the compiler's.

    Raises MeasurementError for a table that cannot be read.
    """
    rows: list[Row] = []
    unread: list[Unread] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise MeasurementError(f"{path}: no column {', '.join(missing)}")
            for line, row in enumerate(table, start=2):
                # a line that ends early has no text in its last columns
                given = {name: value or "" for name, value in row.items() if name is not None}
                reason = _reason(given)
                if reason:
                    unread.append(Unread(line, given["model"], reason))
                else:
                    rows.append(_row(path, line, given))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MeasurementError(f"{path}: {error}") from error
    return rows, unread


def _reason(given: dict[str, str]) -> str:
    """Why a row cannot be modelled; "" if it can."""
    if given["chip"] not in _CHIPS and given["chip"] not in _CHIPS.values():
        return f"chip {given['chip']!r} is not known"
    if _model(given) is None:
        return f"no architecture is known for {given.get('arch') or given['model']!r}"
    for name in ("batch", "seq_len", "service_ms"):
        if not given[name]:
            return f"{name} is not stated"
    return ""


def _model(given: dict[str, str]) -> str | None:
    from halfulp.study.architectures import ARCHITECTURES

    found = _MODELS.get(given.get("arch", ""))
    if given.get("origin") == "announcement" and "electra" in given["model"].lower():
        found = "electra-large"
    return found or (given["model"] if given["model"] in ARCHITECTURES else None)


def _row(path: Path, line: int, given: dict[str, str]) -> Row:
    def number(name: str) -> int:
        try:
            value = int(given[name])
        except ValueError:
            value = 0
        if value < 1:
            raise MeasurementError(
                f"{path}, line {line}: {name}={given[name]!r}; needed: 1, 2, ..."
            )
        return value

    try:
        service = float(given["service_ms"]) / 1e3
    except ValueError:
        service = 0.0
    if not 0 < service < float("inf"):
        text = f"service_ms={given['service_ms']!r}; needed: milliseconds"
        raise MeasurementError(f"{path}, line {line}: {text}")
    chip = _CHIPS.get(given["chip"], given["chip"])
    few = ("mrpc" in given["model"], *(word in given.get("task", "") for word in _FEW))
    return Row(
        model=str(_model(given)),
        name=given["model"],
        chip=chip,
        batch=number("batch"),
        tokens=number("seq_len"),
        cores=number("cores_used"),
        service_s=service,
        output=not any(few),
        era=_era(path, line, chip, given),
        origin=given.get("origin") or "own",
        flags=tuple(flag for flag in (given.get("flags") or "").split(";") if flag),
        line=line,
    )


#: The compiler of NeuronCore-v2 has the releases 2.x.
_RELEASE = re.compile(r"\b2\.(\d+)")
#: Tasks whose results are a few numbers a sequence.
_FEW = ("lassification", "announcement")


def _era(path: Path, line: int, chip: str, given: dict[str, str]) -> str:
    if chip == "inferentia1":
        return "v1"
    if given.get("era"):
        if given["era"] not in ERAS[1:]:
            text = f"era={given['era']!r}; allowed: {', '.join(ERAS[1:])}"
            raise MeasurementError(f"{path}, line {line}: {text}")
        return given["era"]
    if given.get("origin") == "announcement":
        return "2.8-2.9"
    if (given.get("origin") or "").startswith("hf"):
        return "hf-feb-2023"
    release = _RELEASE.search(given.get("release") or "")
    if release is None:
        return ERAS[-1]
    minor = int(release[1])
    bounds = ((9, ERAS[2]), (14, ERAS[3]), (22, ERAS[4]))
    return next((era for last, era in bounds if minor <= last), ERAS[-1])


def observations(rows: Iterable[Row]) -> list[Observation]:
    """Medians over the releases of one era and the checkpoints of one architecture."""
    found: dict[tuple[Configuration, str, str], list[float]] = defaultdict(list)
    for row in rows:
        key = Configuration(row.model, row.chip, row.batch, row.tokens, row.cores, row.output)
        found[key, row.era, row.origin].append(row.service_s)
    return [
        Observation(*key, statistics.median(times), len(times))
        for key, times in sorted(found.items(), key=lambda item: repr(item[0]))
    ]
