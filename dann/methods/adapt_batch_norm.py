"""Adaptive batch normalisation (AdaBN): the target's own means and variances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from common.legal import check_keys
from common.method import Method
from common.models.normalization import exact_statistics, predict
from dann.methods.source_free import draw, make_trained_network

POLICIES = ("joint", "separate", "per_domain")


def make_method(config: Mapping[str, Any], num_classes: int) -> Method:
    """Builds the replacement of every batch normalisation's statistics by the target's.

    With weights of a network that was trained on the source, at unit j of every layer that is
    normalised:

        y_j = scale_j (x_j - mean_j) / sqrt(variance_j + epsilon) + bias_j

        mean_j, variance_j = moments of x_j over all target training pictures

    in one pass over the whole split, each layer fed with what the layers before it make of their
    new statistics. It is no running mean, so no order of the batches matters. No parameter changes,
    and no step does anything. Source pictures are evaluated with the source's own statistics. The
    variance is the mean squared deviation, divided by n.

    The pass holds the activations of the whole split; a run that streams its pictures is refused.

    Args:
        config: The resolved config; there is no option.
        num_classes: Number of classes of the task.

    Returns:
        The method. The new statistics are in its state, and last before the first step.

    Raises:
        ValueError: A policy without batch statistics, no run to start from, other domains than the
            target, or any option or term.

    References:
        Li et al., Revisiting Batch Normalization for Practical Domain Adaptation, ICLR workshop
        (2017), and Pattern Recognition 80 (2018), Adaptive Batch Normalization, algorithm 1.
    """
    check_keys("config.adaptation", config["adaptation"], ())
    network = make_trained_network(
        config, num_classes, POLICIES, "replaces batch statistics, of which this has none"
    )

    def init(key, batch):
        drawn = draw(network, key, batch)
        if not jax.tree.leaves(drawn["batch_stats"]):
            raise ValueError(
                "adapt_batch_norm replaces batch statistics, and the network of config.model.name "
                f"{config['model']['name']!r} has no layer with any; choose another network or row"
            )
        return drawn | {"method_state": {"batch_stats": drawn["batch_stats"]}}

    def refresh(variables, outputs, hparams):
        del hparams
        images = outputs["target"]["image"]
        return {"batch_stats": exact_statistics(network, variables, images, "target")}

    def predict_with_own(variables, images, domain):
        if domain != "source":
            statistics = variables["method_state"]["batch_stats"]
            variables = {**variables, "batch_stats": statistics}
        return predict(network, variables, images, domain)

    return Method(
        init=init,
        phases=(),
        predict=predict_with_own,
        needs={"target": ("image",)},
        refresh=refresh,
        trains="",
    )
