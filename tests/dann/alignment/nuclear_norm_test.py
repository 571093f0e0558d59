"""Tests of batch nuclear-norm maximisation against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.nuclear_norm import nuclear_norm

DRAW = np.random.default_rng(0)
# More examples than classes, and fewer.
BATCHES = [2 * DRAW.normal(size=(6, 3)), 2 * DRAW.normal(size=(3, 5))]
SATURATED = [1e4 * np.eye(4)[[0, 1, 2, 3, 0]], 1e4 * np.eye(4)[[0, 0, 0]], np.zeros((5, 4))]


def evaluate(logits):
    """Returns the term's value for target logits; the source's must not matter."""
    logits = jnp.asarray(logits)
    source = Outputs(jnp.full((2, 3), jnp.nan), jnp.full((2, logits.shape[1]), jnp.nan))
    view = View(source, Outputs(jnp.zeros((len(logits), 3)), logits), {}, lambda *_: source)
    value, method_state, metrics = nuclear_norm(TERMS["nuclear_norm"][1]).loss(
        {}, {}, view, key=jax.random.key(0), progress=jnp.float32(0), hparams={}
    )
    assert (method_state, metrics) == ({}, {})
    return value


def slope(logits):
    value, gradient = jax.jit(jax.value_and_grad(lambda own: evaluate(own)))(jnp.asarray(logits))
    return float(value), np.asarray(gradient)


def by_hand(logits):
    """The roots of the eigenvalues of `P^T P`, or of `P P^T`, summed; no decomposition of P."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    product = p.T @ p if len(p) > p.shape[1] else p @ p.T
    return -sum(np.sqrt(own) for own in np.linalg.eigvalsh(product)) / len(p)


@pytest.mark.parametrize("logits", BATCHES)
def test_value_and_gradient_are_those_of_the_derivation(logits):
    expected = np.zeros_like(logits)
    for place in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[place] = 1e-5
        expected[place] = (by_hand(logits + step) - by_hand(logits - step)) / 2e-5
    with jax.enable_x64(True):
        value, gradient = slope(logits)
    assert value == pytest.approx(by_hand(logits), rel=1e-9)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)
    # A value in single precision too.
    assert slope(logits.astype(np.float32))[0] == pytest.approx(value, rel=1e-5)


def test_it_is_neither_the_frobenius_norm_nor_the_mean_of_the_singular_values():
    logits = BATCHES[0]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    value = slope(logits.astype(np.float32))[0]
    assert abs(value + np.linalg.norm(p) / len(p)) > 0.05
    assert value == pytest.approx(-np.linalg.svd(p)[1].mean() * p.shape[1] / len(p), rel=1e-5)


def test_sure_predictions_of_every_class_are_best_and_collapse_is_not():
    best = slope(50 * np.eye(3)[[0, 1, 2, 0, 1, 2]])[0]
    collapsed = slope(50 * np.eye(3)[[0] * 6])[0]
    even = slope(np.zeros((6, 3)))[0]
    assert best == pytest.approx(-np.sqrt(3 / 6), rel=1e-5)
    assert collapsed == pytest.approx(-1 / np.sqrt(6), rel=1e-5)
    assert even == pytest.approx(-1 / np.sqrt(3 * 6), rel=1e-5)


@pytest.mark.parametrize("logits", SATURATED)
def test_saturated_logits_give_finite_gradients(logits):
    value, gradient = slope(np.asarray(logits, np.float32))
    assert np.isfinite(gradient).all() and np.isfinite(value)


def test_equal_examples_have_equal_gradients():
    # The matrix has rank one: a decomposition's other directions are rounding errors.
    _, gradient = slope(np.tile(np.asarray([1.0, 0.0, -1.0], np.float32), (6, 1)))
    assert np.abs(gradient).max() > 1e-3
    np.testing.assert_allclose(gradient, np.tile(gradient[:1], (6, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": "1"}, "config.alignment.nuclear_norm.weight is '1'; it must be a finite"),
        ({"rank": 1}, "config.alignment.nuclear_norm.rank is unknown; legal are weight"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        nuclear_norm({**TERMS["nuclear_norm"][1], **changes})
