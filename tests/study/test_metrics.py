"""Every metric against scikit-learn, scipy or its definition, and what NaN does to it."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special
from sklearn.metrics import roc_auc_score

from halfulp.study import metrics


def float32s(rows: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)


GENERATOR = np.random.default_rng(8)
REFERENCE: NDArray[np.float32] = GENERATOR.normal(size=(200, 26)).astype(np.float32) * 3
LOGITS: NDArray[np.float32] = REFERENCE + GENERATOR.normal(size=(200, 26)).astype(np.float32)
LABELS = GENERATOR.integers(0, 26, 200)
SINGLE: NDArray[np.float32] = GENERATOR.normal(size=(300, 1)).astype(np.float32).round(1)
SINGLE_REFERENCE: NDArray[np.float32] = SINGLE + np.float32(0.25)
BINARY = (GENERATOR.random(300) < 0.2).astype(np.int64)


def test_a_prediction_is_the_first_largest_logit() -> None:
    logits = float32s([[1, 3, 3], [0, -1, -2], [-np.inf, np.inf, 5]])
    assert metrics.predict(logits).tolist() == [1, 0, 1]


def test_a_single_logit_predicts_one_above_zero_only() -> None:
    assert metrics.predict(float32s([[0.0], [-0.0], [1e-30], [-1], [np.inf]])).tolist() == [
        *(0, 0, 1, 0, 1)
    ]


def test_a_sample_with_a_nan_predicts_nothing_is_wrong_and_is_a_flip() -> None:
    logits = float32s([[1, np.nan], [0, 1], [np.nan, np.nan]])
    predictions = metrics.predict(logits)
    assert predictions.tolist() == [-1, 1, -1]
    assert metrics.accuracy(predictions, np.array([0, 1, 1])) == 1 / 3
    assert metrics.flips(predictions, predictions) == 2 / 3
    assert metrics.predict(float32s([[np.nan]])).tolist() == [-1]


def test_a_margin_is_the_distance_to_the_next_class() -> None:
    logits = float32s([[1, 4, 2.5], [7, 7, 0], [np.nan, 1, 2], [np.inf, np.inf, 0]])
    margins = metrics.margins(logits)
    assert margins[:2].tolist() == [1.5, 0.0]
    assert np.isnan(margins[2:]).all()
    assert metrics.margins(float32s([[-2], [3]])).tolist() == [2.0, 3.0]


@pytest.mark.parametrize(("right", "n"), [(0, 7), (7, 7), (1258, 1636), (1, 2)])
def test_the_interval_is_wilsons(right: int, n: int) -> None:
    predictions = np.arange(n) < right
    low, high = metrics.accuracy_interval(predictions.astype(int), np.ones(n, dtype=int))
    z, p = NormalDist().inv_cdf(0.975), right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert low == pytest.approx(max(0, middle - half), abs=1e-12)
    assert high == pytest.approx(min(1, middle + half), abs=1e-12)


def test_flips_count_changes_of_wrong_predictions_too() -> None:
    assert metrics.flips(np.array([1, 2, 3, 4]), np.array([1, 0, 3, 0])) == 0.5


def test_the_p_value_is_the_exact_binomial_one_of_the_discordant_pairs() -> None:
    labels = np.zeros(20, dtype=int)
    reference = np.array([0] * 12 + [1] * 8)
    predictions = np.array([1] * 9 + [0] * 3 + [0] * 2 + [2] * 6)
    expected = 2 * sum(math.comb(11, k) for k in range(3)) / 2**11
    assert metrics.flips_p(predictions, reference, labels) == pytest.approx(expected, rel=1e-12)


def test_no_change_of_sides_gives_a_p_value_of_one() -> None:
    labels = np.zeros(4, dtype=int)
    assert metrics.flips_p(np.array([0, 1, 2, 3]), np.array([0, 2, 1, 1]), labels) == 1.0


def test_the_divergence_is_that_of_scipy() -> None:
    p = special.softmax(REFERENCE.astype(np.float64), axis=1)
    q = special.softmax(LOGITS.astype(np.float64), axis=1)
    expected = special.rel_entr(p, q).sum(axis=1).mean()
    assert metrics.kl_divergence(LOGITS, REFERENCE) == pytest.approx(expected, rel=1e-12)


def test_the_divergence_of_a_single_logit_is_bernoullis() -> None:
    p = special.expit(SINGLE_REFERENCE.astype(np.float64))
    q = special.expit(SINGLE.astype(np.float64))
    terms = special.rel_entr(p, q) + special.rel_entr(1 - p, 1 - q)
    assert metrics.kl_divergence(SINGLE, SINGLE_REFERENCE) == pytest.approx(terms.mean(), rel=1e-12)


def test_equal_logits_diverge_by_exactly_nothing() -> None:
    assert metrics.kl_divergence(REFERENCE, REFERENCE.copy()) == 0.0
    assert metrics.kl_divergence(SINGLE, SINGLE.copy()) == 0.0


def test_certain_predictions_diverge_finitely() -> None:
    sure = float32s([[2000, 0]])
    assert metrics.kl_divergence(float32s([[0, 2000]]), sure) == 2000.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_leaves_no_divergence_error_or_sqnr(bad: float) -> None:
    logits = LOGITS.copy()
    logits[3, 4] = bad
    assert math.isnan(metrics.kl_divergence(logits, REFERENCE))
    assert math.isnan(metrics.kl_divergence(LOGITS, np.where(LOGITS == LOGITS[0, 0], bad, LOGITS)))
    assert not math.isfinite(metrics.relative_error(logits, REFERENCE))
    assert not math.isfinite(metrics.sqnr_db(logits, REFERENCE))


def test_the_relative_error_is_a_ratio_of_norms() -> None:
    exact = REFERENCE.astype(np.float64)
    expected = np.linalg.norm(LOGITS.astype(np.float64) - exact) / np.linalg.norm(exact)
    assert metrics.relative_error(LOGITS, REFERENCE) == pytest.approx(expected, rel=1e-12)


def test_sqnr_is_a_ratio_of_powers_in_decibels() -> None:
    error = LOGITS.astype(np.float64) - REFERENCE
    expected = 10 * math.log10(np.sum(REFERENCE.astype(np.float64) ** 2) / np.sum(error**2))
    assert metrics.sqnr_db(LOGITS, REFERENCE) == pytest.approx(expected, rel=1e-12)
    assert metrics.sqnr_db(REFERENCE * np.float32(1.125), REFERENCE) == pytest.approx(
        20 * math.log10(8), rel=1e-6
    )


def test_equal_logits_have_no_error_and_an_infinite_sqnr() -> None:
    assert metrics.relative_error(REFERENCE, REFERENCE) == 0.0
    assert metrics.sqnr_db(REFERENCE, REFERENCE) == math.inf
    zeros = np.zeros((2, 2), np.float32)
    assert metrics.relative_error(zeros, zeros) == 0.0


def test_auc_with_ties_is_that_of_scikit_learn() -> None:
    expected = roc_auc_score(BINARY, SINGLE[:, 0])
    assert metrics.auc(SINGLE, BINARY) == pytest.approx(expected, rel=1e-12)


def test_auc_ranks_infinities_as_numbers() -> None:
    scores = float32s([[np.inf], [-np.inf], [1], [0]])
    assert metrics.auc(scores, np.array([1, 0, 1, 0])) == 1.0


def test_a_nan_loses_every_pair_of_the_auc() -> None:
    scores = float32s([[np.nan], [2], [1], [np.nan], [0]])
    labels = np.array([1, 1, 0, 0, 0])
    # of six pairs only (2, 1) and (2, 0) are free of NaN, and both are right
    assert metrics.auc(scores, labels) == pytest.approx(2 / 6, rel=1e-12)


def test_auc_of_one_class_is_nan() -> None:
    assert math.isnan(metrics.auc(SINGLE, np.zeros(300, dtype=int)))


def test_one_class_for_all_is_a_collapse_where_labels_and_float32_have_several() -> None:
    constant = np.zeros_like(REFERENCE)
    constant[:, 5] = 1
    assert metrics.collapsed(constant, REFERENCE, LABELS)
    assert not metrics.collapsed(constant, REFERENCE, np.full(200, 5))
    assert not metrics.collapsed(constant, constant, LABELS)
    assert not metrics.collapsed(LOGITS, REFERENCE, LABELS)


def test_a_sample_of_nan_only_is_a_collapse_and_a_single_nan_is_not() -> None:
    logits = LOGITS.copy()
    logits[7, 3] = np.nan
    assert not metrics.collapsed(logits, REFERENCE, LABELS)
    logits[7] = np.nan
    assert metrics.collapsed(logits, REFERENCE, LABELS)


def test_no_metric_changes_its_arguments() -> None:
    logits, reference, labels = LOGITS.copy(), REFERENCE.copy(), LABELS.copy()
    logits[0, 0] = np.nan
    before = logits.copy()
    metrics.margins(logits)
    metrics.kl_divergence(logits, reference)
    metrics.collapsed(logits, reference, labels)
    single = SINGLE.copy()
    metrics.auc(single, BINARY)
    assert np.array_equal(logits, before, equal_nan=True)
    assert np.array_equal(reference, REFERENCE)
    assert np.array_equal(labels, LABELS)
    assert np.array_equal(single, SINGLE)
