"""Mutation testing: small changes of the sources, each of which a default test must notice.

    pip install mutmut==3.8.1
    python -m tests.mutants FOLDER format rounding reference reference_rounding codec

FOLDER is new and lies outside of the tree. It gets a copy of the project in the layout that mutmut
expects, with one change: mutmut leaves decorated functions alone, so `@property` is written as
`name = property(name)` behind the function. Three steps:

1. mutmut itself, with the first tests of a module; it changes functions, in forked processes;
2. what it leaves alone, statements outside of functions, by the same operators;
3. what is left of both, with all tests of the module: some functions run when the module is loaded,
   which mutmut does once.

Steps 2 and 3 load the changed module anew, codec.py in forks that have all else loaded. The end is
a table and the difference of each survivor. A module takes five to thirty minutes of one core.
"""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from tests.tree import LAYERS, ROOT

_FIRST = (
    "test_rounding.py", "test_formats.py", "test_format_refusals.py", "test_reference_choices.py",
    "test_reference.py",
    "-k", "not every_byte and not outsider_says",
)  # fmt: skip
_ALL = ("test_names.py", "test_refusals.py", *_FIRST)
_CASTS = tuple(
    f"{test}[{name}]"
    for test in (
        "test_cast.py::test_encode_is_exact_at_every_boundary",
        "test_cast.py::test_round_to_gives_the_value_of_the_code",
        "test_cast.py::test_a_vector_of_one_value_gives_what_the_value_gives",
        "test_cast.py::test_decode_gives_the_value_of_every_code",
        "test_stochastic.py::test_each_draw_is_that_of_the_reference",
    )
    for name in ("e4m3", "e4m3fnuz", "e2m1fn", "cfp8(7,0)", "fp16", "float(5,23)", "bf16", "tf32")
)
_PLUGIN = "tests.dtypes.bodies"  # tests judge the kernels' bodies without the compiler
#: Of each module of dtypes/: pytest's arguments for the first tests, which run it and are fast, and
#: for all that are asked.
TESTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "format": (_FIRST, _ALL),
    "rounding": (_FIRST, _ALL),
    "reference": (_FIRST, _ALL),
    "reference_rounding": (_FIRST, _ALL),
    "codec": ((*_CASTS, "-p", _PLUGIN), (*_CASTS, "../engines/test_casts.py")),
}
_CONFIGURATION = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["{source}"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider"]
process_isolation = "forkserver"
use_git_change_detection = false
"""
_WRITTEN_PROPERTY = re.compile(r"\s*(\w+) = (cached_)?property\(\1\)\s*")
_NAME_OF_A_NATIVE = re.compile(r'"halfulp_\w+"')
_KILLED = {1, 3, -24, 24, 36, 152, 255}  # exit codes: tests that failed, and timeouts


@dataclass(frozen=True)
class Mutant:
    """One change: where, the source with it, and whether a test noticed."""

    place: str
    source: str
    killed: bool


def unwrapped(source: str) -> str:
    """The source with `name = property(name)` in place of the decorator; cached ones likewise."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or len(node.decorator_list) != 1:
            continue
        kind = ast.unparse(node.decorator_list[0])
        if kind in ("property", "cached_property") and node.end_lineno is not None:
            lines[node.decorator_list[0].lineno - 1] = ""
            lines[node.end_lineno - 1] += f"\n    {node.name} = {kind}({node.name})\n"
    return "".join(lines)


class Copy:
    """The project in mutmut's layout, for one module."""

    def __init__(self, folder: Path, module: str) -> None:
        self.folder = folder
        self.first, self.all = (
            [f"tests/dtypes/{one}" if ".py" in one else one for one in given]
            for given in TESTS[module]
        )
        package = folder / "src" / "halfulp"
        package.mkdir(parents=True)
        for source in (ROOT / "src" / "halfulp").glob("*.py"):
            shutil.copy(source, package)
        skip = shutil.ignore_patterns("data", "__pycache__")
        for layer in LAYERS:
            shutil.copytree(ROOT / layer, package / layer, ignore=skip)
        shutil.copytree(ROOT / "tests", folder / "tests", ignore=skip)
        self.path = package / "dtypes" / f"{module}.py"
        self.text = unwrapped(self.path.read_text())
        self.path.write_text(self.text)
        configuration = _CONFIGURATION.format(
            source=self.path.relative_to(folder), tests=json.dumps(self.first)
        )
        text = (ROOT / "pyproject.toml").read_text()
        (folder / "pyproject.toml").write_text(text + configuration)
        # drawn examples are the same in every run, and no mutant learns from another
        self.environment = os.environ | {
            "CI": "1", "PYTHONPATH": str(folder / "src"),
            "HALFULP_CACHE_DIR": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        self.forks = self._start_forks(self.first)

    def mutmut(self, *arguments: str, quiet: bool = True) -> str:
        command = [sys.executable, "-m", "mutmut", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE if quiet else None,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} in {self.folder} failed:\n{done.stdout}")
        return done.stdout or ""

    def passes(self, source: str, tests: list[str]) -> bool:
        """Whether the tests let this source pass, in a process that imports it."""
        self.path.write_text(source)
        try:
            if self.forks and tests == self.first:
                return self._ask_forks()
            return self._run(tests)
        finally:
            self.path.write_text(self.text)

    def _run(self, tests: list[str]) -> bool:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=self.environment, capture_output=True, timeout=600
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def _start_forks(self, tests: list[str]) -> "subprocess.Popen[str] | None":
        """Where a plugin alone loads the module, a process to be forked with all else loaded."""
        if _PLUGIN not in tests:
            return None
        others = [one for one in tests if one not in ("-p", _PLUGIN)]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.mutant_forks", _PLUGIN, *others],
            cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _ask_forks(self) -> bool:
        assert self.forks and self.forks.stdin and self.forks.stdout
        self.forks.stdin.write("\n")
        self.forks.stdin.flush()
        answer = self.forks.stdout.readline().strip()
        if answer not in ("passed", "failed"):
            raise SystemExit("tests.mutant_forks ended")
        return answer == "passed"

    def inside(self) -> Iterator[Mutant]:
        """What mutmut changes: functions."""
        self.mutmut("run", "--max-children", "1", quiet=False)
        found = self.folder / "mutants" / self.path.relative_to(self.folder)
        codes = json.loads(Path(f"{found}.meta").read_text())["exit_code_by_key"]
        for name, code in codes.items():
            killed = code in _KILLED
            if not killed:
                self.mutmut("apply", name)
            source = self.path.read_text()
            self.path.write_text(self.text)
            yield Mutant(name.rpartition(".")[2], source, killed)

    def outside(self) -> Iterator[Mutant]:
        """What stands outside of functions, changed by mutmut's operators."""
        create: Any = importlib.import_module("mutmut.mutation.file_mutation").create_mutations
        module, mutations, *_ = create(str(self.path), self.text)
        for number, mutation in enumerate(mutations):
            top = mutation.contained_by_top_level_function
            statement = module.code_for_node(top) if top is not None else ""
            if type(top).__name__ == "FunctionDef" or _WRITTEN_PROPERTY.fullmatch(statement):
                continue
            if _NAME_OF_A_NATIVE.fullmatch(module.code_for_node(mutation.original_node)):
                continue  # nothing reads it
            source = module.deep_replace(mutation.original_node, mutation.mutated_node).code
            yield Mutant(f"outside_{number}", source, not self.passes(source, self.first))

    def difference(self, mutant: Mutant) -> str:
        lines = unified_diff(self.text.splitlines(), mutant.source.splitlines(), n=0, lineterm="")
        return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def main(folder: Path, *modules: str) -> None:
    rows = ["| module | mutants | killed | survived | killed, % |", "|---|--:|--:|--:|--:|"]
    for module in modules:
        copy = Copy(folder / module, module)
        if not copy.passes(copy.text, copy.all):
            raise SystemExit(f"{copy.all} fail without a mutant in {copy.folder}")
        mutants = [*copy.inside(), *copy.outside()]
        print(f"{module}: {sum(not mutant.killed for mutant in mutants)} left", flush=True)
        left = [
            mutant
            for mutant in mutants
            if not mutant.killed
            and copy.passes(mutant.source, copy.first)
            and copy.passes(mutant.source, copy.all)
        ]
        for mutant in left:
            print(f"{module} {mutant.place}\n{copy.difference(mutant)}\n", flush=True)
        count, killed = len(mutants), len(mutants) - len(left)
        share = 100 * killed / count
        rows.append(f"| {module} | {count} | {killed} | {len(left)} | {share:.1f} |")
    print("\n".join(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
