"""The copies of a lone run under `pmap`, which share out the rows of its batches.

Every copy holds the whole batch and the whole loss; only the passes through the network are split,
by `own_rows` before and `collect` after. Outside `pmap` all of it is the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jaxtyping import Array

# The name of the copies' axis; outside `pmap` it does not exist.
REPLICA = "replica"


def num_replicas() -> int:
    """Counts the copies that share a batch: 1 outside `pmap`."""
    try:
        return jax.lax.axis_size(REPLICA)
    except NameError:
        return 1


# Each of the four maps below is the other's derivative, in pairs: a cotangent is treated as the
# value that it belongs to. All derivatives of a loss, of any order, are then those of the global
# batch, on every copy; the transposes that JAX has for its collectives would count the loss once
# a copy.


def _pair(forward: Callable, backward: Callable) -> tuple[Callable, Callable]:
    """Makes two linear maps that are each other's transpose."""

    @jax.custom_vjp
    def first(value):
        return forward(value)

    @jax.custom_vjp
    def second(value):
        return backward(value)

    first.defvjp(lambda value: (forward(value), None), lambda _, cotangent: (second(cotangent),))
    second.defvjp(lambda value: (backward(value), None), lambda _, cotangent: (first(cotangent),))
    return first, second


def _slice(value: Array) -> Array:
    rows = value.shape[0] // num_replicas()
    return jax.lax.dynamic_slice_in_dim(value, jax.lax.axis_index(REPLICA) * rows, rows)


def _gather(value: Array) -> Array:
    return jax.lax.all_gather(value, REPLICA, tiled=True)


_own_rows, _collect = _pair(_slice, _gather)
_enter, _ = _pair(lambda value: value, partial(jax.lax.psum, axis_name=REPLICA))


def own_rows(tree: Any) -> Any:
    """Keeps the rows of this copy.

    Args:
        tree: Arrays over the global batch; the number of copies divides their rows.

    Returns:
        The rows of this copy under `pmap`, else the same tree.
    """
    return jax.tree.map(_own_rows, tree) if num_replicas() > 1 else tree


def collect(tree: Any) -> Any:
    """Puts the rows of all copies together.

    Args:
        tree: Arrays over the rows of a copy.

    Returns:
        Arrays over the global batch under `pmap`, else the same tree.
    """
    return jax.tree.map(_collect, tree) if num_replicas() > 1 else tree


def enter(params: Any) -> Any:
    """Hands parameters to a pass over the rows of a copy; their gradients are summed over copies.

    Args:
        params: Parameters, the same on every copy.

    Returns:
        The same parameters.
    """
    return jax.tree.map(_enter, params) if num_replicas() > 1 else params


def draw_rows(draw: Callable[[tuple[int, ...]], Array], shape: tuple[int, ...]) -> Array:
    """Draws random numbers that do not depend on how many copies share a batch.

    Args:
        draw: From a shape to an array, such as a function of `jax.random` with its key.
        shape: The shape wanted on this copy, rows first.

    Returns:
        This copy's rows of what is drawn for the global batch.
    """
    return own_rows(draw((shape[0] * num_replicas(), *shape[1:])))
