"""Tests of the outputs over a whole split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.evaluation.output import batches_of, outputs_over
from common.method import Outputs


@pytest.mark.parametrize(
    ("count", "batch_size"), [(12, 4), (12, 5), (5, 4), (3, 8), (7, 7), (1, 1), (4, 1)]
)
def test_every_row_is_evaluated_once_and_in_order(count, batch_size):
    rows = np.random.default_rng(0).permutation(50)[:count].astype(np.int32)
    asked = []

    def predict(rows):
        asked.append(rows.shape)
        value = rows.astype(jnp.float32)[:, None]
        maps = jnp.broadcast_to(value[:, :, None], (len(rows), 2, 3))
        return Outputs(jnp.concatenate([value, -value], 1), 10 * value, {"maps": maps})

    batches = batches_of(rows, batch_size)
    outputs = jax.jit(lambda rows, one: outputs_over(predict, rows, one))(batches, 1)
    outputs = jax.tree.map(lambda array: array[:count], outputs)
    np.testing.assert_array_equal(outputs.features, np.stack([rows, -rows], 1))
    np.testing.assert_array_equal(outputs.logits, 10 * rows[:, None])
    expected = np.broadcast_to(rows[:, None, None], (count, 2, 3))
    np.testing.assert_array_equal(outputs.layers["maps"], expected)
    # Memory is bounded by the batch, and no program is traced for a ragged last one.
    assert set(asked) == {(min(batch_size, count),)}


def test_what_fills_the_last_batch_is_a_row_of_the_split():
    """A row out of nowhere could be missing, or make an output that is not finite."""
    seen = []

    def predict(rows):
        jax.debug.callback(lambda each: seen.extend(each.tolist()), rows)
        value = rows.astype(jnp.float32)[:, None]
        return Outputs(value, value)

    outputs_over(predict, jnp.asarray(batches_of(np.asarray([8, 3, 5]), 2)), jnp.asarray(1))
    jax.effects_barrier()
    assert sorted(seen) == [3, 5, 5, 8]
