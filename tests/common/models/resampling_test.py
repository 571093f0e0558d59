"""Tests of bicubic interpolation; the golden networks compare it with PyTorch's."""

import jax.numpy as jnp
import numpy as np
import pytest

from common.models.resampling import CUBICS, cubic_weights, resize_grid


@pytest.mark.parametrize("name", list(CUBICS))
@pytest.mark.parametrize(("old", "new"), [(14, 7), (14, 24), (3, 3), (2, 5), (5, 2)])
def test_weights_keep_constants_and_centers(name, old, new):
    weights = cubic_weights(old, new, name)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-12)
    # Both ends are treated alike.
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-12)
    if old == new:
        np.testing.assert_allclose(weights, np.eye(old), atol=1e-12)


def test_halfway_between_two_places_the_weights_are_those_of_keys():
    # Of Keys' kernel the values at 1/2 and 3/2 are 1/2 - a/8 and a/8, here with a = -3/4.
    np.testing.assert_allclose(
        cubic_weights(4, 1, "plain"), [[-0.09375, 0.59375, 0.59375, -0.09375]], rtol=1e-12
    )
    # Shrunk to a fourth, the kernel is four times as wide: distances 3/8 and 1/8.
    near, far = 1.5 * 0.125**3 - 2.5 * 0.125**2 + 1, 1.5 * 0.375**3 - 2.5 * 0.375**2 + 1
    expected = np.asarray([[far, near, near, far]]) / (2 * near + 2 * far)
    np.testing.assert_allclose(cubic_weights(4, 1, "antialiased"), expected, rtol=1e-12)


def test_beyond_the_border_the_plain_form_repeats_it():
    # The first new place lies a quarter before place 0: .25, .75, 1.25 and 1.75 away.
    near = lambda x: 1.25 * x**3 - 2.25 * x**2 + 1  # noqa: E731
    far = lambda x: -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)  # noqa: E731
    expected = [far(1.75) + near(0.75) + near(0.25), far(1.25)]
    np.testing.assert_allclose(cubic_weights(2, 4, "plain")[0], expected, rtol=1e-12)


def test_a_grid_is_resized_along_both_axes():
    grid = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    resized = resize_grid(jnp.asarray(grid), (5, 2), "plain")
    rows, columns = cubic_weights(2, 5, "plain"), cubic_weights(3, 2, "plain")
    expected = np.stack([rows @ grid[..., unit] @ columns.T for unit in range(4)], -1)
    np.testing.assert_allclose(resized, expected, rtol=1e-5, atol=1e-6)
    unchanged = jnp.asarray(grid)
    assert resize_grid(unchanged, (2, 3), "plain") is unchanged
