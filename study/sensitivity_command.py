"""The command `halfulp sensitivity`: does what is not documented change a result?"""

import sys
from collections.abc import Callable
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from halfulp.dtypes import Format
    from halfulp.engines import NeuronCore
    from halfulp.study.progress import WatchedParts
    from halfulp.study.sensing import Record
    from halfulp.study.sensitivity import Subject

EXAMPLES = (
    "halfulp sensitivity --shape 64x256x64 --format bf16",
    "halfulp sensitivity --model electra --samples 8 --json open.json",
    "halfulp sensitivity --model electra --layer electra.encoder.layer.0 --samples 8",
)
_SHAPE, _FORMAT, _POLICY, _SAMPLES = "128x1024x1024", "bf16", "bf16-matmult", 64
#: Of memory, for each number of the operands and the result: measured, 35 to 56.
_BYTES = 60


def _name(option: str, text: str) -> Any:
    return typer.Option(option, metavar="NAME", help=text)


def sensitivity(
    shape: Annotated[
        str | None,
        typer.Option(
            "--shape", metavar="MxKxN", help=f"Of a product of normal numbers. [{_SHAPE}]"
        ),
    ] = None,
    format: Annotated[
        str | None, _name("--format", f"Of the product's operands. [{_FORMAT}]")
    ] = None,
    model: Annotated[str | None, _name("--model", "A model instead of a product.")] = None,
    layer: Annotated[
        str | None, _name("--layer", "One module of the model: its output's first tensor.")
    ] = None,
    task: Annotated[str | None, _name("--task", "The model's task.")] = None,
    policy: Annotated[
        str | None, _name("--policy", f"Of the model; see `halfulp policies`. [{_POLICY}]")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, metavar="N", help=f"Of the task. [{_SAMPLES}]"),
    ] = None,
    chip: Annotated[str, _name("--chip", "See `halfulp chips`.")] = "inferentia2",
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write JSON; finished alternatives are kept."),
    ] = None,
) -> None:
    """Run a product, a layer or a model under everything that AWS leaves open, and compare.

    Each alternative is set beside what halfulp assumes: the share of the results whose bits change,
    by how many units in the last place, and for a model how many predictions flip. "robust" changes
    nothing that counts: no bit of a product or layer, no prediction of a model.

    With --json, what is finished is written after each alternative, and not run again when the same
    command is given again. A file of other options is replaced.
    """
    from halfulp.engines import CHIPS
    from halfulp.study import cli
    from halfulp.study.files import FileNotWritten, check_target

    of_product = {"--shape": shape, "--format": format}
    of_model = {"--layer": layer, "--task": task, "--policy": policy, "--samples": samples}
    _refuse_contradictions(model, of_product, of_model)
    try:
        if json is not None:
            check_target(json)
    except FileNotWritten as error:
        cli.usage("--json", str(error))
    if chip not in CHIPS:
        cli.usage("--chip", f"{chip!r} is no chip; allowed: {', '.join(CHIPS)}")
    core = CHIPS[chip].core
    if model is None:
        _of_product(core, chip, shape or _SHAPE, format or _FORMAT, json)
    else:
        asked = {"model": model, "layer": layer, "task": task, "policy": policy or _POLICY}
        _of_model(core, {"chip": chip, **asked, "samples": samples or _SAMPLES}, json)


def _refuse_contradictions(
    model: str | None, of_product: dict[str, Any], of_model: dict[str, Any]
) -> None:
    """End with 2 for an option that would have no effect."""
    from halfulp.study import cli

    given = [name for name, value in of_product.items() if value is not None]
    if model is not None:
        for name in given:
            cli.usage(name, "it is of a product, --model of a model: give one of the two")
        return
    for name, value in of_model.items():
        if value is not None:
            other = f"{given[0]} is of a product: give one of the two" if given else "give it too"
            cli.usage(name, f"it is of a model, which --model names; {other}")


