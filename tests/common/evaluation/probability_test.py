"""Tests of the metrics of probabilities against scikit-learn, and of calibration by hand."""

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics

from common.evaluation.probability import (
    average_precision,
    brier_score,
    calibration_error,
    class_probability_metrics,
    roc_auc,
)

EXAMPLES, LABELS = 9, 3
WHOLE: Any = {"scale_by_half": False}
TRUTH = hnp.arrays(bool, (EXAMPLES, LABELS))
# Few values, so that most scores have ties.
SCORES = hnp.arrays(np.float64, (EXAMPLES, LABELS), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
NUMBERS = hnp.arrays(np.int32, EXAMPLES, elements=st.integers(0, LABELS - 1))
LOGITS = hnp.arrays(
    np.float32, (EXAMPLES, LABELS), elements=st.sampled_from([-3.0, -0.5, 0.0, 0.5, 3.0])
)


def brute_auc(truth, scores):
    """Compares every example that has the label with every one that lacks it."""
    pairs = np.sign(scores[truth][:, None] - scores[~truth][None])
    return float(np.mean((pairs + 1) / 2))


@settings(max_examples=40, deadline=None)
@given(truth=TRUTH, scores=SCORES)
def test_rankings_equal_scikit_learn_and_counting_with_ties(truth, scores):
    some, all_but = truth.any(0), truth.any(0) & ~truth.all(0)
    if some.all():
        assert average_precision(truth, scores) == pytest.approx(
            metrics.average_precision_score(truth, scores, average="macro")
        )
    if all_but.any():
        expected = [brute_auc(truth[:, k], scores[:, k]) for k in np.flatnonzero(all_but)]
        assert roc_auc(truth, scores) == pytest.approx(np.mean(expected))
        if all_but.all():
            assert roc_auc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores))
    else:
        assert np.isnan(roc_auc(truth, scores))


def test_labels_that_say_nothing_are_left_out():
    truth = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 0], [0, 1, 0]], bool)
    scores = np.array([[0.9, 0.1, 0.5], [0.3, 0.2, 0.5], [0.2, 0.3, 0.5], [0.1, 0.4, 0.5]])
    first = metrics.average_precision_score(truth[:, 0], scores[:, 0])
    assert average_precision(truth, scores) == pytest.approx((first + 1) / 2)
    assert roc_auc(truth, scores) == metrics.roc_auc_score(truth[:, 0], scores[:, 0])
    assert np.isnan(average_precision(truth[:, 2:], scores[:, 2:]))
    assert np.isnan(roc_auc(truth[:, 1:], scores[:, 1:]))


@settings(max_examples=40, deadline=None)
@given(labels=NUMBERS, logits=LOGITS)
def test_metrics_of_classes_equal_those_of_scikit_learn(labels, logits):
    derived = class_probability_metrics(logits, labels)
    probabilities = softmax(logits.astype(np.float64), axis=1)
    if len(np.unique(labels)) == LABELS:
        assert derived["roc_auc"] == pytest.approx(
            metrics.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
        )
        assert derived["average_precision"] == pytest.approx(
            metrics.average_precision_score(np.eye(LABELS)[labels], probabilities, average="macro")
        )
    assert derived["brier_score"] == pytest.approx(
        metrics.brier_score_loss(labels, probabilities, labels=range(LABELS), **WHOLE)
    )
    assert 0 <= derived["calibration_error"] <= 1


def test_the_calibration_error_by_hand():
    # An edge belongs to the bin below it: of four bins the first holds 0.25 and 0.2, the third
    # 0.75, the fourth 1.0.
    confidence, correct = np.array([0.25, 0.2, 0.75, 1.0]), np.array([1, 0, 0, 1], bool)
    assert calibration_error(confidence, correct, 1) == pytest.approx((2.2 - 2) / 4)
    assert calibration_error(confidence, correct, 2) == pytest.approx((0.55 + 0.75) / 4)
    assert calibration_error(confidence, correct, 4) == pytest.approx((0.55 + 0.75 + 0) / 4)


@settings(max_examples=40, deadline=None)
@given(
    confidence=hnp.arrays(np.float64, 12, elements=st.sampled_from([0.0, 0.2, 0.3, 0.6, 1.0])),
    correct=hnp.arrays(bool, 12),
    num_bins=st.sampled_from([1, 5, 15]),
)
def test_the_calibration_error_equals_the_sum_over_bins(confidence, correct, num_bins):
    total = 0.0
    for m in range(1, num_bins + 1):
        low, high = (m - 1) / num_bins, m / num_bins
        inside = (confidence > low) & (confidence <= high) | ((m == 1) & (confidence == 0))
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert calibration_error(confidence, correct, num_bins) == pytest.approx(total)


def test_sure_and_right_predictions_are_perfect():
    labels = np.array([0, 1, 2, 1])
    logits = (200 * np.eye(3)[labels]).astype(np.float32)
    assert class_probability_metrics(logits, labels) == {
        "average_precision": 1.0,
        "roc_auc": 1.0,
        "calibration_error": pytest.approx(0, abs=1e-12),
        "brier_score": pytest.approx(0, abs=1e-12),
    }
    wrong = np.eye(3)[(labels + 1) % 3]
    assert brier_score(labels[:, None] == np.arange(3)[None], wrong) == 2.0
