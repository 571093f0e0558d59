"""Tests of adaptive pooling; the golden networks compare the whole with PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.models.vgg import average_pool


@pytest.mark.parametrize(("shape", "size"), [((7, 7), 7), ((5, 8), 3), ((1, 2), 7), ((14, 4), 7)])
def test_windows_cover_the_maps(shape, size):
    maps = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)
    expected = np.zeros((2, size, size, 3))
    (height, width) = shape
    for row in range(size):
        for column in range(size):
            window = maps[
                :,
                int(np.floor(row * height / size)) : int(np.ceil((row + 1) * height / size)),
                int(np.floor(column * width / size)) : int(np.ceil((column + 1) * width / size)),
            ]
            expected[:, row, column] = window.mean((1, 2))
    pooled = jax.jit(lambda maps: average_pool(maps, size))(jnp.asarray(maps))
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-6)
