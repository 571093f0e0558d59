"""Factorizations of matrices that members of a population can compute side by side."""

from __future__ import annotations

import jax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float


def _factorize(matrix: Array) -> tuple[Array, Array, Array]:
    return tuple(jax.numpy.linalg.svd(matrix, full_matrices=False))


@custom_vmap
def _one_at_a_time(matrix):
    return _factorize(matrix)


@_one_at_a_time.def_vmap
def _one_by_one(axis_size, in_batched, matrices):
    # On a processor, jaxlib 0.10 shares out a batch of factorizations over the same threads that
    # wait for them: two programs that do so at once, one on each virtual device, wait for ever.
    del axis_size, in_batched
    found = jax.lax.platform_dependent(
        matrices,
        cpu=lambda matrices: jax.lax.map(_one_at_a_time, matrices),
        default=jax.vmap(_factorize),
    )
    return found, (True, True, True)


def singular_values_and_directions(
    matrix: Float[Array, "row column"],
) -> tuple[Float[Array, "row rank"], Float[Array, "rank"], Float[Array, "rank column"]]:
    """Factorizes a matrix, `matrix = left * sizes @ right`; nothing flows back through it.

    The gradient of what depends on the singular values alone needs no more: that of the i-th one
    is the product of the i-th column of `left` and the i-th row of `right`.

    Args:
        matrix: The matrix.

    Returns:
        The left directions, the singular values in descending order, and the right directions.
    """
    return _one_at_a_time(jax.lax.stop_gradient(matrix))
