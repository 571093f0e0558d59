"""Tests of singular values against LAPACK's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.linear_algebra import singular_values

values_of = jax.jit(singular_values)


@functools.cache
def draw(shape, rank):
    random = np.random.default_rng(0)
    left, right = random.normal(size=(shape[0], rank)), random.normal(size=(rank, shape[1]))
    return left @ right


@pytest.mark.parametrize(
    ("shape", "rank"), [((12, 5), 5), ((5, 12), 5), ((12, 5), 2), ((12, 5), 1), ((3, 1), 1)]
)
@pytest.mark.parametrize("scale", [1.0, 1e12, 1e-12])
def test_they_are_those_of_lapack(shape, rank, scale):
    matrix = scale * draw(shape, rank)
    expected = np.sort(np.linalg.svd(matrix, compute_uv=False))
    found = np.asarray(values_of(jnp.asarray(matrix, jnp.float32)))
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())
    # What is only rounding is 0, not its root.
    assert np.sum(found > 0) == rank


def test_degenerate_matrices_have_finite_values():
    nearly = np.tile(np.eye(4), (10, 1)) + 1e-26
    square = (np.zeros((3, 3)), np.eye(3), np.ones((3, 3)), np.diag([1, 0, 0]))
    for matrix in (nearly, np.ones((1, 1)), *square):
        found = np.asarray(values_of(jnp.asarray(matrix, jnp.float32)))
        expected = np.sort(np.linalg.svd(matrix, compute_uv=False))
        np.testing.assert_allclose(found, expected, 1e-5, 1e-6)