def _of_product(core: "NeuronCore", chip: str, shape: str, format: str, json: Path | None) -> None:
    import numpy as np

    from halfulp.dtypes import UnknownFormat, parse_format
    from halfulp.engines import UnsupportedFormat
    from halfulp.study import cli
    from halfulp.study.sensing import Record
    from halfulp.study.sensitivity import Product

    m, k, n = _sizes(shape)

    def make(progress: "WatchedParts") -> "tuple[Subject, Record]":
        random = np.random.default_rng(0)
        a, b = (random.standard_normal(size).astype(np.float32) for size in ((m, k), (k, n)))
        return Product(a, b, fmt), Record(json, {"chip": chip, "shape": shape, "format": format})

    try:
        fmt = parse_format(format)
        core.tensor.check(fmt, fmt)
        _run(make, core, fmt)
    except (UnknownFormat, UnsupportedFormat) as error:
        cli.usage("--format", str(error))
    except MemoryError:
        cli.usage("--shape", f"{shape} takes more memory than there is; give a smaller one")


def _sizes(shape: str) -> tuple[int, int, int]:
    """M, K, N. Ends with 2 for a text of another form, and for more than the memory holds."""
    from halfulp.study import cli
    from halfulp.study.provenance import free_bytes

    sizes = shape.lower().split("x")
    if len(sizes) != 3 or not all(size.isdecimal() and size.strip("0") for size in sizes):
        cli.usage("--shape", f"{shape:.60}; needed: three positive numbers, as in {_SHAPE}")
    # int() refuses thousands of digits, and no memory holds twenty
    m, k, n = (int(size) if len(size) < 20 else 10**20 for size in sizes)
    needed, free = _BYTES * (m * k + k * n + m * n), free_bytes()
    if free is not None and needed > free:
        side = isqrt(free // (3 * _BYTES))
        cli.usage(
            "--shape",
            f"{shape:.60} takes some {needed / 1e9:,.1f} GB of memory, and {free / 1e9:.1f} GB are"
            f" free; what fits: M*K + K*N + M*N up to {free // _BYTES:,}, as in"
            f" {side}x{side}x{side}",
        )
    return m, k, n


def _of_model(core: "NeuronCore", asked: dict[str, Any], json: Path | None) -> None:
    from halfulp.study import cli

    with cli.extras():
        from halfulp.quant import named_policy
        from halfulp.study.folders import ModelUnavailable
        from halfulp.study.plan import WrongName, plan
        from halfulp.study.running import FAILURES
        from halfulp.study.sensing import Record
        from halfulp.study.sensitivity import Layer, Model
        from halfulp.study.tasks import prepare
    model, layer, samples = asked["model"], asked["layer"], asked["samples"]
    tasks = [asked["task"]] if asked["task"] is not None else []
    try:
        cell = plan([model], tasks, [asked["policy"]], [asked["chip"]])[0]
    except WrongName as error:
        cli.usage(error.option, str(error))
    rule = named_policy(cell.policy)

    def make(progress: "WatchedParts") -> "tuple[Subject, Record]":
        progress.announce(f"{model}, {cell.task}: loading")
        load = prepare(model, cell.task, samples=samples, split="test", archive=None)
        data = {"weights_sha256": load.weights_sha256, "data_sha256": load.data_sha256}
        record = Record(json, {**asked, "task": cell.task, **data})
        if layer is None:
            return Model(load, rule), record
        try:
            return Layer(load, rule, layer), record
        except ValueError as error:
            cli.usage("--layer", str(error))

    try:
        _run(make, core, rule.operand_format)
    except (*FAILURES, ModelUnavailable, ValueError) as error:
        cli.fail(str(error))


def _run(
    make: "Callable[[WatchedParts], tuple[Subject, Record]]", core: "NeuronCore", fmt: "Format"
) -> None:
    """Print the table: of those alternatives that are finished, where the person stops it."""
    from halfulp.study import catalog, cli, sensing
    from halfulp.study.progress import WatchedParts
    from halfulp.study.sensitivity import alternatives, table, verdict

    before, stopped = "", False
    with WatchedParts(len(alternatives(core, fmt))) as progress:
        subject, record = make(progress)
        try:
            found = sensing.run(subject, core, record, progress)
        except sensing.Stopped as stop:
            found, stopped = stop.found, True
            before = f"unfinished, {len(found)} of {progress.total}: "
            print(f"halfulp: {stop}", file=sys.stderr)
    if found:
        lines = catalog.aligned(table(found), left=2)
        cli.say(f"{lines}\n{before}{verdict(found)}\n")
    if record.failure:
        cli.fail(record.failure)
    if stopped:
        raise typer.Exit(130)
