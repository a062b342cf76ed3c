"""The command `halfulp sensitivity`: does what is not documented change a result?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from halfulp.study.sensitivity import Finding

EXAMPLES = (
    "halfulp sensitivity --shape 64x256x64 --format bf16",
    "halfulp sensitivity --model electra --samples 8 --json open.json",
    "halfulp sensitivity --model electra --layer electra.encoder.layer.0 --samples 8",
)


def sensitivity(
    shape: Annotated[
        str, typer.Option("--shape", metavar="MxKxN", help="Of a product of normal numbers.")
    ] = "128x1024x1024",
    format: Annotated[
        str, typer.Option("--format", metavar="NAME", help="Of the product's operands.")
    ] = "bf16",
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="A model instead of a product.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="NAME", help="One module of the model.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="The model's task.")
    ] = None,
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME", help="See `halfulp policies`.")
    ] = "bf16-matmult",
    samples: Annotated[
        int, typer.Option("--samples", min=1, metavar="N", help="Of the task.")
    ] = 64,
    chip: Annotated[
        str, typer.Option("--chip", metavar="NAME", help="See `halfulp chips`.")
    ] = "inferentia2",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON.")] = None,
) -> None:
    """Run a product, a layer or a model under everything that AWS leaves open, and compare.

    Each alternative is set beside what halfulp assumes: the share of the results whose bits change,
    by how many units in the last place, and for a model how many predictions flip. "robust" changes
    nothing that counts: no bit of a product or layer, no prediction of a model.
    """
    from halfulp.engines import CHIPS
    from halfulp.study import cli
    from halfulp.study.files import FileNotWritten, check_target

    try:
        if json is not None:
            check_target(json)
    except FileNotWritten as error:
        cli.usage("--json", str(error))
    if chip not in CHIPS:
        cli.usage("--chip", f"{chip!r} is no chip; allowed: {', '.join(CHIPS)}")
    if layer is not None and model is None:
        cli.usage("--layer", "a layer is of a model: give --model too")
    core = CHIPS[chip].core
    if model is None:
        found = _product(core, shape, format)
        what: dict[str, Any] = {"shape": shape, "format": format}
    else:
        found = _model(core, model, layer, task, policy, samples)
        what = {"model": model, "layer": layer, "policy": policy, "samples": samples}
    _finish(found, {"chip": chip, **what}, json)


def _product(core: Any, shape: str, format: str) -> "list[Finding]":
    import numpy as np

    from halfulp.dtypes import UnknownFormat, parse_format
    from halfulp.engines import UnsupportedFormat
    from halfulp.study import cli, sensitivity

    sizes = shape.lower().split("x")
    if len(sizes) != 3 or not all(size.isdecimal() and int(size) for size in sizes):
        cli.usage("--shape", f"{shape!r}; needed: three positive numbers, as in 128x1024x1024")
    m, k, n = map(int, sizes)
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(size).astype(np.float32) for size in ((m, k), (k, n)))
    try:
        with _told() as begin:
            return sensitivity.of_matmul(core, a, b, parse_format(format), begin)
    except (UnknownFormat, UnsupportedFormat) as error:
        cli.usage("--format", str(error))


def _model(
    core: Any, model: str, layer: str | None, task: str | None, policy: str, samples: int
) -> "list[Finding]":
    from halfulp.study import cli

    with cli.extras():
        from halfulp.quant import named_policy
        from halfulp.study import plan, sensitivity
        from halfulp.study.folders import ModelUnavailable
        from halfulp.study.models import MODELS
        from halfulp.study.running import FAILURES
        from halfulp.study.tasks import TASKS, prepare
    entry = MODELS.get(model)
    chosen = task or (entry.default_tasks[0] if entry is not None else next(iter(TASKS)))
    if chosen not in TASKS:
        cli.usage("--task", plan.unknown("task", chosen, list(TASKS)))
    try:
        rule = named_policy(policy)
    except ValueError as error:
        cli.usage("--policy", str(error))
    try:
        with _told() as begin:
            begin(f"{model}, {chosen}")
            workload = prepare(model, chosen, samples=samples, split="test", archive=None)
            if layer is None:
                return sensitivity.of_model(core, workload, rule, begin)
            return sensitivity.of_layer(core, workload, rule, layer, begin)
    except (*FAILURES, ModelUnavailable, ValueError) as error:
        cli.fail(str(error))


@contextmanager
def _told() -> Iterator[Callable[[str], None]]:
    """What runs, on stderr."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with console.status("") as status:

        def begin(what: str) -> None:
            status.update(what, spinner="line")
            if not console.is_terminal:
                console.print(what, markup=False)

        yield begin


def _finish(found: "list[Finding]", what: dict[str, Any], json: Path | None) -> None:
    from json import dumps

    from halfulp.study import catalog, cli, sensitivity
    from halfulp.study.files import FileNotWritten, write_whole

    failure = ""
    if json is not None:
        body = {"schema": sensitivity.SCHEMA, **what, "found": [one.as_json() for one in found]}
        try:
            write_whole(json, (dumps(body, indent=1) + "\n").encode())
        except FileNotWritten as error:
            failure = str(error)
    open_ = [one for one in found if not one.robust]
    names = ", ".join(dict.fromkeys(one.question for one in open_))
    if open_:
        last = f"{len(open_)} of {len(found)} alternatives change the result: {names}"
    else:
        last = f"robust: none of {len(found)} alternatives changes the result"
    cli.say(catalog.aligned(sensitivity.table(found), left=2) + "\n" + last + "\n")
    if failure:
        cli.fail(failure)
