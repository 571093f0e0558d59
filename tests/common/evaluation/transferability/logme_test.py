"""LogME against the evidence itself, maximised over both precisions, and the paper's iteration."""

import numpy as np
import pytest
from scipy.optimize import minimize

from common.evaluation.transferability.logme import logme


def draw(count, width, classes=3, gap=1.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    labels[:classes] = np.arange(classes)
    centres = gap * generator.normal(size=(classes, width))
    return (centres[labels] + generator.normal(size=(count, width))).astype(np.float32), labels


def evidence(features, target, alpha, beta):
    """The logarithm of the density of N(0, I / beta + F F^T / alpha): weights integrated out."""
    count = len(target)
    covariance = np.eye(count) / beta + features @ features.T / alpha
    _, log_determinant = np.linalg.slogdet(covariance)
    square = target @ np.linalg.solve(covariance, target)
    return -0.5 * (count * np.log(2 * np.pi) + log_determinant + square)


def maximised(features, labels):
    features = features.astype(np.float64)
    found = []
    for own in np.unique(labels):
        target = (labels == own).astype(np.float64)
        best = min(
            minimize(
                lambda logs, y=target: -evidence(features, y, *np.exp(logs)),
                start,
                method="Nelder-Mead",
                options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000},
            ).fun
            for start in ((0.0, 0.0), (3.0, 2.0))
        )
        found.append(-best / len(labels))
    return np.mean(found)


def iterated(features, labels):
    """Algorithm 1 of the paper, with its equation 2 as it stands."""
    features = features.astype(np.float64)
    count, width = features.shape
    squares = np.linalg.eigvalsh(features.T @ features)
    found = []
    for own in np.unique(labels):
        target, alpha, beta = (labels == own).astype(np.float64), 1.0, 1.0
        for _ in range(200):
            inner = alpha * np.eye(width) + beta * features.T @ features
            mean = beta * np.linalg.solve(inner, features.T @ target)
            gamma = (beta * squares / (alpha + beta * squares)).sum()
            error = ((features @ mean - target) ** 2).sum()
            alpha, beta = gamma / (mean @ mean), (count - gamma) / error
        inner = alpha * np.eye(width) + beta * features.T @ features
        mean = beta * np.linalg.solve(inner, features.T @ target)
        error = ((features @ mean - target) ** 2).sum()
        found.append(
            (count * np.log(beta) + width * np.log(alpha) - count * np.log(2 * np.pi)) / 2
            - beta / 2 * error
            - alpha / 2 * mean @ mean
            - np.linalg.slogdet(inner)[1] / 2
        )
    return np.mean(found) / count


@pytest.mark.parametrize(("count", "width", "gap"), [(40, 5, 1.0), (25, 6, 0.4), (12, 20, 1.0)])
def test_it_is_the_largest_evidence(count, width, gap):
    features, labels = draw(count, width, gap=gap)
    assert logme(features, labels) == pytest.approx(maximised(features, labels), abs=1e-5)


def test_the_paper_iterates_to_the_same_number():
    features, labels = draw(60, 5)
    assert logme(features, labels) == pytest.approx(iterated(features, labels), abs=1e-6)


def test_it_knows_no_scale_and_no_rotation_of_the_features():
    features, labels = draw(50, 6)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    value = logme(features, labels)
    assert logme(1000 * features, labels) == pytest.approx(value, abs=1e-6)
    assert logme((features @ turn).astype(np.float32), labels) == pytest.approx(value, abs=1e-5)


def test_separable_classes_score_higher_and_shuffled_labels_lower():
    scores = [logme(*draw(200, 8, gap=gap)) for gap in (0.0, 0.5, 2.0)]
    assert scores == sorted(scores) and scores[2] > scores[0] + 0.1
    features, labels = draw(200, 8, gap=2.0)
    shuffled = np.random.default_rng(2).permutation(labels)
    assert logme(features, shuffled) < scores[2] - 0.3


@pytest.mark.parametrize("width", [3, 30])
def test_features_that_say_all_or_nothing_have_a_finite_score(width):
    labels = np.arange(20) % 2
    perfect = np.zeros((20, width), np.float32)
    perfect[np.arange(20), labels] = 1
    nothing = np.zeros((20, width), np.float32)
    assert np.isfinite(logme(nothing, labels))
    assert logme(nothing, labels) < logme(perfect, labels) < np.inf
