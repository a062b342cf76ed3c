"""`halfulp show accumulation`: a machine's sums in words, as data, and drawn."""

from collections.abc import Sequence
from pathlib import Path


def show(names: Sequence[str], k: int | None, json: Path | None) -> None:
    """Print one preset, or list all of them."""
    from halfulp.engines.presets import preset
    from halfulp.study import accumulations, cli
    from halfulp.study.files import FileNotWritten, check_target

    if len(names) > 1:
        cli.usage("NAME", f"give one name, not {' '.join(names)}")
    try:
        if json is not None:
            check_target(json)
    except FileNotWritten as error:
        cli.usage("--json", str(error))
    if not names:
        if k is not None:
            cli.usage("--k", "it is of one accumulation: halfulp show accumulation NAME --k N")
        _finish(accumulations.listed(), accumulations.list_as_json(), json)
        return
    try:
        found = preset(names[0])
    except ValueError as error:
        cli.usage("NAME", f"{error}; see `halfulp show accumulation`")
    try:
        depth = accumulations.depth(found, k)
    except ValueError as error:
        cli.usage("--k", str(error))
    _finish(accumulations.as_text(found, depth), accumulations.as_json(found, depth), json)


def _finish(text: str, body: dict[str, object], json: Path | None) -> None:
    from json import dumps

    from halfulp.study import cli
    from halfulp.study.files import FileNotWritten, write_whole

    failure = ""
    if json is not None:
        try:
            write_whole(json, (dumps(body, indent=1, ensure_ascii=False) + "\n").encode())
        except FileNotWritten as error:
            failure = str(error)
    cli.say(text)
    if failure:
        cli.fail(failure)
