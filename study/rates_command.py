"""The command `halfulp rates`: what a model reaches on the chips, and what that costs."""

from pathlib import Path
from typing import Annotated, Any

import typer

EXAMPLES = (
    "halfulp rates bert-large",
    "halfulp rates bert-large --batch 1,2,4,8,16 --chip inferentia1 --json rates.json",
    "halfulp rates gpt-175b --tokens 2048 --tensor-parallel 24 --instance inf2.48xlarge",
    "halfulp rates --announcement",
    "halfulp rates --calibration",
)
_DEFAULT_CHIP = "inferentia2"


def _file(option: str, text: str) -> Any:
    return typer.Option(option, metavar="FILE", help=text)


def _name(option: str, text: str) -> Any:
    return typer.Option(option, metavar="NAME", help=text)


def rates(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Architecture, or a folder.")
    ] = None,
    batch: Annotated[
        str, typer.Option("--batch", metavar="N[,N...]", help="Sequences of a forward.")
    ] = "1",
    tokens: Annotated[
        str, typer.Option("--tokens", metavar="N[,N...]", help="Tokens of a sequence.")
    ] = "128",
    policy: Annotated[str, _name("--policy", "See `halfulp policies`.")] = "bf16-matmult",
    chip: Annotated[str | None, _name("--chip", f"Of one's own too. [{_DEFAULT_CHIP}]")] = None,
    instance: Annotated[str | None, _name("--instance", "Whose price is taken.")] = None,
    price: Annotated[str | None, _name("--price", "on-demand or reserved.")] = None,
    cores: Annotated[
        int, typer.Option("--cores", min=1, metavar="N", help="At work, each on its own forward.")
    ] = 1,
    tensor_parallel: Annotated[
        int, typer.Option("--tensor-parallel", min=1, metavar="N", help="Cores that share one.")
    ] = 1,
    era: Annotated[
        str | None, typer.Option("--era", metavar="ERA", help="Of the compiler. [the newest]")
    ] = None,
    include: Annotated[
        list[Path] | None, _file("--include", "Chips, instances, prices of one's own (TOML).")
    ] = None,
    measurements: Annotated[
        Path | None, _file("--measurements", "Calibrate on these (CSV) instead.")
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Every layer; in --json operations.")
    ] = False,
    announcement: Annotated[
        bool, typer.Option("--announcement", help="The announcement's table, rebuilt.")
    ] = False,
    calibration: Annotated[
        bool, typer.Option("--calibration", help="What was fitted, and its errors.")
    ] = False,
    refit: Annotated[bool, typer.Option("--refit", help="Fit the shipped rows again.")] = False,
    json: Annotated[Path | None, _file("--json", "Write JSON.")] = None,
    picture: Annotated[Path | None, _file("--picture", "Draw the roofline: .png, .svg.")] = None,
    ledger: Annotated[
        Path | None, _file("--ledger", "Write the ledger: .json, .csv, .parquet.")
    ] = None,
    trace: Annotated[Path | None, _file("--trace", "Write the schedule for Perfetto.")] = None,
) -> None:
    """Peak, roofline and calibrated latency of a model, its throughput and its cost.

    Three numbers, never confused: the peak of the data sheet, the roofline of the documented
    instruction costs, and what published measurements say such a model reaches, with the interval
    in which nine of ten configurations lay that were left out of the fit. No weights are needed.

    MODEL is an architecture (bert-base, bert-large, electra-base, electra-large, distilbert,
    albert-base, xlm-roberta-base-mlm, gpt-175b) or a folder with a config.json. Several numbers for
    --batch or --tokens give a table in which the knee is marked.
    """
    from halfulp.study import cli, rates_options, rates_running

    asked = rates_options.Asked(
        model, batch, tokens, policy, chip, instance, price, cores, tensor_parallel, era,
        tuple(include or ()), measurements, layers, json, picture, ledger, trace,
    )  # fmt: skip
    if announcement + calibration + (model is not None) != 1:
        cli.usage("MODEL", "give a model, or --announcement, or --calibration: one of them")
    if refit and not calibration:
        cli.usage("--refit", "it is of --calibration; give that too")
    with cli.extras():
        rates_options.check_files(asked)
        if model is None:
            mode = "--announcement" if announcement else "--calibration"
            rates_options.refuse_idle(asked, mode)
        found = rates_running.calibrated(asked, refit=refit)
        if announcement:
            rates_running.run_announcement(asked, found)
        elif calibration:
            rates_running.run_calibration(asked, found)
        else:
            rates_running.run_model(asked, found)
