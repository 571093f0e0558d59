"""Tests of the MNIST network of the DANN paper."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.models.lenet import LeNet
from common.models.mlp import TaskHead
from common.models.mode import EVALUATION, TRAINING

KEY = jax.random.key(0)


def shapes_of(module, value):
    variables = jax.eval_shape(lambda: module.init(KEY, value, mode=EVALUATION))
    return jax.tree.map(lambda leaf: leaf.shape, variables["params"])


def test_the_parameters_are_those_of_the_paper():
    images = jnp.zeros((2, 28, 28, 3))
    assert shapes_of(LeNet(), images) == {
        "convolution_0": {"kernel": (5, 5, 3, 32), "bias": (32,)},
        "convolution_1": {"kernel": (5, 5, 32, 48), "bias": (48,)},
    }
    assert shapes_of(TaskHead(10, (100, 100)), jnp.zeros((2, 768))) == {
        "hidden": {
            "dense_0": {"kernel": (768, 100), "bias": (100,)},
            "dense_1": {"kernel": (100, 100), "bias": (100,)},
        },
        "logits": {"kernel": (100, 10), "bias": (10,)},
    }


@pytest.mark.parametrize(("size", "features"), [(16, 48), (28, 768), (32, 1200)])
def test_the_number_of_features(size, features):
    def run():
        images = jnp.zeros((2, size, size, 1))
        return LeNet().init_with_output(KEY, images, mode=EVALUATION)[0]

    assert jax.eval_shape(run).shape == (2, features)


def test_features_and_layers_equal_the_layers_of_flax():
    generator = np.random.default_rng(0)
    images = jnp.asarray(generator.normal(size=(2, 16, 18, 1)), jnp.float32)
    variables = {
        "params": jax.tree.map(
            lambda shape: jnp.asarray(generator.normal(0, 0.1, shape), jnp.float32),
            shapes_of(LeNet(), images),
            is_leaf=lambda shape: isinstance(shape, tuple),
        )
    }

    @jax.jit
    def run_flax(variables):
        stages = [images]
        for index, channels in enumerate((32, 48)):
            layer = {"params": variables["params"][f"convolution_{index}"]}
            maps: Any = nn.Conv(channels, (5, 5), padding="VALID").apply(layer, stages[-1])
            stages.append(nn.max_pool(nn.relu(maps), (2, 2), (2, 2)))
        return stages[1:]

    features, sown = jax.jit(
        lambda variables: LeNet().apply(variables, images, mode=TRAINING, mutable=["layers"])
    )(variables)
    stages = run_flax(variables)
    for index, expected in enumerate(stages):
        (maps,) = sown["layers"][f"stage_{index}"]
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features, stages[-1].reshape(2, -1), rtol=1e-4, atol=1e-5)
