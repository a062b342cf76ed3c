"""What the tests of `halfulp probe` share."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner, Result

from halfulp.study import probe_files
from halfulp.study.cli import app

ONE = "neuroncore-assumed-chains2"


def probe(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["probe", *map(str, arguments)])


def words(result: Result) -> str:
    return " ".join(result.output.replace("│", " ").split())


def judged(path: Path, answers: Path, *more: object) -> tuple[Result, dict[str, Any]]:
    found = answers.with_name("verdict.json")
    result = probe("read", path, answers, "--json", found, *more)
    return result, json.loads(found.read_text()) if found.exists() else {}


def rewrite(path: Path, **members: Any) -> Path:
    """The same file with other members; None takes one away."""
    arrays = {**probe_files.load(path), **members}
    changed = path.with_name("changed.npz")
    np.savez(changed, **{name: x for name, x in arrays.items() if x is not None})
    return changed


def about(path: Path, **changes: Any) -> Any:
    found = json.loads(str(probe_files.load(path)["about"])) | changes
    return np.array(json.dumps({key: x for key, x in found.items() if x is not None}))
