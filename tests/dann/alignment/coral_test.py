"""Tests of Deep CORAL against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.coral import coral

DRAW = np.random.default_rng(0)
# The domains differ in size, mean and spread.
SOURCE, TARGET = DRAW.normal(size=(6, 3)), 2 * DRAW.normal(size=(4, 3)) + 1


def evaluate(source, target, on="logits"):
    """Returns the term's value on one layer; the other one must not matter."""

    def outputs(values):
        values = jnp.asarray(values)
        other = jnp.full((len(values), 2), jnp.nan)
        return Outputs(other, values) if on == "logits" else Outputs(values, other)

    view = View(outputs(source), outputs(target), {}, lambda *_: outputs(source))
    value, method_state, metrics = coral({**TERMS["coral"][1], "on": on}).loss(
        {}, {}, view, key=jax.random.key(0), progress=jnp.float32(0), hparams={}
    )
    assert (method_state, metrics) == ({}, {})
    return value


def slope(source, target, on="logits"):
    value, gradients = jax.jit(
        jax.value_and_grad(lambda one, other: evaluate(one, other, on), argnums=(0, 1))
    )(jnp.asarray(source), jnp.asarray(target))
    return float(value), [np.asarray(own) for own in gradients]


def covariance(values):
    """Entry by entry, over pairs of examples: no mean is taken."""
    count, units = values.shape
    found = np.zeros((units, units))
    for one in range(count):
        for other in range(count):
            gap = values[one] - values[other]
            found += np.outer(gap, gap) / (2 * count * (count - 1))
    return found


def by_hand(source, target):
    """The value, and its gradients `(x - mean) (C_s - C_t) / (d^2 (B - 1))`, negative for t."""
    gap = covariance(source) - covariance(target)
    units = len(gap)
    gradients = [
        sign * (own - own.mean(0)) @ gap / (units**2 * (len(own) - 1))
        for sign, own in ((1, source), (-1, target))
    ]
    return (gap**2).sum() / (4 * units**2), gradients


@pytest.mark.parametrize("on", ["logits", "features"])
def test_value_and_gradient_are_those_of_the_derivation(on):
    expected, expected_gradients = by_hand(SOURCE, TARGET)
    with jax.enable_x64(True):
        value, gradients = slope(SOURCE, TARGET, on)
    assert value == pytest.approx(expected, rel=1e-9)
    for found, own in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(found, own, atol=1e-12)


def test_a_shift_of_one_domain_changes_nothing():
    value, (_, gradient) = slope(SOURCE, TARGET)
    shifted, _ = slope(SOURCE, TARGET + np.asarray([3.0, -2.0, 1.0]))
    assert shifted == pytest.approx(value, rel=1e-4)
    np.testing.assert_allclose(gradient.sum(0), 0, atol=1e-5)
    # The sum of the mean squared distances of means and covariances is another loss.
    gap = covariance(SOURCE) - covariance(TARGET)
    folk = ((SOURCE.mean(0) - TARGET.mean(0)) ** 2).mean() + (gap**2).mean()
    assert abs(folk - value) > 0.1 and abs((gap**2).mean() - value) > 0.1


def test_equal_covariances_cost_nothing_and_move_nothing():
    for target in (SOURCE, -SOURCE + 5):
        value, gradients = slope(SOURCE, target)
        assert value == pytest.approx(0, abs=1e-10)
        np.testing.assert_allclose(np.concatenate(gradients), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.zeros((3, 2)), np.ones((4, 2))),
        (1e4 * np.eye(3), 1e4 * np.eye(3)[[0, 0]]),
    ],
)
def test_constant_and_saturated_logits_give_finite_gradients(source, target):
    value, gradients = slope(source, target)
    assert np.isfinite(value) and all(np.isfinite(own).all() for own in gradients)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on": "logit"}, "config.alignment.coral.on is 'logit'; did you mean 'logits'?"),
        ({"weight": -1.0}, "config.alignment.coral.weight is -1.0; it must be"),
        ({"mean": True}, "config.alignment.coral.mean is unknown; legal are weight, on"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        coral({**TERMS["coral"][1], **changes})


def test_a_batch_of_one_example_is_refused():
    outputs = {
        domain: Outputs(jnp.zeros((1, 2)), jnp.zeros((1, 2))) for domain in ("source", "target")
    }
    with pytest.raises(ValueError, match="config.data.batch_size is 1; a covariance"):
        coral(TERMS["coral"][1]).init(jax.random.key(0), outputs)
