"""The training scripts run, on a little invented WordNet, so that they cannot rot."""

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from benchmarks.accuracy import fit_heads, package, train_detector, train_supersense
from benchmarks.accuracy.corpus import CLS, SEP, Synset, pack, read_synsets
from benchmarks.accuracy.optimization import scheduled
from halfulp.study.tasks import prepare
from halfulp.study.wordnet import SUPERSENSES

WORDS = "a an of the small large animal plant that lives grows in water wood very green red".split()


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 synsets of random words in WordNet's format."""
    folder = tmp_path_factory.mktemp("wordnet")
    dice = random.Random(0)
    for part in ("noun", "verb", "adj", "adv"):
        lines = ["  1 licence"]
        for offset in range(2400 if part == "noun" else 200):
            file = 3 + offset % 26
            gloss = " ".join(dice.choices(WORDS, k=14)) + '; "an | example"  '
            lines.append(f"{offset:08d} {file:02d} n 02 green_thing 0 thing(a) 1 000 | {gloss}")
        (folder / f"data.{part}").write_text("\n".join(lines) + "\n", encoding="latin-1")
    return folder


def test_a_synset_is_read_with_its_lemmas_and_its_whole_gloss(wordnet: Path) -> None:
    synsets = read_synsets(wordnet, ["noun"])
    assert len(synsets) == 2400
    first = synsets[0]
    assert (first.key, first.lexicographer_file) == ("noun00000000", 3)
    assert first.lemmas == ("green thing", "thing")
    assert first.gloss.endswith('; "an | example"')
    assert {s.split for s in synsets} == {"train", "dev", "test"}


def test_a_split_depends_on_the_key_alone() -> None:
    parts = [Synset(f"noun{n:08d}", 3, (), "").split for n in range(20000)]
    assert 0.015 < parts.count("test") / len(parts) < 0.025
    assert 0.015 < parts.count("dev") / len(parts) < 0.025


def test_packed_rows_start_with_cls_and_keep_every_token_in_order() -> None:
    rows = pack([[10, 11, 12], [13], [14, 15, 16, 17, 18]], 5)
    assert rows.tolist() == [[CLS, 10, 11, 12, SEP], [CLS, 13, SEP, 14, 15], [CLS, 16, 17, 18, SEP]]


def test_the_learning_rate_rises_for_a_twentieth_and_falls_to_nearly_zero() -> None:
    rates = [scheduled(1.0, step, 1000) for step in range(1000)]
    assert rates.index(max(rates)) == 50
    assert rates[0] < 0.01
    assert rates[-1] < 0.01


def test_swaps_change_only_ordinary_tokens_and_are_labelled() -> None:
    ids = torch.arange(20).repeat(200, 1)
    cumulative = train_detector.unigrams(torch.full((1, 9), 7), 20)
    new, changed, scored = train_detector.swap(ids, cumulative, torch.Generator().manual_seed(0))
    assert torch.equal(scored, ids >= 5)
    assert torch.equal(changed == 1, new != ids)
    assert (new[changed == 1] == 7).all()
    assert (changed[:, 7] == 0).all()
    assert 0.13 < changed[scored].mean() < 0.15  # 15 % of 14 in 15 tokens
    assert (new[:, :5] == ids[:, :5]).all()


def test_a_head_gives_a_nearly_constant_feature_no_large_weight() -> None:
    source = np.random.default_rng(0)
    x = source.normal(size=(4000, 8)).astype(np.float32)
    x[:, 3] = -7 + 1e-3 * x[:, 0]
    labels = (x[:, 0] + 0.2 * source.normal(size=4000) > 0).astype(np.int64)
    for outputs in (1, 3):
        weight, bias = fit_heads.fit(x, labels, outputs, 1e-3)
        assert weight.shape == (outputs, 8)
        assert weight.flags.c_contiguous
        assert np.abs(weight).max() < fit_heads.LARGEST_WEIGHT
        assert fit_heads.right(x @ weight.T + bias, labels) > 0.9


def test_equal_glosses_are_packed_to_equal_bytes(wordnet: Path) -> None:
    first, second = (package.glosses(wordnet, "test") for _ in range(2))
    assert first == second
    rows = [json.loads(line) for line in gzip.decompress(first).splitlines()]
    assert all(row["supersense"] in SUPERSENSES for row in rows)


def test_both_trainings_write_models_that_load(
    wordnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_supersense, "VOCABULARY", 200)
    threads = torch.get_num_threads()
    try:
        common = ["--wordnet", str(wordnet), "--steps", "2", "--batch", "4"]
        train_supersense.main([*common, "--out", str(tmp_path / "c")])
        body = ["--body", str(tmp_path / "c"), "--out", str(tmp_path / "d")]
        train_detector.main([*common, *body])
    finally:
        torch.set_num_threads(threads)
    work = prepare(str(tmp_path / "c"), "supersense", samples=3)
    assert np.isfinite(work.forward(0)).all()
    for split in ("test", "dev"):
        assert load_file(tmp_path / f"d/{split}.safetensors")["ids"].shape == (160, 128)
    for folder in ("c", "d"):
        assert all((tmp_path / folder / name).is_file() for name in package.MODEL_FILES)
        record = json.loads((tmp_path / folder / "metrics.json").read_text())
        assert str(tmp_path) not in json.dumps(record)
        assert record["recipe"]["steps"] == 2
