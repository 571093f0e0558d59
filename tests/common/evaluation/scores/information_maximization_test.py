"""Tests of the information maximization score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from common.evaluation.scores.information_maximization import mutual_information

jitted = jax.jit(mutual_information)


def score(logits):
    return float(jitted(jnp.asarray(logits, jnp.float32)))


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_it_is_the_entropy_of_the_mean_less_the_mean_entropy(scale):
    logits = scale * np.random.default_rng(0).normal(0.5, 1, (40, 6))
    probabilities = softmax(logits, axis=1)
    expected = entropy(probabilities.mean(0)) - entropy(probabilities, axis=1).mean()
    assert score(logits) == pytest.approx(expected, rel=1e-4)


def test_a_collapsed_network_scores_zero():
    """However confident it is: the mean entropy alone would rank it first."""
    for constant in ([0.0, 0.0, 0.0], [3.0, 1.0, 0.0], [100.0, 0.0, 0.0]):
        assert score([constant] * 8) == pytest.approx(0, abs=1e-6)


def test_confident_and_balanced_predictions_score_the_logarithm_of_the_classes():
    assert score(np.tile(100 * np.eye(4), (3, 1))) == pytest.approx(np.log(4))
    assert score(np.tile(100 * np.eye(4)[:2], (3, 1))) == pytest.approx(np.log(2))


def test_extreme_logits_give_a_finite_score():
    assert score(1e4 * np.eye(3)) == pytest.approx(np.log(3))
    assert score(1e4 - 2e4 * np.eye(3)) == pytest.approx(np.log(3) - np.log(2))
    assert score([[1e4, -1e4, -1e4]] * 5) == pytest.approx(0, abs=1e-6)
