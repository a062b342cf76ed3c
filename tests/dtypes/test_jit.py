"""The parts of the kernel cache by themselves; fresh processes are asked what they do together."""

import os
from pathlib import Path
from typing import Any

import llvmlite.binding
import pytest
from numba.core import config

from halfulp.dtypes import jit
from halfulp.dtypes.drivers64 import WIDEN


class Cache:
    """A cache of numba's that fails as it is told, and notes what it is asked."""

    cache_path = "/somewhere/digest/entries"

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.asked = list(errors), list[str]()

    def _ask(self, what: str) -> str:
        self.asked.append(what)
        if self.errors:
            raise self.errors.pop(0)
        return what

    def load_overload(self, signature: Any, context: Any) -> str:
        return self._ask("load")

    def save_overload(self, signature: Any, data: Any) -> None:
        self._ask("save")

    def flush(self) -> None:
        self.asked.append("flush")


def guarded(*errors: Exception) -> Any:
    cache = Cache(*errors)
    jit._guard(cache)
    return cache


def test_what_can_be_loaded_is_loaded_and_what_is_damaged_is_not() -> None:
    assert guarded().load_overload(None, None) == "load"
    for error in (EOFError(), KeyError("x"), OSError(5, "Input/output error")):
        assert guarded(error).load_overload(None, None) is None


def test_a_damaged_index_is_begun_anew() -> None:
    cache = guarded(EOFError())
    cache.save_overload(None, None)
    assert cache.asked == ["save", "flush", "save"]


@pytest.mark.parametrize(
    "errors", [[OSError(28, "No space")], [EOFError(), OSError(28, "No space")]]
)
def test_what_cannot_be_kept_is_told_once(errors: list[Exception]) -> None:
    jit._warn_not_kept.cache_clear()
    words = r"^/somewhere/digest: compiled kernels could not be kept \(No space\)"
    with pytest.warns(RuntimeWarning, match=words) as told:
        guarded(*errors).save_overload(None, None)
        guarded(OSError(28, "No space")).save_overload(None, None)
    assert len(told) == 1
    jit._warn_not_kept.cache_clear()


def test_why_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert jit._refusal(tmp_path / "made") is None and (tmp_path / "made").is_dir()
    file, link, open_one = (tmp_path / name for name in ("file", "link", "open"))
    file.touch()
    link.symlink_to(tmp_path / "made")
    open_one.mkdir()
    open_one.chmod(0o701)
    assert jit._refusal(file / "below") == f"{file}/below cannot be made or read (Not a directory)"
    assert jit._refusal(link) == f"{link} is not a folder"
    assert jit._refusal(open_one) == f"{open_one} is open to others (mode 0701); allowed is 0700"
    made = tmp_path / "made"
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: mode & os.W_OK == 0)
        assert jit._refusal(made) == f"{made} is not writable"
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: made.stat().st_uid + 1)
        assert jit._refusal(made) == f"{made} belongs to another user"


def test_a_refused_folder_is_none_and_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in ((None, "why not"), (tmp_path, None)):
        monkeypatch.setattr(jit, "_cache", lambda found=found: found)
        assert (jit.cache_folder(), jit.cache_refusal()) == found


def test_without_a_folder_functions_are_compiled_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "cache_folder", lambda: None)
    twice = jit.direct(lambda x: x + x)
    assert twice(21) == 42 and twice.stats.cache_path is None
    kernel = jit.kernel(_nothing)
    assert kernel.address != 0 and kernel.compiled.cache_hits == 0
    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path)
    assert jit._place(_nothing) == tmp_path / jit.source_digest(*sorted({jit._FOUNDATION, HERE}))


HERE = Path(__file__).parent


def _nothing(arguments: int) -> None:
    pass


def test_without_compilation_everything_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    assert jit.device(_nothing) is _nothing, "what kernels call is Python then"
    for call in (lambda: jit.direct(_nothing)(0), lambda: jit.kernel(_nothing).address):
        with pytest.raises(jit.KernelsDisabled, match="unset NUMBA_DISABLE_JIT"):
            call()


def test_the_assembly_is_that_of_the_kernel() -> None:
    text = WIDEN.assembly()
    assert "halfulp_widen" in text and "halfulp_narrow" not in text


def test_a_feature_is_that_of_the_processor_that_is_compiled_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "CPU_FEATURES", "+avx2,-avx512f")
    assert jit.has_feature("avx2")
    assert not jit.has_feature("avx512f") and not jit.has_feature("avx")
    # a name without features: nothing is known of it
    monkeypatch.setattr(config, "CPU_FEATURES", "")
    monkeypatch.setattr(config, "CPU_NAME", "skylake-avx512")
    assert not jit.has_feature("avx512f")
    monkeypatch.setattr(config, "CPU_NAME", None)
    host = llvmlite.binding.get_host_cpu_features()
    assert all(jit.has_feature(name) is bool(host[name]) for name in host)
