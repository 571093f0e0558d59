"""Correlation alignment in a network (Deep CORAL)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from common.legal import check_keys, check_name, check_number
from common.method import Alignment, View

OPTIONS = ("weight", "on")
LAYERS = ("logits", "features")
KEY = "config.alignment.coral"


def coral(config: Mapping[str, Any]) -> Alignment:
    """Builds the distance between the domains' covariances.

    Of d activations of a layer, with C the covariance over a domain's batch (divided by B - 1):

        loss = ||C_source - C_target||_F^2 / (4 d^2)

    Means are not compared: a shift of one domain changes nothing. Loss functions of this name that
    add the distance of the means, or leave out the 4, are another method.

    Args:
        config: `on`, the layer: `logits` (the paper's choice, the last layer) or `features`;
            `weight` multiplies the term. The paper chooses it such that both losses are about the
            same at the end of training.

    Returns:
        The term; it owns no parameters.

    Raises:
        ValueError: An option that is unknown, missing or impossible, or a batch of one example.

    References:
        Sun and Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV
        workshops (2016), equations 1 to 3.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])
    check_name(f"{KEY}.on", config["on"], LAYERS)

    def layer(outputs):
        return outputs.logits if config["on"] == "logits" else outputs.features

    def init(key, outputs):
        del key
        if min(len(outputs[domain].logits) for domain in ("source", "target")) < 2:
            raise ValueError(
                "config.data.batch_size is 1; a covariance (coral) takes at least 2 examples"
            )
        return {}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, key, progress, hparams
        gap = _covariance(layer(view.source)) - _covariance(layer(view.target))
        return jnp.sum(gap**2) / (4 * gap.shape[0] ** 2), method_state, {}

    return Alignment(init, loss)


def _covariance(values: Float[Array, "batch unit"]) -> Float[Array, "unit unit"]:
    centered = values - values.mean(axis=0, keepdims=True)
    return jnp.matmul(centered.T, centered, precision="highest") / (len(values) - 1)
