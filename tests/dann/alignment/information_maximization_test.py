"""Tests of the term that maximises information, against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.evaluation.scores.information_maximization import mutual_information
from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.information_maximization import information_maximization

NAME = "information_maximization"
LOGITS = 2 * np.random.default_rng(0).normal(size=(5, 4))
SATURATED = [1e4 * np.eye(4)[[0, 1, 2, 3]], 1e4 * np.eye(4)[[0, 0, 0]], np.full((2, 4), -1e4)]


def evaluate(logits):
    """Returns the term's value and metrics for target logits; the source's must not matter."""
    logits = jnp.asarray(logits)
    source = Outputs(jnp.full((2, 3), jnp.nan), jnp.full((2, logits.shape[1]), jnp.nan))
    view = View(source, Outputs(jnp.zeros((len(logits), 3)), logits), {}, lambda *_: source)
    value, method_state, metrics = information_maximization(TERMS[NAME][1]).loss(
        {}, {}, view, key=jax.random.key(0), progress=jnp.float32(0), hparams={}
    )
    assert method_state == {}
    return value, metrics


def slope(logits):
    both = jax.jit(jax.value_and_grad(lambda own: evaluate(own), has_aux=True))
    (value, _), gradient = both(jnp.asarray(logits))
    return float(value), np.asarray(gradient)


def by_hand(logits):
    """Mean entropy, entropy of the mean, and the gradient of their difference."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    mean = sum(p) / len(p)
    entropies = [-sum(share * np.log(share) for share in row) for row in p]
    gradient = np.zeros_like(logits)
    for place, row in enumerate(p):
        sure = -row * (np.log(row) + entropies[place])
        diverse = row * (np.log(mean) - sum(row * np.log(mean)))
        gradient[place] = (sure + diverse) / len(p)
    return sum(entropies) / len(p), -sum(mean * np.log(mean)), gradient


def test_value_and_gradient_are_those_of_the_derivation():
    unsure, diverse, expected = by_hand(LOGITS)
    with jax.enable_x64(True):
        value, gradient = slope(LOGITS)
        metrics = evaluate(LOGITS)[1]
        assert value == pytest.approx(unsure - diverse, rel=1e-9)
        assert float(metrics["entropy"]) == pytest.approx(unsure, rel=1e-9)
        assert float(metrics["diversity"]) == pytest.approx(diverse, rel=1e-9)
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


def test_the_loss_is_minus_the_score_of_the_same_name():
    score = float(mutual_information(jnp.asarray(LOGITS, jnp.float32)))
    assert score > 0.1
    assert float(evaluate(LOGITS)[0]) == pytest.approx(-score, rel=1e-5)


def test_sure_predictions_of_every_class_are_best_and_collapse_earns_nothing():
    assert float(evaluate(50 * np.eye(4))[0]) == pytest.approx(-np.log(4), rel=1e-5)
    for collapsed in (50 * np.eye(4)[[0, 0, 0, 0]], np.zeros((4, 4)), np.ones((3, 4))):
        assert float(evaluate(collapsed)[0]) == pytest.approx(0, abs=1e-6)


def test_it_does_not_reward_collapse():
    # Every example leans to class 0 a little. The entropy alone would lean further.
    _, gradient = slope(jnp.asarray([[0.1, 0.0]] * 3))
    np.testing.assert_allclose(gradient, 0, atol=1e-7)
    # Where one example leans more than another, a step downhill takes both apart.
    _, gradient = slope(jnp.asarray([[1.0, 0.0], [0.1, 0.0]]))
    assert gradient[0, 0] < -1e-3 and gradient[1, 0] > 1e-3


@pytest.mark.parametrize("logits", SATURATED)
def test_saturated_logits_give_finite_gradients(logits):
    value, gradient = slope(np.asarray(logits, np.float32))
    assert np.isfinite(gradient).all() and np.isfinite(value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": float("nan")}, f"config.alignment.{NAME}.weight is nan; it must be a finite"),
        ({"wieght": 1.0}, f"config.alignment.{NAME}.wieght is unknown; did you mean 'weight'?"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        information_maximization({**TERMS[NAME][1], **changes})
