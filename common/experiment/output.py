"""What a trained network says of examples, outside a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from common.data.domain import Domain
from common.data.table import make_tables
from common.evaluation.output import batches_of
from common.method import Outputs
from common.training.batch import prepare


def complete(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Adds empty trees, which checkpoints leave out.

    Args:
        variables: Of a finished run.

    Returns:
        Variables to predict with.
    """
    return {"params": {}, "batch_stats": {}, "method_state": {}, **variables}


def run_over(
    run: Callable[[Any], Outputs],
    config: Mapping[str, Any],
    task: Mapping[str, Domain],
    role: str,
    rows: Int[np.ndarray, "row"],
) -> tuple[Float[np.ndarray, "row feature"], Float[np.ndarray, "row ..."]]:
    """Runs a network over some examples, batch by batch.

    Inputs are prepared as in training: what is fitted to data is fitted to the source's training
    examples.

    Args:
        run: `inputs -> outputs` in evaluation mode.
        config: The resolved config; `data` and `runtime` are read.
        task: Source and target.
        role: Whose examples.
        rows: Which of them, at least one.

    Returns:
        Features and logits in single precision.
    """
    tables, images = make_tables([task], config["data"]["center"], config["data"]["scaling"])
    alone = {
        name: tables["source"][name] for name in ("mean", "scaling") if name in tables["source"]
    }
    # A population of one.
    known = {"source": jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), alone)}
    known[role] = {**known.get(role, {}), "maximum": jnp.asarray(tables[role]["maximum"])}

    @jax.jit
    def outputs_of(stored):
        return run(prepare(known, role, stored))

    batches = batches_of(rows, config["runtime"]["evaluation_batch_size"])
    found = []
    for own in batches:
        outputs = outputs_of(jnp.asarray(np.asarray(images[role][own])))
        found.append([np.asarray(part, np.float32) for part in (outputs.features, outputs.logits)])
    features, logits = (np.concatenate(parts)[: len(rows)] for parts in zip(*found, strict=True))
    return features, logits
