"""Tests of entropy minimisation against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.entropy import entropy

LOGITS = 2 * np.random.default_rng(0).normal(size=(5, 4))
SATURATED = [1e4 * np.eye(4)[[0, 1, 2, 3]], 1e4 * np.eye(4)[[0, 0, 0]], np.full((2, 4), -1e4)]


def evaluate(logits):
    """Returns the term's value for target logits; the source's must not matter."""
    logits = jnp.asarray(logits)
    source = Outputs(jnp.full((2, 3), jnp.nan), jnp.full((2, logits.shape[1]), jnp.nan))
    view = View(source, Outputs(jnp.zeros((len(logits), 3)), logits), {}, lambda *_: source)
    value, method_state, metrics = entropy(TERMS["entropy"][1]).loss(
        {}, {}, view, key=jax.random.key(0), progress=jnp.float32(0), hparams={}
    )
    assert (method_state, metrics) == ({}, {})
    return value


def by_hand(logits):
    """The value, and its gradient `-p_k (log p_k + H(p)) / B`, example by example."""
    value, gradient = 0.0, np.zeros_like(logits)
    for place, row in enumerate(logits):
        p = np.exp(row) / np.exp(row).sum()
        own = -sum(share * np.log(share) for share in p)
        value += own / len(logits)
        gradient[place] = -p * (np.log(p) + own) / len(logits)
    return value, gradient


def test_value_and_gradient_are_those_of_the_derivation():
    with jax.enable_x64(True):
        value, gradient = jax.value_and_grad(lambda own: evaluate(own))(jnp.asarray(LOGITS))
    expected = by_hand(LOGITS)
    assert float(value) == pytest.approx(expected[0], rel=1e-9)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-12)


def test_even_predictions_cost_most_and_one_class_for_all_as_little_as_the_right_ones():
    assert float(evaluate(np.zeros((3, 4)))) == pytest.approx(np.log(4))
    for classes in ([0, 1, 2, 3], [0, 0, 0, 0]):
        assert float(evaluate(50 * np.eye(4)[classes])) == pytest.approx(0, abs=1e-6)


def test_it_rewards_collapse():
    # Every example leans to class 0 a little: a step downhill leans further.
    gradient = jax.grad(lambda own: evaluate(own))(jnp.asarray([[0.1, 0.0]] * 3))
    assert np.all(np.asarray(gradient)[:, 0] < -1e-3)


@pytest.mark.parametrize("logits", SATURATED)
def test_saturated_logits_give_finite_gradients(logits):
    own = jnp.asarray(logits, jnp.float32)
    value, gradient = jax.value_and_grad(lambda own: evaluate(own))(own)
    assert np.isfinite(np.asarray(gradient)).all() and np.isfinite(float(value))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": -1.0}, "config.alignment.entropy.weight is -1.0; it must be a finite number"),
        ({"temperature": 1.0}, "config.alignment.entropy.temperature is unknown; legal are weight"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        entropy({**TERMS["entropy"][1], **changes})
