"""A sweep as the command runs it: watched by a person, stopped by one, written to files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from halfulp.dtypes.jit import KernelsDisabled
from halfulp.quant import UnsupportedOp
from halfulp.study import sweep
from halfulp.study.artifacts import CorruptedModel
from halfulp.study.files import FileNotWritten, write_whole
from halfulp.study.progress import Watched, how_far
from halfulp.study.report import to_csv, to_json
from halfulp.study.result import Cell, Sweep
from halfulp.study.store import Store, StoreError, default_path
from halfulp.study.tasks import DataUnavailable

FAILURES = (
    CorruptedModel,
    DataUnavailable,
    FileNotWritten,
    KernelsDisabled,
    StoreError,
    UnsupportedOp,
    sweep.NotPrepared,
)


class Stopped(RuntimeError):
    """The person stopped the sweep; the message says what is kept and how to go on."""


def watched(
    plan: Sequence[Cell],
    store: Path | None,
    *,
    samples: int | None,
    split: str,
    archive: Path | None,
    fresh: bool,
) -> Sweep:
    """Run the plan over the store at `store`, or over the user's own, with progress on stderr.

    Raises Stopped on Ctrl-C, and any of FAILURES.
    """
    path = default_path() if store is None else store
    with Store(path) as cells, Watched(len(plan)) as progress:
        try:
            return sweep.run(
                plan,
                cells,
                samples=samples,
                split=split,
                archive=archive,
                fresh=fresh,
                progress=progress,
            )
        except KeyboardInterrupt as stop:
            raise Stopped(
                f"stopped; {how_far(progress.done, len(plan), 'cell')} and kept in {path}:"
                f" the same command{' without --fresh' if fresh else ''} goes on from there"
            ) from stop


def render(
    result: Sweep, json: Path | None, csv: Path | None, png: Path | None
) -> dict[Path, bytes]:
    """What each file that was asked for will hold; no picture where there is nothing to draw."""
    files = {}
    if json is not None:
        files[json] = to_json(result).encode()
    if csv is not None:
        files[csv] = to_csv(result).encode()
    if png is not None and result.rows:
        from halfulp.study.picture import to_png

        files[png] = to_png(result)
    return files


def write(files: Mapping[Path, bytes]) -> list[str]:
    """Write each file whole; the reasons of those that could not be written."""
    failures = []
    for path, content in files.items():
        try:
            write_whole(path, content)
        except FileNotWritten as error:
            failures.append(str(error))
    return failures
