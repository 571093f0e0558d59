"""Tests of the gradient-reversal layer, on a discriminator with one hidden layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dann.gradient_reversal import reverse_gradient

STRENGTHS = np.array([0.0, 0.1, 0.3, 0.5, 1.0, 2.0, 6.0, 30.0], np.float32)
DRAW = np.random.default_rng(0)
FEATURES = DRAW.normal(size=(8, 3))
PARAMS = {"hidden": DRAW.normal(size=(3, 5)), "logit": DRAW.normal(size=5)}
TARGETS = np.array([1.0] * 4 + [0.0] * 4)

SINGLE_FEATURES = FEATURES.astype(np.float32)
SINGLE_PARAMS = {name: value.astype(np.float32) for name, value in PARAMS.items()}


def unreversed_loss(params, features):
    """The same loss in NumPy, in double precision and without the reversal."""
    logits = np.tanh(features @ params["hidden"]) @ params["logit"]
    return np.mean(np.logaddexp(0, logits) - TARGETS * logits)


def differences(function, point, width=1e-6):
    """The gradient of a function of one array by central differences."""
    gradient = np.zeros_like(point)
    for place in np.ndindex(point.shape):
        step = np.zeros_like(point)
        step[place] = width
        gradient[place] = (function(point + step) - function(point - step)) / (2 * width)
    return gradient


FEATURE_GRADIENT = differences(lambda features: unreversed_loss(PARAMS, features), FEATURES)


def loss(params, features, strength):
    features = reverse_gradient(jnp.asarray(features), strength)
    logits = jnp.tanh(features @ params["hidden"]) @ params["logit"]
    return jnp.mean(jnp.logaddexp(0, logits) - jnp.asarray(TARGETS, jnp.float32) * logits)


def feature_gradient(features, strength):
    return jax.grad(loss, argnums=1)(SINGLE_PARAMS, features, strength)


def test_forward_is_the_identity():
    for strength in STRENGTHS:
        value = reverse_gradient(jnp.asarray(SINGLE_FEATURES), strength)
        np.testing.assert_array_equal(value, SINGLE_FEATURES)


@pytest.mark.parametrize("strength", STRENGTHS.tolist())
def test_feature_gradient_is_minus_strength_times_the_unreversed_one(strength):
    np.testing.assert_allclose(
        feature_gradient(SINGLE_FEATURES, strength), -strength * FEATURE_GRADIENT, 1e-4, 1e-6
    )


def test_discriminator_gradient_does_not_depend_on_the_strength():
    gradients = [jax.grad(loss)(SINGLE_PARAMS, SINGLE_FEATURES, strength) for strength in STRENGTHS]
    for name, weights in PARAMS.items():
        expected = differences(
            lambda value, name=name: unreversed_loss({**PARAMS, name: value}, FEATURES), weights
        )
        np.testing.assert_allclose(gradients[0][name], expected, 1e-4, 1e-6)
        for gradient in gradients[1:]:
            np.testing.assert_array_equal(gradient[name], gradients[0][name])


def test_no_gradient_flows_into_the_strength():
    gradient = jax.grad(loss, argnums=2)(SINGLE_PARAMS, SINGLE_FEATURES, jnp.float32(0.3))
    assert gradient.shape == () and gradient == 0


def test_layers_nest():
    def twice(features):
        return jnp.sum(reverse_gradient(reverse_gradient(features, 2.0), 3.0))

    np.testing.assert_array_equal(jax.grad(twice)(SINGLE_FEATURES), np.full((8, 3), 6.0))


def under_jit(features, strengths):
    compiled = jax.jit(feature_gradient)
    return jnp.stack([compiled(features, strength) for strength in strengths])


def under_vmap(features, strengths):
    return jax.jit(jax.vmap(feature_gradient, in_axes=(None, 0)))(features, strengths)


def under_scan(features, strengths):
    def body(carry, strength):
        return carry, feature_gradient(features, strength)

    return jax.jit(lambda strengths: jax.lax.scan(body, 0, strengths)[1])(strengths)


def through_scan(features, strengths):
    """The gradient passes backwards through a loop; each turn has features of its own."""

    def total(features):
        def body(carry, turn):
            return carry + loss(SINGLE_PARAMS, *turn), None

        return jax.lax.scan(body, 0.0, (features, strengths))[0]

    repeated = jnp.tile(features, (len(strengths), 1, 1))
    return jax.jit(jax.grad(total))(repeated)


def under_remat(features, strengths):
    gradient = jax.jit(jax.grad(jax.checkpoint(loss), argnums=1))
    return jnp.stack([gradient(SINGLE_PARAMS, features, strength) for strength in strengths])


def under_pmap(features, strengths):
    return jax.pmap(feature_gradient, in_axes=(None, 0))(features, strengths)


def over_a_mesh(features, strengths):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = jax.device_put(features, NamedSharding(mesh, PartitionSpec("data")))
    compiled = jax.jit(feature_gradient)
    return jnp.stack([compiled(spread, strength) for strength in strengths])


@pytest.mark.parametrize(
    "wrapped",
    [under_jit, under_vmap, under_scan, through_scan, under_remat, under_pmap, over_a_mesh],
)
def test_a_traced_strength_works_under(wrapped):
    expected = -STRENGTHS[:, None, None] * FEATURE_GRADIENT
    np.testing.assert_allclose(wrapped(SINGLE_FEATURES, STRENGTHS), expected, 1e-4, 1e-6)


def test_many_strengths_share_one_compilation():
    traces = []

    @jax.jit
    def gradient(features, strength):
        traces.append(strength)
        return feature_gradient(features, strength)

    for strength in STRENGTHS:
        gradient(SINGLE_FEATURES, strength)
    assert len(traces) == 1
