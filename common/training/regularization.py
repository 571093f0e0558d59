"""How regularisers of fine-tuning join the task loss: the start they hold to, and their sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from common.method import CACHE, LABELLED, Batch, Outputs, Regularizer, RegularizerView, Start
from common.models.mode import TRAINING
from common.models.normalization import ROOTS, Network, predict

PREFIX = "regularization"


def layers_of(regularizers: Mapping[str, Regularizer]) -> tuple[str, ...] | None:
    """Joins the inner activations that regularisers compare.

    Args:
        regularizers: By name.

    Returns:
        Names, each once; None for all layers that the network names.
    """
    names: dict[str, None] = {}
    for regularizer in regularizers.values():
        if regularizer.layers is None:
            return None
        names |= dict.fromkeys(regularizer.layers)
    return tuple(names)


def keep_start(
    regularizers: Mapping[str, Regularizer], variables: Mapping[str, Any]
) -> dict[str, Any]:
    """Keeps what the network is before step 0.

    Args:
        regularizers: By name.
        variables: `params` and `batch_stats` are read.

    Returns:
        A part of the method's state, which is not kept with the chosen weights; empty where no
        regulariser compares with the start.
    """
    if not any(regularizer.needs_start for regularizer in regularizers.values()):
        return {}
    params = {root: variables["params"][root] for root in ROOTS}
    return {CACHE: {"params": params, "batch_stats": variables["batch_stats"]}}


def start_of(network: Network, states: Mapping[str, Any]) -> Start:
    """Makes the start of what was kept of it.

    Args:
        network: The network.
        states: The method's state.

    Returns:
        The start; without parameters where none was kept.
    """
    kept = jax.lax.stop_gradient(states.get(CACHE, {"params": {}, "batch_stats": {}}))

    def starting(images, domain, **options):
        return jax.lax.stop_gradient(predict(network, kept, images, domain, **options))

    return Start(kept["params"], starting)


def view_of(
    network: Network,
    states: Mapping[str, Any],
    batch: Batch,
    outputs: Mapping[str, Outputs],
    key: jax.Array,
) -> RegularizerView:
    """Makes what regularisers see of a step.

    Args:
        network: The network.
        states: The method's state.
        batch: The batch.
        outputs: The network's outputs on it, by domain.
        key: Source of dropout masks of heads with other parameters.

    Returns:
        The view.
    """

    def head(params, features):
        logits: Any = network.task_head.apply(
            {"params": params}, features, mode=TRAINING, rngs={"dropout": key}
        )
        return logits

    labelled = {domain: own for domain, own in outputs.items() if domain in LABELLED}
    return RegularizerView(labelled, batch, start_of(network, states), head)
