"""The kernel cache: never stale, never shared, never needed."""

import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import config

from halfulp.dtypes import jit
from tests.dtypes.processes import (
    PACKAGE,
    RIGHT_CODES,
    ROUND,
    answer,
    copy_of_sources,
    entries,
    finish,
    start,
)

#: What each kernel family is asked; a changed constant must change the answer.
QUESTIONS = {
    "round": "codes(round_to(np.float32([1.005, 3e38, 3.01e-39, 2.5e-39, 1.00390625]), 'bf16'))"
    " + codes(round_to(np.float32([1e-7, 3e-5, 65519.0]), 'fp16'))",
    "copy": "codes(core.vector.tensor_copy(np.float32([2.5e38, 1.005]), out_format='bf16'))",
    "subtract": "codes(core.vector.tensor_tensor(np.float32([5]), np.float32([3]), 'subtract'))",
    "exp": "codes(core.scalar.activation(np.linspace(-3, 3, 99, dtype=np.float32), 'exp'))",
    "layernorm": "codes(core.vector.layernorm(np.sin(np.arange(700)).astype(np.float32) * 99,"
    " np.ones(700), np.zeros(700), 1e-5))",
    "product": "codes(core.tensor.matmul(*(np.random.default_rng(0).normal(size=shape)"
    " for shape in ((9, 300), (300, 9))), a_format='bf16'))",
    "counts": "ledger_of_a_copy()",
}
ASK = """
from halfulp.engines import NEURONCORE_V2 as core, Ledger, recording
import halfulp

def ledger_of_a_copy():
    with recording(Ledger()) as ledger:
        core.vector.tensor_copy(np.float32([1e39, np.nan, 1e-30, 7] * 9), out_format='fp16')
    return list(ledger.totals().values())

warnings.simplefilter("ignore")  # of numpy, at 1e39
print(json.dumps([halfulp.__file__, {%s}]))
"""


def ask(*names: str) -> str:
    return ASK % ", ".join(f"{name!r}: {QUESTIONS[name]}" for name in names)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all that does not harm it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def usual(cache: Path) -> dict[str, Any]:
    """The answers of the sources as they are."""
    _, answers = answer(ask(*{question for *_, question in CHANGES}), cache)
    return dict(answers)


X86 = platform.machine().lower() in ("x86_64", "amd64")
#: layer, text, changed text, the question that must notice. Each constant is frozen in kernels that
#: stand in another file.
CHANGES = [
    ("dtypes", "INF32 = 0x7F800000", "INF32 = 0x7F000000", "copy"),
    ("dtypes", '"fsub", "sub"', '"fadd", "sub"', "subtract"),
    ("dtypes", '+ self.given["half"]', '+ self.given["odd"]', "round"),
    ("engines", '"0x1.ffffffffd382fp-1"', '"0x1.ffffffffd382fp-2"', "exp"),
    ("engines", "CHUNK = 512", "CHUNK = 256", "layernorm"),
    ("engines", "rounded > INF32", "rounded > 0", "counts"),
]
MORE_CHANGES = [
    ("dtypes", "MAGNITUDE32 = 0x7FFFFFFF", "MAGNITUDE32 = 0x3FFFFFFF", "round"),
    ("dtypes", '"fadd", "add"', '"fsub", "add"', "round"),
    ("dtypes", '+ self.given["half"]', '+ self.given["odd"]', "copy"),
    ("dtypes", 'total - mask.convert("sext"', 'total + mask.convert("sext"', "counts"),
    ("engines", "return a - b", "return b - a", "subtract"),
    ("engines", "K_TILE = 128", "K_TILE = 64", "product"),
]
if X86:
    MORE_CHANGES.append(("dtypes", "MXCSR = 0x1F80", "MXCSR = 0x7F80", "round"))


def change(packages: Path, layer: str, old: str, new: str) -> None:
    """Change the one source of the layer that has the text, the reference aside."""
    folder = packages / "halfulp" / layer
    sources = set(folder.glob("*.py")) - set(folder.glob("reference*.py"))
    (path,) = [source for source in sources if old in source.read_text()]
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("layer", "old", "new", "question"),
    [*CHANGES, *(pytest.param(*one, marks=pytest.mark.deep) for one in MORE_CHANGES)],
)
def test_a_change_in_any_source_gives_new_bits(
    layer: str,
    old: str,
    new: str,
    question: str,
    usual: dict[str, Any],
    cache: Path,
    tmp_path: Path,
) -> None:
    packages = copy_of_sources(tmp_path)
    change(packages, layer, old, new)
    place, answers = answer(ask(question), cache, packages=packages)
    assert place.startswith(str(packages)), "the changed sources ran"
    if question not in usual:
        usual |= answer(ask(question), cache)[1]
    assert answers[question] != usual[question]


