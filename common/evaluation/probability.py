"""Metrics of predicted probabilities: how they rank examples, and how far they can be believed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

# Bins of the calibration error, as in the paper's tables.
NUM_BINS = 15


def average_precision(
    truth: Bool[np.ndarray, "example label"], scores: Float[np.ndarray, "example label"]
) -> float:
    """Averages the average precision of each label: `sum_n (R_n - R_{n-1}) P_n`, a step a score.

    Args:
        truth: Which labels an example has; of classes, one against the rest.
        scores: Larger where a label is likelier. Equal scores make one step together.

    Returns:
        The mean over the labels that some example has, NaN without any. Without interpolation, as
        in scikit-learn.
    """
    from sklearn.metrics import average_precision_score

    return _mean_over(average_precision_score, truth, scores, np.asarray(truth.any(axis=0)))


def roc_auc(
    truth: Bool[np.ndarray, "example label"], scores: Float[np.ndarray, "example label"]
) -> float:
    """Averages over labels how often an example with it scores above one without; ties count half.

    Args:
        truth: Which labels an example has; of classes, one against the rest.
        scores: Larger where a label is likelier.

    Returns:
        The mean area under the receiver operating characteristic of the labels that some examples
        have and others lack, NaN without any.
    """
    from sklearn.metrics import roc_auc_score

    return _mean_over(
        roc_auc_score, truth, scores, np.asarray(truth.any(axis=0) & ~truth.all(axis=0))
    )


def _mean_over(
    metric: Callable[..., float],
    truth: Bool[np.ndarray, "example label"],
    scores: Float[np.ndarray, "example label"],
    defined: Bool[np.ndarray, "label"],
) -> float:
    columns = np.flatnonzero(defined)
    if not len(columns):
        return float("nan")
    return float(np.mean([metric(truth[:, column], scores[:, column]) for column in columns]))


def calibration_error(
    confidence: Float[np.ndarray, "prediction"],
    correct: Bool[np.ndarray, "prediction"],
    num_bins: int = NUM_BINS,
) -> float:
    """Computes the expected calibration error with bins of equal width.

    Of n predictions, B_m those whose confidence lies in ((m - 1) / M, m / M]:

        ECE = sum_m |B_m| / n * | mean of correct over B_m - mean of confidence over B_m |

    Args:
        confidence: Probability that the predictor gives to each of its predictions.
        correct: Whether the prediction was right.
        num_bins: M. A confidence of 0 counts to the first bin.

    Returns:
        A share between 0 and 1; it depends on M, and is biased upwards where bins hold few.

    References:
        Guo et al., On Calibration of Modern Neural Networks, ICML (2017), equations 2 to 5; M is 15
        in its tables. scikit-learn has no such metric.
    """
    edges = np.arange(1, num_bins) / num_bins
    bins = np.searchsorted(edges, confidence, side="left")
    gaps = np.bincount(bins, weights=correct - confidence, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(confidence))


def brier_score(
    truth: Bool[np.ndarray, "example class"], probabilities: Float[np.ndarray, "example class"]
) -> float:
    """Averages the squared distance between predicted and true probabilities.

    Args:
        truth: The class of each example, one true entry a row.
        probabilities: Rows that sum to 1.

    Returns:
        The mean over examples of the sum over classes, from 0 to 2: the original form, which is
        scikit-learn's with `scale_by_half=False`.

    References:
        Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review
        78 (1950).
    """
    return float(np.mean(np.sum((probabilities - truth) ** 2, axis=1)))


def class_probability_metrics(
    logits: Float[np.ndarray, "example class"], labels: Int[np.ndarray, "example"]
) -> dict[str, float]:
    """Computes what the probabilities of classes say beyond the largest of them.

    Args:
        logits: Unnormalised log-probabilities, finite.
        labels: True classes, at least one.

    Returns:
        `average_precision` and `roc_auc`, of each class against the rest and averaged;
        `calibration_error` of the largest probability; `brier_score`.
    """
    from scipy.special import softmax

    # In double precision fewer probabilities of sure predictions are rounded to the same number.
    probabilities = softmax(logits.astype(np.float64), axis=1)
    truth = labels[:, None] == np.arange(logits.shape[1])[None]
    return {
        "average_precision": average_precision(truth, probabilities),
        "roc_auc": roc_auc(truth, probabilities),
        "calibration_error": calibration_error(
            probabilities.max(axis=1), logits.argmax(axis=1) == labels
        ),
        "brier_score": brier_score(truth, probabilities),
    }
