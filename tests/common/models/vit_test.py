"""Tests of what the golden networks do not show of the transformers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.models.mode import EVALUATION
from common.models.vit import ViTB16

KEY = jax.random.key(0)
SMALL: dict[str, Any] = {"blocks": 1, "width": 8, "heads": 2, "hidden": 8, "patch": 2}


@pytest.mark.parametrize("features", ["class_token", "mean"])
def test_without_positions_the_order_of_patches_does_not_count(features):
    module = ViTB16(**SMALL, picture_size=4, features=features)
    generator = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(generator.normal(size=shape), jnp.float32)  # noqa: E731
    images = draw(2, 4, 4, 1)
    params = jax.eval_shape(lambda: module.init(KEY, images, mode=EVALUATION))["params"]
    params = jax.tree.map(lambda leaf: draw(*leaf.shape), params)
    run = jax.jit(lambda params, images: module.apply({"params": params}, images, mode=EVALUATION))

    def moved_by(params):
        turned = run(params, jnp.roll(images, 2, axis=1))
        return np.abs(np.asarray(run(params, images)) - np.asarray(turned)).max()

    assert moved_by({**params, "positions": jnp.zeros((5, 8))}) < 1e-4
    # Negative control: with positions it does.
    assert moved_by(params) > 0.01


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({}, (6, 5), r"a picture has \(6, 5\) pixels, which patches of 2 by 2 do not cover"),
        ({"picture_size": 5}, (4, 4), "config.model.options.picture_size has 5 pixels"),
        ({"heads": 3}, (4, 4), "config.model.options.heads is 3, but must divide .*width.* 8"),
    ],
)
def test_sizes_that_do_not_divide_each_other_are_refused(changes, shape, message):
    module = ViTB16(**{**SMALL, "picture_size": 4, **changes})
    images = jnp.zeros((1, *shape, 1))
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: module.init(KEY, images, mode=EVALUATION))