def test_old_sources_find_their_own_entries_again(usual: dict[str, Any], cache: Path) -> None:
    before = entries(cache)
    assert answer(ask("round", "exp"), cache)[1].items() <= usual.items()
    assert entries(cache) == before


def test_without_the_digest_the_same_change_would_give_the_old_bits(
    usual: dict[str, Any], tmp_path: Path
) -> None:
    packages, cache = copy_of_sources(tmp_path / "packages"), tmp_path / "cache"
    change(packages, "dtypes", "digest.hexdigest()[:20]", '"0" * 20')
    assert answer(ask("round"), cache, packages=packages)[1]["round"] == usual["round"]
    change(packages, "dtypes", '+ self.given["half"]', '+ self.given["odd"]')
    stale = answer(ask("round"), cache, packages=packages)[1]["round"]
    fresh = answer(ask("round"), tmp_path / "other", packages=packages)[1]["round"]
    assert stale == usual["round"] != fresh, "this is the trap that the tests above would fall into"


def test_every_source_of_both_layers_is_in_the_digest(tmp_path: Path) -> None:
    packages = copy_of_sources(tmp_path)
    layers = [packages / "halfulp" / layer for layer in ("dtypes", "engines")]
    sources = [source for layer in layers for source in layer.glob("*.py")]
    assert len(sources) > 20
    digests = {jit.source_digest(*layers)}
    for source in sources:
        source.write_text(source.read_text() + "\n")
        jit.source_digest.cache_clear()
        digests.add(jit.source_digest(*layers))
    jit.source_digest.cache_clear()
    assert len(digests) == len(sources) + 1


def test_each_processor_has_entries_of_its_own(
    usual: dict[str, Any], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for name, features in ((None, None), ("haswell", ""), ("haswell", "+avx2"), ("nehalem", "")):
        monkeypatch.setattr(config, "CPU_NAME", name)
        monkeypatch.setattr(config, "CPU_FEATURES", features)
        jit.source_digest.cache_clear()
        found.add(jit.source_digest(PACKAGE / "dtypes"))
    jit.source_digest.cache_clear()
    assert len(found) == 4
    if X86:
        other = {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": ""}
        assert answer(ask("round"), cache, **other)[1]["round"] == usual["round"]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the entries of one cast, to be copied."""
    place = tmp_path_factory.mktemp("warm")
    assert answer(ROUND, place) == RIGHT_CODES
    assert len(entries(place)) >= 4
    return place


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "random bytes": lambda content: np.random.default_rng(0).bytes(len(content)),
    "a pickle of something else": lambda content: b"\x80\x04K\x01.",
}
STRICT = "warnings.simplefilter('error')\n"


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_entries_cost_a_compilation(
    damage: str, suffix: str, warm: Path, tmp_path: Path
) -> None:
    shutil.copytree(warm, tmp_path, dirs_exist_ok=True)
    harmed = [path for path in entries(tmp_path) if path.suffix == suffix]
    for path in harmed:
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
    before = {path: path.read_bytes() for path in harmed}
    assert finish(start(STRICT + ROUND, tmp_path)) == (RIGHT_CODES, "")
    assert all(path.read_bytes() != before[path] for path in harmed), "they are whole again"


@pytest.mark.parametrize("limit", [0, 300, 6000])
def test_a_full_disk_gives_a_warning_and_right_results(limit: int, tmp_path: Path) -> None:
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    got, said = finish(start(code + ROUND, tmp_path))
    assert got == RIGHT_CODES
    assert said.count("could not be kept (File too large)") == 1, "once, however many kernels"
    assert "RuntimeWarning" in said
    assert str(tmp_path) in said
    # with room again, everything is kept
    assert finish(start(STRICT + ROUND, tmp_path)) == (RIGHT_CODES, "")
    assert len(entries(tmp_path)) >= 4


def test_processes_that_compile_at_once(tmp_path: Path) -> None:
    together = [start(STRICT + ROUND, tmp_path) for _ in range(3)]
    assert [finish(one) for one in together] == [(RIGHT_CODES, "")] * 3
    kept = entries(tmp_path)
    assert kept == [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert finish(start(STRICT + ROUND, tmp_path)) == (RIGHT_CODES, "")
    assert entries(tmp_path) == kept


def test_without_compilation_the_kernels_say_so(tmp_path: Path) -> None:
    code = """
try:
    round_to(np.ones(3, np.float32), "bf16")
except jit.KernelsDisabled as error:
    print(json.dumps([str(error), isinstance(error, RuntimeError)]))
"""
    words, runtime = answer(code, tmp_path, NUMBA_DISABLE_JIT="1")
    assert words == (
        "NUMBA_DISABLE_JIT is set, but halfulp's kernels exist only as compiled code;"
        " unset NUMBA_DISABLE_JIT"
    )
    assert runtime and entries(tmp_path) == []
