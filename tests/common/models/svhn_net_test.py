"""Tests of the SVHN network of the DANN paper."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from common.models.mlp import TaskHead
from common.models.mode import EVALUATION, TRAINING
from common.models.svhn_net import SVHNNet
from tests.tiny import quick_compilation

KEY = jax.random.key(0)
SMALL = (4, 4, 8)


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def shapes_of(module, value):
    variables = jax.eval_shape(lambda: module.init(KEY, value, mode=EVALUATION))
    return jax.tree.map(lambda leaf: leaf.shape, variables["params"])


def draw_variables(module, images):
    """Parameters none of which is zero, as biases are at first."""
    shapes = shapes_of(module, images)
    params = jax.tree.map(
        lambda shape: 0.3 * draw(1, *shape), shapes, is_leaf=lambda each: isinstance(each, tuple)
    )
    return {"params": params}


def convolve(layer, value):
    return lax.conv_general_dilated(
        value, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    ) + layer["bias"].reshape(1, 1, 1, -1)


def pool(maps):
    """The largest of 3 by 3 at every second place, where what lies outside counts for nothing."""
    batch, height, width, channel = maps.shape
    rows, columns = -(-height // 2), -(-width // 2)
    pooled = np.empty((batch, rows, columns, channel), np.float32)
    # Of the padding, the smaller half lies before.
    before = [
        max((count - 1) * 2 + 3 - size, 0) // 2
        for count, size in ((rows, height), (columns, width))
    ]
    for row in range(rows):
        for column in range(columns):
            top, left = 2 * row - before[0], 2 * column - before[1]
            window = maps[:, max(top, 0) : top + 3, max(left, 0) : left + 3]
            pooled[:, row, column] = window.max((1, 2))
    return pooled


def test_the_parameters_are_those_of_the_paper():
    images = jnp.zeros((2, 32, 32, 3))
    assert shapes_of(SVHNNet(), images) == {
        "convolution_0": {"kernel": (5, 5, 3, 64), "bias": (64,)},
        "convolution_1": {"kernel": (5, 5, 64, 64), "bias": (64,)},
        "convolution_2": {"kernel": (5, 5, 64, 128), "bias": (128,)},
    }
    features = jax.eval_shape(lambda: SVHNNet().init_with_output(KEY, images, mode=EVALUATION)[0])
    assert features.shape == (2, 8192)
    head = shapes_of(TaskHead(10, (3072, 2048)), jnp.zeros((2, 8192)))
    assert head["hidden"]["dense_0"]["kernel"] == (8192, 3072)
    assert head["hidden"]["dense_1"]["kernel"] == (3072, 2048)
    assert head["logits"]["kernel"] == (2048, 10)


@pytest.mark.parametrize("size", [(8, 8), (9, 10)])
def test_features_and_layers_equal_those_computed_by_hand(size):
    images, module = draw(0, 2, *size, 2), SVHNNet(SMALL)
    variables = draw_variables(module, images)
    stages: list[Any] = [images]
    for index in range(3):
        maps = np.maximum(convolve(variables["params"][f"convolution_{index}"], stages[-1]), 0)
        stages.append(pool(maps) if index < 2 else maps)
    run = jax.jit(
        lambda variables: module.apply(variables, images, mode=EVALUATION, mutable=["layers"])
    )
    with quick_compilation():
        features, sown = run(variables)
    for index, expected in enumerate(stages[1:]):
        (maps,) = sown["layers"][f"stage_{index}"]
        np.testing.assert_allclose(maps, expected, 1e-4, 1e-4)
    np.testing.assert_allclose(features, stages[-1].reshape(2, -1), 1e-4, 1e-4)


@pytest.mark.parametrize("place", range(4))
def test_dropout_is_before_the_first_and_after_each_convolution(place):
    images = draw(0, 4, 16, 16, 2)
    rates = tuple(0.5 if index == place else 0.0 for index in range(4))
    module = SVHNNet(SMALL, rates)
    variables = draw_variables(module, images)

    def run(mode):
        _, collected = module.apply(
            variables,
            images,
            mode=mode,
            rngs={"dropout": KEY},
            mutable=["intermediates"],
            capture_intermediates=True,
        )
        return {
            name: own["__call__"][0]
            for name, own in collected["intermediates"].items()
            if name != "__call__"
        }

    with quick_compilation():
        kept, dropped = jax.jit(lambda: (run(EVALUATION), run(TRAINING)))()
    names = ["dropout_pixels", "dropout_0", "dropout_1", "dropout_2"]
    # Nothing changes before the place, and at the place half of the units are doubled.
    for name in names[:place]:
        np.testing.assert_array_equal(dropped[name], kept[name])
    before, after = np.asarray(kept[names[place]]), np.asarray(dropped[names[place]])
    active = before != 0
    assert 0.4 < (after[active] != 0).mean() < 0.6
    np.testing.assert_array_equal(after, np.where(after != 0, 2 * before, 0))
    # The next convolution reads what is left, and the last one's are the features.
    if place < 3:
        expected = convolve(variables["params"][f"convolution_{place}"], after)
        np.testing.assert_allclose(dropped[f"convolution_{place}"], expected, 1e-4, 1e-4)


def test_the_rates_are_those_of_dropouts_own_experiment_on_these_pictures():
    assert SVHNNet().dropout == (0.1, 0.25, 0.25, 0.5)


@pytest.mark.parametrize("rates", [(0.1, 0.25), (0.0,) * 5])
def test_another_number_of_rates_is_refused(rates):
    message = (
        rf"config.model.options.dropout holds {len(rates)} rates; svhn_net takes one for the "
        "pictures and one for each of the 3 convolutions"
    )
    with pytest.raises(ValueError, match=message):
        shapes_of(SVHNNet(dropout=rates), jnp.zeros((1, 8, 8, 1)))
