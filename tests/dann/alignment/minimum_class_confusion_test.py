"""Tests of minimum class confusion against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.minimum_class_confusion import minimum_class_confusion

LOGITS = 3 * np.random.default_rng(0).normal(size=(7, 4))
TEMPERATURE = 2.5


def evaluate(logits, temperature=TEMPERATURE):
    """Returns the term's value for target logits; the source's must not matter."""
    term = minimum_class_confusion(TERMS["mcc"][1])
    logits = jnp.asarray(logits)
    source = Outputs(jnp.full((2, 3), jnp.nan), jnp.full((2, logits.shape[1]), jnp.nan))
    view = View(source, Outputs(jnp.zeros((len(logits), 3)), logits), {}, lambda *_: source)
    hparams = {"temperature": jnp.asarray(temperature, logits.dtype)}
    value, method_state, metrics = term.loss(
        {}, {}, view, key=jax.random.key(0), progress=jnp.float32(0), hparams=hparams
    )
    assert (method_state, metrics) == ({}, {})
    return value


def by_hand(logits, weights=None, temperature=TEMPERATURE):
    """Example by example and class by class; `weights` keeps those of other logits."""
    q = np.exp(logits / temperature)
    q = q / q.sum(1, keepdims=True)
    if weights is None:
        entropy = -(q * np.log(q)).sum(1)
        weights = len(q) * (1 + np.exp(-entropy)) / (1 + np.exp(-entropy)).sum()
    classes = q.shape[1]
    confusion = np.zeros((classes, classes))
    for weight, row in zip(weights, q, strict=True):
        for one in range(classes):
            for other in range(classes):
                confusion[one, other] += weight * row[one] * row[other]
    total = 0.0
    for one in range(classes):
        for other in range(classes):
            total += confusion[one, other] / confusion[one].sum() * (one != other)
    return total / classes, weights


def test_the_value_is_that_of_the_derivation():
    with jax.enable_x64(True):
        assert float(evaluate(LOGITS)) == pytest.approx(by_hand(LOGITS)[0], rel=1e-9)
        other = by_hand(LOGITS, temperature=1.0)[0]
        assert float(evaluate(LOGITS, 1.0)) == pytest.approx(other, rel=1e-9)
        assert abs(other - by_hand(LOGITS)[0]) > 0.01


def test_the_gradient_leaves_the_certainty_alone():
    _, weights = by_hand(LOGITS)
    expected, through = np.zeros_like(LOGITS), np.zeros_like(LOGITS)
    for place in np.ndindex(LOGITS.shape):
        step = np.zeros_like(LOGITS)
        step[place] = 1e-5
        ends = [by_hand(LOGITS + sign * step, weights)[0] for sign in (1, -1)]
        expected[place] = (ends[0] - ends[1]) / 2e-5
        ends = [by_hand(LOGITS + sign * step)[0] for sign in (1, -1)]
        through[place] = (ends[0] - ends[1]) / 2e-5
    with jax.enable_x64(True):
        found = np.asarray(jax.grad(lambda logits: evaluate(logits))(jnp.asarray(LOGITS)))
    np.testing.assert_allclose(found, expected, atol=1e-8)
    assert np.abs(through - expected).max() > 1e-4


def test_certain_predictions_of_every_class_are_unconfused_and_even_ones_most_confused():
    certain = 1000 * np.eye(4)[[0, 1, 2, 3, 0]]
    assert float(evaluate(certain)) == pytest.approx(0, abs=1e-6)
    assert float(evaluate(np.zeros((5, 4)))) == pytest.approx(3 / 4)
    # A class that nothing is taken for is confused with the one that everything is taken for.
    assert float(evaluate(30 * np.eye(4)[[0, 0, 0]])) == pytest.approx(3 / 4, abs=1e-4)


def test_large_logits_give_finite_gradients():
    for classes in ([0, 1, 2, 3, 0], [0, 0, 0]):
        logits = jnp.asarray(1e4 * np.eye(4)[classes], jnp.float32)
        value, gradient = jax.value_and_grad(lambda own: evaluate(own))(logits)
        assert np.isfinite(np.asarray(gradient)).all() and np.isfinite(float(value))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0; it must be positive"),
        ({"temperature": -1.0}, "config.alignment.minimum_class_confusion.temperature is -1.0"),
        ({"wieght": 1.0}, "did you mean 'weight'?"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        minimum_class_confusion({**TERMS["mcc"][1], **changes})
