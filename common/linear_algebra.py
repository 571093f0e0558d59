"""Distances of all pairs, and singular values without a call to LAPACK."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# Each halves the interval that holds an eigenvalue; the last is narrower than single precision.
BISECTIONS = 30


def squared_distances(
    left: Float[Array, "left value"], right: Float[Array, "right value"]
) -> Float[Array, "left right"]:
    """Returns `|x - y|^2` of all pairs, by inner products: too many for their differences."""
    lengths = jnp.sum(left**2, axis=-1)[:, None] + jnp.sum(right**2, axis=-1)[None]
    return jnp.maximum(lengths - 2 * left @ right.T, 0.0)


def singular_values(matrix: Float[Array, "row column"]) -> Float[Array, "value"]:
    """Computes singular values in plain array operations, for programs of many devices.

    They are the roots of the eigenvalues of the smaller of `A'A` and `AA'`, found by Householder
    reflections and bisection, without a call for each member, as `common.factorization` needs for
    the directions: that one loops over members, which an evaluation of many does not want. Nor does
    any loop's length depend on values, as that of `jax.scipy.linalg.eigh_tridiagonal` does, since
    devices would have to agree on it at every turn.

    Squaring halves the digits: what lies below `sqrt(n eps)` times the largest, n the smaller side
    and eps the precision, is rounding error and becomes 0. Others have an error of at most `eps n`
    times the largest's square over themselves.

    Args:
        matrix: Any matrix.

    Returns:
        Its singular values, as many as its smaller side, in ascending order.
    """
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    # Of a matrix whose largest entry is 1, squares neither vanish nor overflow.
    scale = jnp.max(jnp.abs(matrix))
    matrix = matrix / jnp.where(scale > 0, scale, 1.0)
    gram = jnp.matmul(matrix.T, matrix, precision="highest")
    values = _bisect(*_tridiagonal(gram))
    smallest = len(gram) * jnp.finfo(gram.dtype).eps * jnp.max(values)
    return scale * jnp.sqrt(jnp.where(values <= smallest, 0.0, values))


def _tridiagonal(
    symmetric: Float[Array, "n n"],
) -> tuple[Float[Array, "n"], Float[Array, "less"]]:
    """Returns the diagonal, and the one beside it, of a matrix with the same eigenvalues."""
    rows = jnp.arange(len(symmetric))

    def reflect(column, left):
        below = jnp.where(rows > column, left[:, column], 0.0)
        # Brought to size: squares of nearly nothing are nothing, and have no direction.
        largest = jnp.max(jnp.abs(below))
        below = below / jnp.where(largest > 0, largest, 1.0)
        length = jnp.linalg.norm(below)
        # The sign that does not cancel.
        head = jnp.where(below[column + 1] > 0, -length, length)
        normal = below - jnp.where(rows == column + 1, head, 0.0)
        # A column that is zero already has no direction, and needs no reflection.
        normal = normal / jnp.maximum(jnp.linalg.norm(normal), jnp.finfo(left.dtype).tiny)
        product = jnp.matmul(left, normal, precision="highest")
        change = 2 * (product - (normal @ product) * normal)
        return left - normal[:, None] * change[None] - change[:, None] * normal[None]

    reduced = jax.lax.fori_loop(0, len(symmetric) - 2, reflect, symmetric)
    return jnp.diagonal(reduced), jnp.diagonal(reduced, 1)


def _bisect(diagonal: Float[Array, "n"], beside: Float[Array, "less"]) -> Float[Array, "n"]:
    """Returns the eigenvalues of a tridiagonal matrix in ascending order."""
    lengths = jnp.abs(beside)
    radii = jnp.pad(lengths, (0, 1)) + jnp.pad(lengths, (1, 0))
    bound = 1.01 * jnp.max(jnp.abs(diagonal) + radii)
    place = jnp.arange(len(diagonal))

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        is_above = _count_below(diagonal, beside, middle) > place
        return jnp.where(is_above, low, middle), jnp.where(is_above, middle, high)

    ends = jnp.full(len(diagonal), -bound), jnp.full(len(diagonal), bound)
    low, high = jax.lax.fori_loop(0, BISECTIONS, halve, ends)
    return (low + high) / 2


def _count_below(
    diagonal: Float[Array, "n"], beside: Float[Array, "less"], points: Float[Array, "n"]
) -> Int[Array, "n"]:
    """Counts the eigenvalues below each point: the negative pivots of an elimination (Sturm)."""
    squares = jnp.pad(beside**2, (1, 0))
    smallest = jnp.finfo(diagonal.dtype).tiny * jnp.maximum(1.0, jnp.max(squares))

    def eliminate(carried, row):
        pivot, count = carried
        pivot = row[0] - points - row[1] / pivot
        pivot = jnp.where(jnp.abs(pivot) < smallest, -smallest, pivot)
        return (pivot, count + (pivot < 0)), None

    start = jnp.ones_like(points), jnp.zeros(len(points), int)
    rows = jnp.stack([diagonal, squares], axis=1)
    return jax.lax.scan(eliminate, start, rows, unroll=min(8, len(diagonal)))[0][1]
