"""The H-score against canonical correlations, and its shrunk form against the formula."""

import numpy as np
import pytest

from common.evaluation.transferability.h_score import h_score, shrunk_h_score
from tests.common.evaluation.transferability.logme_test import draw


def canonical(features, labels):
    """The sum of squared canonical correlations of features and classes, by QR and SVD."""
    hot = (labels[:, None] == np.unique(labels)[None]).astype(np.float64)
    bases = [
        np.linalg.qr(own - own.mean(axis=0, keepdims=True))[0]
        # One column of classes follows from the others.
        for own in (features.astype(np.float64), hot[:, 1:])
    ]
    return (np.linalg.svd(bases[0].T @ bases[1], compute_uv=False) ** 2).sum()


@pytest.mark.parametrize("gap", [0.0, 1.0, 3.0])
def test_it_is_the_sum_of_squared_canonical_correlations(gap):
    features, labels = draw(60, 5, classes=4, gap=gap)
    assert h_score(features, labels) == pytest.approx(canonical(features, labels), abs=1e-6)


def test_no_linear_map_changes_it():
    features, labels = draw(60, 5)
    mixed = features @ np.random.default_rng(3).normal(size=(5, 5)) + 7
    value = h_score(features, labels)
    assert h_score(mixed.astype(np.float32), labels) == pytest.approx(value, rel=1e-4)


def test_it_ends_at_the_number_of_classes_less_one_and_ignores_repeated_features():
    labels = np.arange(30) % 3
    perfect = np.eye(3, dtype=np.float32)[labels]
    assert h_score(perfect, labels) == pytest.approx(2, abs=1e-9)
    features, labels = draw(60, 5)
    twice = np.concatenate([features, features], axis=1)
    assert h_score(twice, labels) == pytest.approx(h_score(features, labels), abs=1e-6)


def test_the_shrunk_form_follows_its_formula():
    features, labels = draw(30, 8)
    centred = features.astype(np.float64) - features.astype(np.float64).mean(0, keepdims=True)
    count, width = centred.shape
    covariance = centred.T @ centred / count
    scale = np.trace(covariance) / width
    # Ledoit and Wolf (2004), lemma 3.2 to 3.4: shares of the distance from s I.
    spread = ((covariance - scale * np.eye(width)) ** 2).sum()
    noise = sum(((np.outer(row, row) - covariance) ** 2).sum() for row in centred) / count**2
    alpha = min(noise, spread) / spread
    assert 0.05 < alpha < 0.95
    shrunk = (1 - alpha) * covariance + alpha * scale * np.eye(width)
    means = np.stack([centred[labels == own].mean(0) for own in labels])
    expected = (1 - alpha) * np.trace(np.linalg.solve(shrunk, means.T @ means / count))
    assert shrunk_h_score(features, labels) == pytest.approx(expected, rel=1e-6)


def test_shrinkage_helps_where_features_outnumber_examples():
    features, labels = draw(20, 100, gap=0.0)
    # Negative control: noise explains all labels of as many examples.
    assert h_score(features, labels) == pytest.approx(2, abs=1e-6)
    assert shrunk_h_score(features, labels) < 1
