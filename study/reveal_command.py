"""The command `halfulp reveal`: in which order a function adds."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from halfulp.engines.trees import Tree

EXAMPLES = (
    "halfulp reveal numpy.sum --n 136",
    "halfulp reveal torch.mm:bf16 --n 32 --json tree.json",
    "halfulp reveal mymodule:total --n 64 --format fp16",
)
SCHEMA = 1  # of the JSON


def reveal(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A sum of a library, or module:function.")
    ],
    n: Annotated[int, typer.Option("--n", metavar="N", help="How many numbers are added.")] = 32,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="Format of a function's own numbers. [fp32]"),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON.")] = None,
) -> None:
    """Recover the tree by which a function adds n numbers, from its answers alone.

    Each answer tells which numbers are lost beside a large one before that is cancelled. (0 1) is a
    rounded sum, (0 1 2) a fused one, [0 1 2] an exact one.

    Targets: numpy.sum, numpy.cumsum, numpy.dot, numpy.matmul, numpy.einsum, torch.sum, torch.dot,
    torch.mv, torch.mm, builtins.sum, math.fsum. A type may follow, as in torch.mm:bf16: fp64, fp16,
    and bf16 for torch.

    A function takes a float32 array (n,) and returns a number. To name a module IMPORTS it: its
    code runs, with your rights. The current folder is looked in first.
    """
    from halfulp.study import cli
    from halfulp.study.files import FileNotWritten, check_target

    function, fmt = _function(target, format)
    try:
        if json is not None:
            check_target(json)
    except FileNotWritten as error:
        cli.usage("--json", str(error))
    asked = _Counted(function)
    _finish(target, _tree(target, asked, n, fmt), asked.calls, json)


def _function(target: str, format: str | None) -> tuple[Callable[[Any], Any], str]:
    """What is asked, and the format of its numbers."""
    from halfulp.study import cli
    from halfulp.study.conformance_targets import NoTarget
    from halfulp.study.reveal_targets import TARGETS
    from halfulp.study.reveal_targets import target as found

    try:
        with cli.extras():
            function, fmt = found(target)
    except NoTarget as error:
        cli.usage("TARGET", str(error))
    if format is not None and target.partition(":")[0] in TARGETS:
        cli.usage("--format", f"{target} says its format itself; name a type as in torch.mm:bf16")
    return function, format or fmt


def _tree(target: str, function: Callable[[Any], Any], n: int, fmt: str) -> "Tree":
    from halfulp.engines.probes import NoTree, magnitudes
    from halfulp.engines.reveal import reveal as recover
    from halfulp.study import cli

    try:
        magnitudes(fmt, n)
    except ValueError as error:
        cli.usage("--n" if str(error).startswith("n=") else "--format", str(error))
    try:
        return recover(function, n, fmt=fmt)
    except NoTree as error:
        cli.fail(f"{target}: {error}")
    except Exception as error:  # the function is the user's, and may raise anything
        cli.fail(f"{target}: {type(error).__name__}: {error}")


class _Counted:
    """A function, and how often it was called."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        return self.function(x)


def _finish(target: str, tree: "Tree", calls: int, json: Path | None) -> None:
    from json import dumps

    from halfulp.engines.tree_drawing import drawn
    from halfulp.study import cli
    from halfulp.study.files import FileNotWritten, write_whole

    machine = _machine()
    failure = ""
    if json is not None:
        body = {
            "schema": SCHEMA, "target": target, "n": tree.size, "tree": str(tree), "probes": calls,
            **{name.replace(" ", "_"): value for name, value in machine.items()},
        }  # fmt: skip
        try:
            write_whole(json, (dumps(body, indent=1) + "\n").encode())
        except FileNotWritten as error:
            failure = str(error)
    lines = [str(tree), "", drawn(tree), "", _asked(target, tree.size, calls)]
    if tree.exact and len(tree.children) == tree.size:
        lines.append("it loses nothing, so that the order is not seen and does not matter")
    lines += [f"{name}: {value}" for name, value in machine.items()]
    cli.say("\n".join(lines) + "\n")
    if failure:
        cli.fail(failure)


def _asked(target: str, size: int, calls: int) -> str:
    from halfulp.dtypes.wording import counted

    return f"{target}: {counted(size, 'number')}, {counted(calls, 'probe')}"


def _machine() -> dict[str, str]:
    """What may choose another order: libraries, processor, threads."""
    import sys
    from itertools import islice

    import numpy as np

    from halfulp.dtypes.wording import counted
    from halfulp.study.doctor import checks
    from halfulp.study.provenance import version

    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    libraries = [f"halfulp {version('halfulp')}"]
    libraries += [f"numpy {np.__version__} ({blas['name']} {blas.get('version', '')})"]
    torch = sys.modules.get("torch")
    if torch is not None:
        libraries.append(
            f"torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()},"
            f" {counted(torch.get_num_threads(), 'thread')})"
        )
    found = {"libraries": ", ".join(libraries)}
    for check in islice(checks(), 6):
        if check.name in ("python", "processor", "vector units", "environment"):
            found[check.name] = check.value
    return found
