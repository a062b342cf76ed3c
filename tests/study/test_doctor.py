"""The doctor names what is missing or broken, and what cures it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import halfulp
from halfulp.dtypes import jit, threads
from halfulp.study import artifacts, doctor
from halfulp.study.artifacts import CorruptedModel
from halfulp.study.cli import app
from halfulp.study.doctor import Check, State, checks, torch_build
from halfulp.study.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def found(name: str, store: Path) -> Check:
    return next(check for check in checks(store) if check.name == name)


def test_a_sound_installation_is_described_and_ends_with_zero(store: Path, tmp_path: Path) -> None:
    report = tmp_path / "doctor.json"
    result = CliRunner().invoke(app, ["doctor", "--store", str(store), "--json", str(report)])
    assert result.exit_code == 0, result.output
    assert result.output.endswith("nothing is broken\n")
    data = json.loads(report.read_text())
    assert (data["schema"], data["healthy"]) == (1, True)
    values = {check["name"]: check["value"] for check in data["checks"]}
    assert values["halfulp"].startswith(halfulp.__version__)
    for name in ("numpy", "numba", "llvmlite", "torch", "transformers"):
        assert values[name][0].isdigit()
    for name in ("processor", "vector units", "torch build", "shipped data"):
        assert values[name]
    assert values["threads"].startswith(str(threads.get_num_threads()))
    assert values["kernel cache"]
    for check in data["checks"]:
        assert check["value"] in result.output


def test_looking_at_a_store_does_not_make_it(store: Path) -> None:
    assert "not made yet" in found("store", store).value
    assert not store.exists()
    Store(store).close()
    assert found("store", store).value == f"{store}, 0 finished cells"


def test_a_damaged_store_is_broken_and_ends_with_one(store: Path) -> None:
    store.write_bytes(b"text" * 1000)
    check = found("store", store)
    assert check.state is State.BROKEN and str(store) in check.value and check.cure
    result = CliRunner().invoke(app, ["doctor", "--store", str(store)])
    assert result.exit_code == 1
    assert result.output.endswith("broken: store\n")


def test_a_cuda_build_without_a_gpu_is_broken_and_the_cpu_build_is_named() -> None:
    check = torch_build("2.13.0+cu130", "13.0", gpu=False)
    assert check.state is State.BROKEN
    assert check.cure is not None and "torch==2.13.0" in check.cure and "CPU index" in check.cure
    assert torch_build("2.13.0+cu130", "13.0", gpu=True).state is State.OK
    assert torch_build("2.13.0+cpu", None, gpu=False) == Check(
        "torch build", "2.13.0+cpu, for CPUs"
    )


def test_missing_extras_are_named_with_the_line_that_installs_them(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(name: str) -> None:
        return None

    monkeypatch.setattr(doctor, "version", none)
    missing = found("scipy", store)
    assert missing.state is State.MISSING
    assert missing.cure == "pip install 'halfulp[torch,study]'"
    assert found("numba", store).state is State.BROKEN
    assert "torch build" not in [check.name for check in checks(store)]


def test_switched_off_kernels_are_broken(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert found("kernels", store).state is State.BROKEN
    assert "NUMBA_DISABLE_JIT=1" in found("environment", store).value


def test_a_refused_kernel_cache_is_told_with_its_reason(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "cache_folder", lambda: None)
    monkeypatch.setattr(jit, "cache_refusal", lambda: "/x belongs to another user")
    check = found("kernel cache", store)
    assert check.state is State.MISSING
    assert "/x belongs to another user" in check.value and "0700" in str(check.cure)


def test_a_wrong_number_of_threads_is_broken(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> int:
        raise ValueError("HALFULP_NUM_THREADS='many'")

    monkeypatch.setattr(threads, "get_num_threads", wrong)
    check = found("threads", store)
    assert check.state is State.BROKEN and "many" in check.value


def test_changed_shipped_data_is_broken(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(name: str) -> Iterator[Path]:
        raise CorruptedModel(f"{name}: sha256 is another")

    monkeypatch.setattr(artifacts, "artifact", changed)
    check = found("shipped data", store)
    assert check.state is State.BROKEN and "sha256 is another" in check.value


def test_a_report_that_cannot_be_written_is_an_error(store: Path, tmp_path: Path) -> None:
    arguments = ["doctor", "--store", str(store), "--json", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert f"cannot write {tmp_path}" in result.output
