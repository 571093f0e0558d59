"""Tests of the dense networks against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.models.mlp import ACTIVATIONS, KERNEL_INITIALIZERS, MLP, TaskHead
from common.models.mode import EVALUATION, TRAINING

KEY = jax.random.key(0)
FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def init(module, value):
    """Parameters none of which is zero, as biases are at first."""
    params = jax.eval_shape(lambda: module.init(KEY, value, mode=EVALUATION))["params"]
    return {"params": jax.tree.map(lambda leaf: draw(1, *leaf.shape), params)}


def apply(module, variables, value):
    return jax.jit(lambda variables, value: module.apply(variables, value, mode=EVALUATION))(
        variables, value
    )


def dense(layer, value):
    return value @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_the_layers_follow_each_other_over_flattened_pictures(activation):
    images, module = draw(0, 4, 2, 3, 2), MLP((5, 3), activation)
    variables = init(module, images)
    value = np.asarray(images).reshape(4, 12)
    for name in ("dense_0", "dense_1"):
        value = FORMULAS[activation](dense(variables["params"][name], value))
    actual = apply(module, variables, images)
    np.testing.assert_allclose(actual, value, rtol=1e-4, atol=1e-5)
    vectors = apply(module, variables, images.reshape(4, 12))
    np.testing.assert_array_equal(vectors, actual)


def test_the_head_ends_in_logits_without_activation():
    features, module = draw(0, 4, 6), TaskHead(3, (5,), "tanh")
    variables = init(module, features)
    params = variables["params"]
    hidden = np.tanh(dense(params["hidden"]["dense_0"], np.asarray(features)))
    expected = dense(params["logits"], hidden)
    assert expected.min() < 0 < 1 < expected.max()
    actual = apply(module, variables, features)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_head_is_one_layer_by_default():
    params = init(TaskHead(3), draw(0, 4, 6))["params"]
    assert jax.tree.map(jnp.shape, params) == {"logits": {"kernel": (6, 3), "bias": (3,)}}


@pytest.mark.parametrize("module", [MLP((400,), dropout=0.25), TaskHead(2, (400,), dropout=0.25)])
def test_dropout_keeps_the_mean_and_stops_in_evaluation(module):
    value = jnp.ones((2, 6))
    variables = init(module, value)

    @jax.jit
    def run(variables):
        _, kept = module.apply(variables, value, mode=EVALUATION, mutable=["layers"])
        _, dropped = module.apply(
            variables, value, mode=TRAINING, rngs={"dropout": KEY}, mutable=["layers"]
        )
        return kept, dropped

    kept, dropped = map(np.asarray, jax.tree.leaves(run(variables)))
    active = kept > 0
    left = dropped[active] != 0
    assert 0.7 < left.mean() < 0.8
    np.testing.assert_allclose(dropped[active][left], kept[active][left] / 0.75, rtol=1e-5)


@pytest.mark.parametrize("name", list(KERNEL_INITIALIZERS))
def test_the_initializer_is_the_one_named(name):
    inputs, units = 50, 150
    standard_deviations = {
        "lecun_normal": 1 / np.sqrt(inputs),
        "glorot_uniform": np.sqrt(2 / (inputs + units)),
        "zeros": 0.0,
    }
    value = jnp.ones((1, inputs))

    @jax.jit
    def draw_initial():
        hidden = MLP((units,), kernel_init=name).init(KEY, value, mode=EVALUATION)
        head = TaskHead(units, kernel_init=name).init(KEY, value, mode=EVALUATION)
        return hidden["params"]["dense_0"], head["params"]["logits"]

    for layer in draw_initial():
        assert np.std(layer["kernel"]) == pytest.approx(standard_deviations[name], rel=0.05)
        np.testing.assert_array_equal(layer["bias"], np.zeros(units))
