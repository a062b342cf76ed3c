"""The options of `halfulp rates`, and what is refused before the work begins."""

from dataclasses import dataclass
from pathlib import Path

from halfulp.study import cli
from halfulp.study.files import FileNotWritten, check_target
from halfulp.study.instances import Instance
from halfulp.study.rates import MEASURED_POLICY


@dataclass(frozen=True)
class Asked:
    """The options of the command."""

    model: str | None
    batch: str
    tokens: str
    policy: str
    chip: str | None
    instance: str | None
    price: str | None
    cores: int
    ranks: int
    era: str | None
    include: tuple[Path, ...]
    measurements: Path | None
    layers: bool
    json: Path | None
    picture: Path | None
    ledger: Path | None
    trace: Path | None

    @property
    def files(self) -> dict[str, Path]:
        given = {
            **{"--json": self.json, "--picture": self.picture},
            **{"--ledger": self.ledger, "--trace": self.trace},
        }
        return {option: path for option, path in given.items() if path is not None}


def check_files(asked: Asked) -> None:
    """End with 2 for a file that could not be written at the end."""
    for option, path in asked.files.items():
        try:
            check_target(path)
        except FileNotWritten as error:
            cli.usage(option, str(error))
    taken: dict[Path, str] = {}
    for option, path in asked.files.items():
        if (first := taken.setdefault(path.resolve(), option)) != option:
            cli.usage(option, f"{path} is also {first}; give each a file of its own")
    kinds = {"--picture": (".png", ".svg"), "--ledger": (".json", ".csv", ".parquet")}
    for option, allowed in kinds.items():
        given = asked.files.get(option)
        if given is not None and given.suffix not in allowed:
            cli.usage(option, f"{given} ends in {given.suffix!r}; allowed: {', '.join(allowed)}")
    # a package that is missing is told before the work
    if asked.picture is not None:
        import halfulp.study.rates_picture  # noqa: F401
    if asked.ledger is not None and asked.ledger.suffix == ".parquet":
        import pyarrow  # noqa: F401


def refuse_idle(asked: Asked, mode: str) -> None:
    """End with 2 for an option that `--announcement` or `--calibration` has no use for."""
    idle = {
        "--batch": asked.batch != "1", "--tokens": asked.tokens != "128",
        "--policy": asked.policy != MEASURED_POLICY, "--chip": asked.chip,
        "--instance": asked.instance, "--price": asked.price, "--cores": asked.cores != 1,
        "--tensor-parallel": asked.ranks != 1, "--era": asked.era, "--include": asked.include,
        "--layers": asked.layers, "--picture": asked.picture, "--ledger": asked.ledger,
        "--trace": asked.trace,
    }  # fmt: skip
    for option, given in idle.items():
        if given:
            cli.usage(option, f"it is of a model; {mode} takes no such option")


def numbers(option: str, text: str) -> list[int]:
    """Several numbers of an option, each once. Ends with 2 for another text."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        cli.usage(option, f"{text!r}; needed: numbers such as 1,2,4")
    return list(dict.fromkeys(int(part) for part in parts))


def check_counts(asked: Asked, instance: Instance, forwards: int) -> None:
    """End with 2 for cores and prices that the instance has not, and files of several forwards."""
    if asked.ranks > 1 and asked.cores > 1:
        cli.usage("--cores", "cores that share a forward (--tensor-parallel) all work on it")
    for option, number in (("--tensor-parallel", asked.ranks), ("--cores", asked.cores)):
        if number > instance.cores:
            cli.usage(option, f"{number}; {instance.name} has {instance.cores} cores")
    if asked.price is not None and asked.price not in instance.prices:
        cli.usage("--price", f"{asked.price!r}; {instance.name} has {', '.join(instance.prices)}")
    if forwards == 1:
        return
    files = {"--picture": asked.picture, "--ledger": asked.ledger, "--trace": asked.trace}
    for option, given in files.items():
        if given is not None:
            cli.usage(option, "it is of one forward; give one --batch and one --tokens")
