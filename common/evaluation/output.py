"""Exact outputs over a whole split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int


def batches_of(rows: Int[np.ndarray, "*member row"], batch_size: int) -> np.ndarray:
    """Cuts the rows of a split into batches of one size.

    Args:
        rows: The rows of the split.
        batch_size: Rows at a time, at most.

    Returns:
        `[*member, batch, row]`; the last batch is filled up with its last row, repeated.
    """
    count = rows.shape[-1]
    batch_size = min(batch_size, count)
    batches = -(-count // batch_size)
    missing = [(0, 0)] * (rows.ndim - 1) + [(0, batches * batch_size - count)]
    return np.pad(rows, missing, mode="edge").reshape(*rows.shape[:-1], batches, batch_size)


def scan(
    body: Callable[[Any, Any], tuple[Any, Any]], state: Any, inputs: Any, one: Int[Array, ""]
) -> tuple[Any, Any]:
    """Runs `jax.lax.scan` such that its length changes no bit of what a turn computes.

    XLA inlines a loop that it knows to take one turn, and drops axes of length 1; both round in
    another order. A single input is therefore doubled, and the number of turns hidden in a traced
    number.

    Args:
        body: `(state, input) -> (state, result)`.
        state: The state before the first turn.
        inputs: A tree of arrays with a leading axis of turns.
        one: The number 1, as an argument of the compiled function.

    Returns:
        The state after the last turn, and the results of the turns along a leading axis.
    """
    length = jax.tree.leaves(inputs)[0].shape[0]
    turns = length if length > 1 else one
    if length == 1:
        inputs = jax.tree.map(lambda array: jnp.concatenate([array, array]), inputs)

    def input_of(turn):
        return jax.tree.map(lambda array: array[turn], inputs)

    unset = jax.tree.map(
        lambda leaf: jnp.zeros((max(length, 2), *leaf.shape), leaf.dtype),
        jax.eval_shape(lambda state: body(state, input_of(0))[1], state),
    )

    def take(turn, carry):
        state, result = body(carry[0], input_of(turn))
        return state, jax.tree.map(
            lambda column, value: jax.lax.dynamic_update_index_in_dim(column, value, turn, 0),
            *(carry[1], result),
        )

    state, results = jax.lax.fori_loop(0, turns, take, (state, unset))
    return state, jax.tree.map(lambda array: array[:length], results)


def outputs_over(predict: Callable[[Any], Any], batches: Any, one: Int[Array, ""]) -> Any:
    """Evaluates batches one after the other, in bounded memory.

    Args:
        predict: `batch -> outputs` in evaluation mode; an output depends on its own row alone.
        batches: A tree of arrays with a leading axis of batches.
        one: The number 1, as an argument of the compiled function.

    Returns:
        Outputs of all rows of all batches, in order.
    """
    _, outputs = scan(lambda state, batch: (state, predict(batch)), (), batches, one)
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), outputs)
