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
    one, nearly = np.zeros((12, 5)), np.tile(np.eye(5), (3, 1))[:12] + 1e-26
    one[0, 0] = 1
    for matrix in (0 * one, one, np.eye(12, 5), np.ones((12, 5)), nearly):
        found = np.asarray(values_of(jnp.asarray(matrix, jnp.float32)))
        expected = np.sort(np.linalg.svd(matrix, compute_uv=False))
        np.testing.assert_allclose(found, expected, 1e-5, 1e-6)


def test_a_value_that_is_none_is_not_hidden():
    assert np.isnan(values_of(jnp.full((12, 5), jnp.nan))).all()
