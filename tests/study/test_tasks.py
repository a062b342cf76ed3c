"""The tasks: their samples, their batches, and the text that a user brings."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import ElectraConfig, ElectraForPreTraining

from halfulp.study import sentiment
from halfulp.study.artifacts import DATA, artifact
from halfulp.study.examples import Examples, chosen
from halfulp.study.sentiment import DataUnavailable, read_snippets, split_of
from halfulp.study.tasks import TASKS, Batch, Task, Workload, prepare
from halfulp.study.wordnet import SUPERSENSES, read_glosses

SPLIT_SIZES = {"test": 1636, "dev": 1654}
FIRST_ORDINARY_TOKEN = 5

LINES = (
    "1\t2.5\ta warm film\r\n"
    "2\t-3.0\ta cold film\r\n"
    "3\t0.4\tnobody is sure\r\n"
    "4\t2.5\ta warm film\r\n"
    "not a row\r\n"
    "5\t-0.5\tjust clear enough\r\n"
)


def logits_of(work: Workload) -> np.ndarray:
    return work.assemble([work.forward(i) for i in range(len(work.batches))])


# The table


def test_there_are_three_tasks_and_each_says_under_which_licence() -> None:
    assert list(TASKS) == ["supersense", "detection", "sentiment"]
    assert [task.classes for task in TASKS.values()] == [26, 2, 2]
    assert all(task.licence for task in TASKS.values())


def test_a_task_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind='regression'"):
        Task(
            name="x",
            kind="regression",
            description="",
            licence="",
            label_names=("a",),
            samples=1,
            length_limit=1,
        )


# Glosses


@pytest.mark.parametrize("split", SPLIT_SIZES)
def test_each_gloss_lies_in_the_split_that_its_synset_hashes_to(split: str) -> None:
    with gzip.open(artifact(f"wordnet/{split}.jsonl.gz"), "rt", encoding="utf-8") as lines:
        keys = [json.loads(line)["synset"] for line in lines]
    numbers = [int.from_bytes(hashlib.sha256(k.encode()).digest()[:8], "big") % 100 for k in keys]
    assert len(set(keys)) == SPLIT_SIZES[split]
    assert set(numbers) == ({0, 1} if split == "test" else {2, 3})


def test_the_packed_glosses_carry_no_time_and_no_name() -> None:
    for split in SPLIT_SIZES:
        head = artifact(f"wordnet/{split}.jsonl.gz").read_bytes()[:10]
        assert head[3] == 0
        assert head[4:8] == bytes(4)


def test_the_largest_class_of_the_test_glosses_is_13_percent() -> None:
    labels = read_glosses("test").labels
    counts = np.bincount(labels, minlength=26)
    assert SUPERSENSES[int(counts.argmax())] == "noun.person"
    assert 0.134 < counts.max() / len(labels) < 0.135
    assert (counts > 0).sum() >= 25


# Choosing samples


def test_a_smaller_choice_is_part_of_a_larger_one_and_keeps_the_order() -> None:
    keys = [str(i).encode() for i in range(200)]
    small, large = chosen(keys, 20), chosen(keys, 150)
    assert len(small) == 20
    assert set(small) < set(large)
    assert (np.diff(large) > 0).all()
    assert chosen(keys, 200).tolist() == chosen(keys, None).tolist() == list(range(200))


def test_the_choice_follows_the_text_not_its_place() -> None:
    keys = [str(i).encode() for i in range(50)]
    forward = {keys[i] for i in chosen(keys, 10)}
    backward = {keys[::-1][i] for i in chosen(keys[::-1], 10)}
    assert forward == backward


@pytest.mark.parametrize("samples", [0, -1, 1637])
def test_a_choice_that_the_split_cannot_give_is_refused(samples: int) -> None:
    with pytest.raises(ValueError, match=rf"samples={samples}; .* 1 to 1,636 samples"):
        prepare("electra", "supersense", samples=samples)


def test_the_digest_of_the_data_changes_with_text_and_label() -> None:
    base = Examples(("a", "b"), np.array([0, 1]))
    others = [
        Examples(("a", "c"), np.array([0, 1])),
        Examples(("a", "b"), np.array([1, 1])),
        Examples(("a",), np.array([0])),
    ]
    assert base.sha256 == Examples(("a", "b"), np.array([0, 1])).sha256
    assert len({base.sha256, *(other.sha256 for other in others)}) == 4


def test_texts_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="one label a text"):
        Examples(("a", "b"), np.array([0]))


# Workloads


def test_the_batches_hold_every_gloss_once_and_similar_lengths_together() -> None:
    work = prepare("electra", "supersense")
    rows = np.concatenate([batch.rows for batch in work.batches])
    assert sorted(rows) == list(range(1636))
    assert [len(batch.rows) for batch in work.batches] == [32] * 51 + [4]
    lengths = [int(n) for b in work.batches for n in b.inputs["attention_mask"].sum(1)]
    assert lengths == sorted(lengths)
    assert lengths[-1] == 40
    for batch in work.batches:
        ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
        assert ids.shape[1] == int(mask.sum(1).max())
        assert (ids[mask == 0] == 0).all()
        assert (ids[:, 0] == 2).all()
        assert ids.dtype == mask.dtype == torch.int64


def test_logits_come_back_in_the_order_of_the_samples() -> None:
    work = prepare("electra", "supersense", samples=100)
    numbers = [np.repeat(b.rows[:, None], 26, 1).astype(np.float32) for b in work.batches]
    assert work.assemble(numbers)[:, 3].tolist() == list(range(100))
    assert (logits_of(work).argmax(1) == work.labels).mean() > 0.7


def test_parts_that_do_not_fit_the_batches_are_refused() -> None:
    work = prepare("electra", "supersense", samples=40)
    parts = [np.zeros((len(b.rows), 26), np.float32) for b in work.batches]
    with pytest.raises(ValueError, match="1 parts of logits for 2 batches"):
        work.assemble(parts[:1])
    with pytest.raises(ValueError, match=r"part 1 has shape \(32, 26\); need \(8, 26\)"):
        work.assemble([parts[0], parts[0]])


def test_the_same_request_gives_the_same_workload() -> None:
    first, second = (prepare("electra", "supersense", samples=64) for _ in range(2))
    assert first.data_sha256 == second.data_sha256
    assert first.weights_sha256 == second.weights_sha256
    assert np.array_equal(logits_of(first), logits_of(second))
    assert prepare("electra", "supersense", samples=63).data_sha256 != first.data_sha256
    assert prepare("electra", "supersense", split="dev").data_sha256 != first.data_sha256


def test_a_forward_leaves_no_gradient_and_changes_no_input() -> None:
    work = prepare("electra", "supersense", samples=4)
    before = {name: tensor.clone() for name, tensor in work.batches[0].inputs.items()}
    logits = work.forward(0)
    assert logits.dtype == np.float32
    assert logits.shape == (4, work.classes)
    assert all(p.grad is None for p in work.module.parameters())
    assert all(torch.equal(before[k], v) for k, v in work.batches[0].inputs.items())


def test_unknown_names_and_needless_options_are_refused() -> None:
    with pytest.raises(ValueError, match="'sense' is not one of supersense, detection, sentiment"):
        prepare("electra", "sense")
    with pytest.raises(ValueError, match="split 'train' is not one of test, dev"):
        prepare("electra", "supersense", split="train")
    with pytest.raises(ValueError, match="reads no archive"):
        prepare("electra", "supersense", archive=Path("x.tar.gz"))
    with pytest.raises(ValueError, match="minilm has no task detection; it has supersense"):
        prepare("minilm", "detection")


# Detection


@pytest.mark.parametrize("split", ["test", "dev"])
def test_160_frozen_rows_score_their_ordinary_tokens(split: str) -> None:
    rows = load_file(artifact(f"detection/{split}.safetensors"))
    assert rows["ids"].shape == rows["labels"].shape == rows["scored"].shape == (160, 128)
    assert [rows[name].dtype.name for name in ("ids", "labels", "scored")] == [
        "int16",
        "int8",
        "bool",
    ]
    assert (rows["scored"] >= (rows["ids"] >= FIRST_ORDINARY_TOKEN)).all()
    assert (rows["labels"][~rows["scored"]] == 0).all()
    assert 0.13 < rows["labels"][rows["scored"]].mean() < 0.16
    assert rows["ids"].min() >= 0
    assert rows["ids"].max() < 8192


def test_detection_gives_one_logit_for_each_scored_token() -> None:
    work = prepare("electra", "detection", samples=40)
    assert [batch.inputs["input_ids"].shape for batch in work.batches] == [(32, 128), (8, 128)]
    assert np.concatenate([b.rows for b in work.batches]).tolist() == list(range(len(work.labels)))
    logits = logits_of(work)
    assert logits.shape == (len(work.labels), 1)
    assert work.classes == 2
    batch = work.batches[1]
    assert batch.scored is not None
    with torch.no_grad():
        direct = work.module(**batch.inputs).logits
    assert np.array_equal(logits[batch.rows, 0], direct[batch.scored].numpy())


def test_detection_refuses_a_model_of_another_vocabulary(tmp_path: Path) -> None:
    small: dict[str, Any] = {"hidden_size": 32, "embedding_size": 32, "num_hidden_layers": 1}
    config = ElectraConfig(**small, vocab_size=8192, num_attention_heads=2, intermediate_size=64)
    ElectraForPreTraining(config).save_pretrained(tmp_path)
    own = DATA / "electra-detector/tokenizer.json"
    shutil.copy(own, tmp_path)
    assert prepare(str(tmp_path), "detection", samples=1).forward(0).shape[1] == 1
    text = json.loads(own.read_text(encoding="utf-8"))
    text["model"]["vocab"]["another"] = text["model"]["vocab"].pop("about")
    (tmp_path / "tokenizer.json").write_text(json.dumps(text), encoding="utf-8")
    with pytest.raises(ValueError, match="vocabulary"):
        prepare(str(tmp_path), "detection", samples=1)


# Sentiment


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cached text's path, in a folder that does not exist yet."""
    path = tmp_path / "cache" / "sentiment" / "snippets.txt"
    monkeypatch.setattr(sentiment, "cache_file", lambda: path)
    return path


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small stand-in for the archive, with a member that would leave its folder if unpacked."""
    text = LINES.encode()
    inner = packed({"../../escaped.txt": b"x", sentiment.TEXT_MEMBER: text})
    whole = packed({"setup.py": b"raise SystemExit", sentiment.ARCHIVE_MEMBER: inner})
    path = tmp_path / "in" / "archive.tar.gz"
    path.parent.mkdir()
    path.write_bytes(whole)
    monkeypatch.setattr(sentiment, "ARCHIVE_SHA256", hashlib.sha256(whole).hexdigest())
    monkeypatch.setattr(sentiment, "TEXT_SHA256", hashlib.sha256(text).hexdigest())
    return path


def all_snippets(archive: Path | None = None) -> dict[str, int]:
    parts = [read_snippets(split, archive) for split in ("train", "dev", "test")]
    return {t: int(y) for part in parts for t, y in zip(part.texts, part.labels, strict=True)}


@pytest.mark.usefixtures("cache")
def test_clear_ratings_become_labels_and_doubles_are_dropped(archive: Path) -> None:
    expected = {"a warm film": 1, "a cold film": 0, "just clear enough": 0}
    assert all_snippets(archive) == expected
    for split in ("train", "dev", "test"):
        assert all(split_of(text) == split for text in read_snippets(split, archive).texts)


def test_the_text_is_cached_privately_and_nothing_else_is_written(
    archive: Path, cache: Path, tmp_path: Path
) -> None:
    before = set(tmp_path.rglob("*"))
    from_archive = all_snippets(archive)
    assert cache.parent.stat().st_mode & 0o777 == 0o700
    assert set(tmp_path.rglob("*")) - before == {cache, cache.parent, cache.parent.parent}
    archive.unlink()
    assert all_snippets() == from_archive


def test_a_changed_cache_is_not_used(archive: Path, cache: Path) -> None:
    all_snippets(archive)
    cache.write_bytes(cache.read_bytes() + b"6\t3.0\tmore\r\n")
    with pytest.raises(DataUnavailable, match=r"was changed .*--archive"):
        read_snippets("test")
    assert all_snippets(archive)


def test_a_cache_that_cannot_be_written_does_not_matter(archive: Path, cache: Path) -> None:
    cache.parent.parent.write_bytes(b"a file where the folder should be")
    assert len(all_snippets(archive)) == 3


@pytest.mark.usefixtures("cache")
def test_without_archive_and_cache_the_error_says_what_to_type() -> None:
    with pytest.raises(
        DataUnavailable, match=r"pip download .* vaderSentiment==3\.3\.2.*--archive"
    ):
        prepare("minilm", "sentiment")


def test_another_archive_is_refused_unopened(archive: Path, cache: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tar.gz"
    other.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(DataUnavailable, match=rf"sha256 is .* expected {sentiment.ARCHIVE_SHA256}"):
        read_snippets("test", other)
    with pytest.raises(DataUnavailable, match="cannot be read"):
        read_snippets("test", tmp_path / "absent.tar.gz")
    with pytest.raises(DataUnavailable, match="cannot be read"):
        read_snippets("test", tmp_path)
    assert not cache.exists()


@pytest.mark.usefixtures("cache")
def test_electra_has_no_sentiment(archive: Path) -> None:
    with pytest.raises(ValueError, match="electra has no task sentiment"):
        prepare("electra", "sentiment", samples=1, archive=archive)


@pytest.mark.model
def test_the_real_snippets_split_as_documented_where_the_user_has_them() -> None:
    try:
        test = read_snippets("test")
    except DataUnavailable as error:
        pytest.skip(str(error))
    assert len(test.texts) == 2039
    assert sum(len(read_snippets(split).texts) for split in ("train", "dev")) == 8031
    assert 0.48 < test.labels.mean() < 0.52


def test_a_batch_needs_no_scored_mask() -> None:
    assert Batch({"input_ids": torch.zeros(1, 1)}, np.arange(1)).scored is None
