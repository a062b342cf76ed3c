"""How the tests run: Hypothesis profiles, and the floor under the number of tests."""

import os
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("fast", max_examples=50, deadline=None, print_blob=True)
settings.register_profile("deep", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

#: Fewest tests of each folder in a whole run: a collection that silently shrinks is red. Raise it
#: with every test; lower it only with a reason in the commit.
FLOOR = {"dtypes": 4300, "engines": 3560, "quant": 755, "study": 1070}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Raises UsageError when a whole run collects fewer tests than the floor."""
    config = session.config
    if config.getoption("dist", "no") == "no" and not hasattr(config, "workerinput"):
        _refuse_few(config, [item.nodeid for item in session.items])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """The same where several processes run the tests, each of which collects them all."""
    _refuse_few(node.config, ids)


def _refuse_few(config: pytest.Config, ids: list[str]) -> None:
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    chosen = config.option.keyword or config.option.deselect
    if not whole or chosen or config.option.markexpr != "not deep":
        return
    for folder, least in FLOOR.items():
        found = sum(name.startswith(f"tests/{folder}/") for name in ids)
        if found < least:
            place = config.rootpath / "tests" / folder
            raise pytest.UsageError(f"{place}: {found} tests collected, the floor is {least}")
