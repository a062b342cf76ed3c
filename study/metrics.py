"""Metrics of one cell: what a policy's logits say beside the labels and beside float32's logits.

Logits are (n, classes) for classification; (n, 1) for a single logit z, with z > 0 as the
prediction 1 (detection). A sample with a NaN among its logits predicts nothing: its prediction is
-1, which is wrong and which is a flip. All arithmetic is float64.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Logits = NDArray[np.float32] | NDArray[np.float64]
Classes = NDArray[np.integer]

NO_PREDICTION = -1


def predict(logits: Logits) -> NDArray[np.int32]:
    """The predicted class of each sample, (n,): the first largest logit, or z > 0 of a single one.

    -1 where a logit of the sample is NaN. Infinite logits are compared as numbers.
    """
    single = logits.shape[1] == 1
    predictions = (logits[:, 0] > 0) if single else logits.argmax(axis=1)
    return np.where(np.isnan(logits).any(axis=1), NO_PREDICTION, predictions).astype(np.int32)


def margins(logits: Logits) -> NDArray[np.float32]:
    """How far the prediction lies from the next class, (n,) in logits: largest minus second, |z|.

    Higher is surer. NaN where a logit of the sample is NaN or both logits are the same infinity.
    """
    if logits.shape[1] == 1:
        return np.abs(logits[:, 0]).astype(np.float32)
    ordered = np.sort(logits.astype(np.float64), axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        margin = ordered[:, -1] - ordered[:, -2]
        margin[np.isnan(logits).any(axis=1)] = np.nan
        return margin.astype(np.float32)


def accuracy(predictions: Classes, labels: Classes) -> float:
    """Share of the samples whose prediction is the label; 0 to 1, higher is better."""
    return float(np.mean(predictions == labels))


def accuracy_interval(predictions: Classes, labels: Classes) -> tuple[float, float]:
    """Wilson's 95 % interval of the accuracy, as two shares.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), 209-212.
    """
    right = int(np.sum(predictions == labels))
    interval = stats.binomtest(right, len(labels)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def flips(predictions: Classes, reference: Classes) -> float:
    """Share of the samples predicted otherwise than in float32; 0 to 1, lower is better.

    A sample without a prediction is a flip, even where float32 has none either.
    """
    return float(np.mean((predictions != reference) | (predictions == NO_PREDICTION)))


def flips_p(predictions: Classes, reference: Classes, labels: Classes) -> float:
    """Exact McNemar p value of "as many samples turn right as turn wrong"; 0 to 1, low is a change.

    1 when no sample changed sides. A flip from one wrong class to another does not count.
    Source: Q. McNemar, Psychometrika 12 (1947), 153-157; the binomial test on discordant pairs.
    """
    right, was_right = predictions == labels, reference == labels
    lost, gained = int(np.sum(was_right & ~right)), int(np.sum(right & ~was_right))
    if lost + gained == 0:
        return 1.0
    return float(stats.binomtest(lost, lost + gained, 0.5).pvalue)


def kl_divergence(logits: Logits, reference: Logits) -> float:
    """Kullback-Leibler divergence of the policy's distribution from float32's, mean over samples.

    In nats, sum of p_float32 * log(p_float32 / p_policy); 0 for equal logits, lower is better.
    Softmax over the classes, or Bernoulli(sigmoid z) for a single logit. NaN when a logit is not
    finite.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        log_p, log_q = _log_probabilities(reference), _log_probabilities(logits)
        divergence = np.sum(np.exp(log_p) * (log_p - log_q), axis=1)
        # Only rounding can bring the sum below zero.
        return float(np.mean(np.maximum(divergence, 0.0)))


def _log_probabilities(logits: Logits) -> NDArray[np.float64]:
    z = logits.astype(np.float64)
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], axis=1)
    if not np.isfinite(z).all():
        z = np.where(np.isfinite(z).all(axis=1, keepdims=True), z, np.nan)
    return np.asarray(special.log_softmax(z, axis=1))


def relative_error(logits: Logits, reference: Logits) -> float:
    """Norm of the logits' error over the norm of float32's logits, all samples together.

    0 is exact, lower is better. NaN or infinity when a logit is not finite.
    """
    with np.errstate(all="ignore"):
        z, exact = logits.astype(np.float64), reference.astype(np.float64)
        error = np.sqrt(np.sum((z - exact) ** 2))
        return float(error / np.sqrt(np.sum(exact**2))) if error != 0.0 else 0.0


def sqnr_db(logits: Logits, reference: Logits) -> float:
    """Signal to quantization-noise ratio in decibels, 10 log10(float32's power / error's power).

    Higher is better; infinity when nothing differs; NaN or -infinity when a logit is not finite.
    """
    with np.errstate(all="ignore"):
        return float(-20.0 * np.log10(np.float64(relative_error(logits, reference))))


def auc(logits: Logits, labels: Classes) -> float:
    """Area under the ROC curve of a single logit: the share of (1, 0) pairs ranked rightly.

    0 to 1, higher is better; ties count half. A NaN loses every pair that it is in. NaN when the
    labels hold one class only.
    Source: Mann and Whitney's U over the number of pairs (Hanley and McNeil, Radiology 143 (1982)).
    """
    score, positive = logits[:, 0].astype(np.float64), labels == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    lost = np.isnan(score)
    # Ranks, not values: the finite and infinite scores keep their order between the two ends.
    rank = stats.rankdata(np.where(lost, 0.0, score))
    rank[lost & positive] = -np.inf
    rank[lost & ~positive] = np.inf
    u = stats.rankdata(rank)[positive].sum() - positives * (positives + 1) / 2
    return float(u / (positives * negatives))


def collapsed(logits: Logits, reference: Logits, labels: Classes) -> bool:
    """Whether the model no longer tells samples apart; false is better.

    True when a sample's logits are all NaN, or when all predictions are one class although the
    labels, and float32's predictions, are of several.
    """
    if np.isnan(logits).all(axis=1).any():
        return True
    one_class = len(np.unique(predict(logits))) == 1
    return bool(one_class and len(np.unique(labels)) > 1 and len(np.unique(predict(reference))) > 1)
