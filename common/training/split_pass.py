"""Passes of evaluation over a split, or over some of its rows, wherever the pictures are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from common.data.stream import Stream, read_blocks
from common.evaluation.output import batches_of, outputs_over
from common.method import Method, Outputs, Variables
from common.training import parallel
from common.training.batch import Tables, prepare
from common.training.member import axes_of, over_members


class SplitPass(NamedTuple):
    """How a population is evaluated on rows of a domain.

    Attributes:
        over_split: `(variables, tables, role, split, logits_alone) -> outputs` of all members'
            rows of a split, `[member, row, ...]`, or their logits alone.
        read: `(role, rows) -> batches` of all members, `[member, batch, row, ...]`: rows
            where pictures are resident, else the pictures.
        of_batches: `(variables, tables, batches, one, role, logits_alone) -> outputs` of one
            member, inside a compiled function; the last batch is filled up.
        inputs_of: `(tables, batches, role) -> inputs` of one member, as the network reads them.
        measure: `(variables, tables, role, split) -> {name: [member, row]}`, the method's
            `measures` of all members' rows of a split.
        predict: `(variables, inputs, one, role) -> outputs` of one member on such inputs, in
            batches.
    """

    over_split: Callable[[Any, Tables, str, str, bool], Any]
    read: Callable[[str, Int[np.ndarray, "member row"]], Array]
    of_batches: Callable[..., Any]
    inputs_of: Callable[[Tables, Array, str], Float[Array, "row ..."]]
    measure: Callable[[Any, Tables, str, str], dict[str, Array]]
    predict: Callable[[Variables, Float[Array, "row ..."], Array, str], Outputs]


def make_split_pass(
    method: Method,
    tables: Tables,
    num_members: int,
    batch_size: int,
    *,
    stream: Stream | None = None,
    placement: parallel.Placement | None = None,
) -> SplitPass:
    """Builds the passes of a population.

    Args:
        method: The method, the same for all members.
        tables: What the program reads; only its structure is used.
        num_members: Size of the population.
        batch_size: Rows at a time, at most.
        stream: The pictures, where they stay on the host.
        placement: Where the program runs; None for one device.

    Returns:
        The passes.
    """

    def inputs_of(tables, batch, role):
        stored = batch if stream else tables[role]["image"][batch]
        return prepare(tables, role, parallel.split_rows(stored, placement))

    def inputs_of_all(tables, batches, role):
        return inputs_of(tables, batches.reshape(-1, *batches.shape[2:]), role)

    def of_batches(variables, tables, batches, one, role, logits_alone):
        def predict(batch):
            outputs = method.predict(variables, inputs_of(tables, batch, role), role)
            return outputs.logits if logits_alone else outputs

        return outputs_over(predict, batches, one)

    def measures_of(variables, tables, batches, one, role):
        def measure(batch):
            inputs = inputs_of(tables, batch, role)
            return {name: own(variables, inputs, role) for name, own in method.measures.items()}

        return outputs_over(measure, batches, one)

    def predict(variables, inputs, one, role):
        count = inputs.shape[0]
        batches = inputs[batches_of(np.arange(count), batch_size)]
        outputs = outputs_over(
            lambda batch: method.predict(variables, parallel.split_rows(batch, placement), role),
            *(batches, one),
        )
        return jax.tree.map(lambda leaf: leaf[:count], outputs)

    whole = {
        "outputs": partial(of_batches, logits_alone=False),
        "logits": partial(of_batches, logits_alone=True),
        "measures": measures_of,
    }
    compiled = {
        (role, what): jax.jit(
            over_members(partial(run, role=role), num_members, (0, axes_of(tables), 0, None))
        )
        for role in tables
        for what, run in whole.items()
    }

    def pass_over(what, variables, tables, role, split):
        rows, run = tables[role][split], compiled[role, what]
        count = rows.shape[-1]
        batches = batches_of(np.asarray(rows), batch_size)
        blocks = [batches]
        if stream:
            blocks = (jnp.asarray(block) for block in read_blocks(stream, role, batches))
        parts = [parallel.whole(run(variables, tables, block, 1), placement) for block in blocks]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1)[:, :count], *parts)

    def over_split(variables, tables, role, split, logits_alone):
        what = "logits" if logits_alone else "outputs"
        return pass_over(what, variables, tables, role, split)

    def read(role, rows):
        batches = batches_of(rows, batch_size)
        if stream is None:
            return jnp.asarray(batches)
        return jnp.concatenate(
            [jnp.asarray(block) for block in read_blocks(stream, role, batches)], axis=1
        )

    return SplitPass(
        over_split, read, of_batches, inputs_of_all, partial(pass_over, "measures"), predict
    )
