"""Which cells a command asks for: names read, defaults filled in, wrong names told."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from halfulp.engines import CHIPS
from halfulp.quant import POLICIES, named_policy
from halfulp.study.models import MODELS
from halfulp.study.result import Cell
from halfulp.study.tasks import TASKS


class WrongName(ValueError):
    """A name that is in no table, or names that do not go together; `option` is where it stood."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


def plan(
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    policies: Sequence[str] = (),
    chips: Sequence[str] = (),
    archive: Path | None = None,
) -> tuple[Cell, ...]:
    """The cells, by model, task, chip and policy; nothing named takes the defaults.

    By default each model of the table runs its default tasks, and the one that reads `archive` when
    that is given; each chip runs its own default policies. Other models are folders or hub names.

    Raises WrongName.
    """
    for name in tasks:
        _known("--task", "task", name, list(TASKS))
    for name in chips:
        _known("--chip", "chip", name, list(CHIPS))
    named = _distinct(_policy(name) for name in policies)
    cells = tuple(
        Cell(model, task, policy, chip)
        for model in _distinct(models or MODELS)
        for task in _tasks(model, tasks, archive, asked=bool(models))
        for chip in _distinct(chips or CHIPS)
        for policy in (named or POLICIES[chip])
    )
    if not cells:
        raise WrongName("--task", f"no model does {', '.join(tasks)}")
    return cells


def _tasks(model: str, tasks: Sequence[str], archive: Path | None, *, asked: bool) -> list[str]:
    if model not in MODELS:
        if not Path(model).is_dir() and "/" not in model:
            known = unknown("model", model, list(MODELS))
            raise WrongName("--model", f"{known}, a folder, a hub name")
        return _distinct(tasks or ["supersense"])
    entry = MODELS[model]
    if not tasks:
        read = [name for name in entry.tasks if archive is not None and TASKS[name].needs_archive]
        return _distinct([*entry.default_tasks, *read])
    fitting = [task for task in _distinct(tasks) if task in entry.tasks]
    if asked and not fitting:
        raise WrongName("--task", f"{model} does {', '.join(entry.tasks)}, not {', '.join(tasks)}")
    return fitting


def _policy(name: str) -> str:
    try:
        return named_policy(name).name
    except ValueError as error:
        raise WrongName("--policy", str(error)) from error


def _known(option: str, kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise WrongName(option, unknown(kind, name, known))


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """A message for a name that is not in a table, the nearest that are in it first."""
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"no {kind} is called {name!r}; {hint}known: {', '.join(known)}"


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
