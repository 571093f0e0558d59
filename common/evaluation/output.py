"""Exact outputs over a whole split."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from common.method import Outputs


def outputs_over(
    predict: Callable[[Array], Outputs], rows: Int[Array, "row"], batch_size: int
) -> Outputs:
    """Evaluates every row of a split exactly once, in batches of bounded memory.

    The last batch is filled up with repeated rows whose outputs are thrown away.

    Args:
        predict: `rows -> outputs` in evaluation mode; an output may depend on its own row alone.
        rows: The rows of the split.
        batch_size: Rows at a time.

    Returns:
        Outputs in the order of `rows`.
    """
    count = rows.shape[0]
    batch_size = min(batch_size, count)
    batches = -(-count // batch_size)
    padded = jnp.pad(rows, (0, batches * batch_size - count), mode="edge")
    outputs = jax.lax.map(predict, padded.reshape(batches, batch_size))
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:])[:count], outputs)
