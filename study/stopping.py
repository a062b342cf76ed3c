"""A command that a person stops ends with a word, and with 130."""

import sys
from typing import Any, NoReturn

import typer
import typer.core


class Stoppable(typer.core.TyperGroup):
    """Commands that end with a line when they are stopped and say nothing of it themselves."""

    def make_context(self, *given: Any, **choices: Any) -> Any:
        try:
            return super().make_context(*given, **choices)
        except KeyboardInterrupt:
            _stopped("halfulp")

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _stopped(f"halfulp {ctx.invoked_subcommand or ''}".strip())


def _stopped(command: str) -> NoReturn:
    print(f"halfulp: stopped before `{command}` was done; nothing is lost", file=sys.stderr)
    raise typer.Exit(130) from None
