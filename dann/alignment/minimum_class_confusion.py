"""Minimum class confusion (MCC)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from common.legal import check_keys, check_number
from common.method import Alignment, View

OPTIONS = ("weight", "temperature")
KEY = "config.alignment.minimum_class_confusion"


def minimum_class_confusion(config: Mapping[str, Any]) -> Alignment:
    """Builds the term that keeps the target's predictions from mixing up classes.

    Of a batch of B target logits z and K classes:

        q = softmax(z / temperature)
        w = B (1 + exp(-H(q))) / sum(1 + exp(-H(q)))      certain examples count more; no gradient
        C = q^T diag(w) q                                 how often two classes are taken together
        loss = (sum(C / row sums) - trace(C / row sums)) / K

    The matrix is one of a batch, so a batch should hold several examples a class: at least 3 K.

    Args:
        config: `temperature` softens the predictions; `weight` multiplies the term.

    Returns:
        The term; it owns no parameters.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Jin et al., Minimum Class Confusion for Versatile Domain Adaptation, ECCV (2020), equations
        2 to 6; temperature 2.5 as in its section 4.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])
    check_number(f"{KEY}.temperature", config["temperature"])
    if not config["temperature"]:
        raise ValueError(f"{KEY}.temperature is 0; it must be positive")

    def init(key, outputs):
        del key, outputs
        return {}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, key, progress
        log_q = jax.nn.log_softmax(view.target.logits / hparams["temperature"])
        q = jnp.exp(log_q)
        certainty = 1 + jnp.exp((q * log_q).sum(-1))
        weight = jax.lax.stop_gradient(certainty / certainty.mean())
        confusion = q.T @ (weight[:, None] * q)
        taken = confusion.sum(axis=1, keepdims=True)
        # The probability of a class may underflow in the whole batch.
        share = confusion / jnp.where(taken > 0, taken, jnp.ones_like(taken))
        value = (share.sum() - jnp.trace(share)) / share.shape[0]
        return value, method_state, {}

    return Alignment(init, loss)
