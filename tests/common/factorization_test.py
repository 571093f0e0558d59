"""Tests of factorizations under vmap."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.factorization import singular_values_and_directions

MATRICES = np.random.default_rng(0).normal(size=(3, 64, 48)).astype(np.float32)


@pytest.fixture(scope="module")
def program():
    return jax.jit(jax.vmap(singular_values_and_directions)).lower(MATRICES).compile()


def test_members_have_their_own_factors(program):
    left, sizes, right = map(np.asarray, program(MATRICES))
    np.testing.assert_allclose(sizes, np.linalg.svd(MATRICES, compute_uv=False), rtol=1e-4)
    np.testing.assert_allclose((left * sizes[:, None]) @ right, MATRICES, atol=1e-4)


def test_no_call_factorizes_several_matrices_at_once(program):
    """Two such calls at once, each on a device of the same processor, never return."""
    calls = re.findall(r"= \((.*?)\) custom-call\(.*gesdd", program.as_text())
    assert calls and not [call for call in calls if "[3,64,48]" in call]


def test_the_folk_form_would_be_caught():
    folk = jax.jit(jax.vmap(lambda matrix: jnp.linalg.svd(matrix, full_matrices=False)))
    text = str(folk.lower(MATRICES).compile().as_text())
    assert re.search(r"\[3,64,48\].*custom-call\(.*gesdd", text)


def test_nothing_flows_back():
    def product(matrix):
        left, sizes, right = singular_values_and_directions(matrix)
        return jnp.sum(left * sizes[None]) + right.sum()

    assert not np.any(jax.jit(jax.grad(product))(MATRICES[0]))
