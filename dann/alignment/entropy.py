"""Entropy minimisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from common.legal import check_keys, check_number
from common.method import Alignment, View

OPTIONS = ("weight",)
KEY = "config.alignment.entropy"


def entropy(config: Mapping[str, Any]) -> Alignment:
    """Builds the term that makes the target's predictions sure.

    Of a batch of B target logits z:

        p = softmax(z)
        loss = mean over the batch of H(p),   H(p) = -sum_k p_k log p_k

    It is least, 0, for sure predictions, whatever the classes: also where every example is taken
    for one class. `information_maximization` is the term that does not reward this.

    Args:
        config: `weight` multiplies the term.

    Returns:
        The term; it owns no parameters.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Grandvalet and Bengio, Semi-supervised Learning by Entropy Minimization, NIPS 17 (2004).
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])

    def init(key, outputs):
        del key, outputs
        return {}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, key, progress, hparams
        log_p = jax.nn.log_softmax(view.target.logits)
        return -jnp.mean(jnp.sum(jnp.exp(log_p) * log_p, axis=-1)), method_state, {}

    return Alignment(init, loss)
