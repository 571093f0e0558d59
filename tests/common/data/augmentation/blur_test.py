"""Tests of the blur against SciPy."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from common.data.augmentation.blur import blur, smooth

KEY = jax.random.key(0)
IMAGES = jax.random.uniform(KEY, (4, 8, 11, 2))


@pytest.mark.parametrize("radius", [2, 8])
def test_a_blur_agrees_with_scipy(radius):
    widths = jnp.array([0.0, 0.3, 1.0, 2.5])
    blurred = jax.jit(smooth, static_argnames="radius")(IMAGES, widths, radius=radius)
    np.testing.assert_array_equal(blurred[0], IMAGES[0])
    for index in range(1, 4):
        expected = ndimage.gaussian_filter(
            np.asarray(IMAGES[index], float), float(widths[index]), radius=radius, axes=(0, 1)
        )
        np.testing.assert_allclose(blurred[index], expected, atol=1e-6)


def test_widths_are_drawn_from_the_range_and_the_kernel_reaches_three_times_the_largest():
    sigma, side = (0.5, 2.0), 25
    # In one column of a lone bright pixel stands the kernel.
    points = jnp.zeros((300, side, side, 1)).at[:, side // 2, side // 2].set(1.0)
    seen = np.asarray(jax.jit(partial(blur, sigma=sigma))(KEY, points))[..., 0]
    kernels = seen.sum(2)
    reach = (kernels > 0).sum(1)
    assert set(reach.tolist()) == {1, 2 * math.ceil(3 * sigma[1]) + 1}
    assert (reach > 1).mean() == pytest.approx(0.5, abs=0.1)
    own = kernels[reach > 1]
    places = np.arange(side) - side // 2
    # The ratio of the middle to its neighbour gives the width.
    middle = side // 2
    widths = np.sqrt(1 / (2 * np.log(own[:, middle] / own[:, middle + 1])))
    assert 0.5 - 1e-3 < widths.min() < 0.56 and 1.94 < widths.max() < 2 + 1e-3
    np.testing.assert_allclose(own.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(own @ places, 0, atol=1e-5)
