"""Runs tests again and again, for `tests/mutants.py`: each time in a fork of this process.

For each line that it reads it says whether the tests given as arguments pass. What they import is
imported before, but for what a plugin (`-p`) loads: so a changed source that the plugin alone loads
is seen, and costs no new process.
"""

import os
import sys

import pytest


def _code_of_fork(arguments: list[str]) -> int:
    child = os.fork()
    if child == 0:
        try:
            os._exit(int(pytest.main(arguments)))
        finally:  # a source that cannot even be loaded
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(tests: list[str], plugin: str) -> None:
    answers = os.dup(1)
    os.dup2(2, 1)
    common = ["-x", "-q", "-p", "no:cacheprovider", *tests]
    if pytest.main(["--collect-only", *common]):
        raise SystemExit(f"{tests} cannot be collected")
    for _ in sys.stdin:
        passed = _code_of_fork(["-p", plugin, *common]) == 0
        os.write(answers, b"passed\n" if passed else b"failed\n")


if __name__ == "__main__":
    main(sys.argv[2:], sys.argv[1])
