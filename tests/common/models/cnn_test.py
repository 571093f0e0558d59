"""Tests of the small network."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from common.models.cnn import CNN
from common.models.mode import EVALUATION, TRAINING

KEY = jax.random.key(0)


def test_the_parameters_of_the_default_network():
    variables = jax.eval_shape(lambda: CNN().init(KEY, jnp.zeros((2, 8, 8, 1)), mode=EVALUATION))
    group = lambda units: {"GroupNorm_0": {"scale": (units,), "bias": (units,)}}  # noqa: E731
    assert jax.tree.map(lambda leaf: leaf.shape, variables["params"]) == {
        "convolution": {"kernel": (3, 3, 1, 24), "bias": (24,)},
        "normalization": group(24),
        "dense": {
            "dense_0": {"kernel": (4 * 4 * 24, 128), "bias": (128,)},
            "normalization_0": group(128),
            "dense_1": {"kernel": (128, 64), "bias": (64,)},
            "normalization_1": group(64),
        },
    }
    assert set(variables) == {"params", "layers"}


def test_features_and_layers_equal_the_layers_of_flax():
    generator = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(generator.normal(size=shape), jnp.float32)  # noqa: E731
    images, network = draw(3, 6, 7, 2), CNN(channels=8, hidden=(12,))
    params = jax.eval_shape(lambda: network.init(KEY, images, mode=EVALUATION))["params"]
    params = jax.tree.map(lambda leaf: draw(*leaf.shape), params)

    def normalize(layer, value) -> Any:
        return nn.GroupNorm(num_groups=4).apply({"params": layer["GroupNorm_0"]}, value)

    @jax.jit
    def run_flax(params):
        value: Any = nn.Conv(8, (3, 3)).apply({"params": params["convolution"]}, images)
        value = nn.relu(normalize(params["normalization"], value))
        maps = nn.max_pool(value, (2, 2), (2, 2))
        dense = params["dense"]
        value = maps.reshape(3, -1) @ dense["dense_0"]["kernel"] + dense["dense_0"]["bias"][None]
        return maps, nn.relu(normalize(dense["normalization_0"], value))

    maps, value = run_flax(params)
    features, sown = jax.jit(
        lambda params: network.apply({"params": params}, images, mode=TRAINING, mutable=["layers"])
    )(params)
    np.testing.assert_allclose(features, value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(sown["layers"]["stage_0"][0], maps, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(sown["layers"]["dense"]["stage_0"][0], features)
