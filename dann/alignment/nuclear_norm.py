"""Batch nuclear-norm maximisation (BNM)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from common.factorization import singular_values_and_directions
from common.legal import check_keys, check_number
from common.method import Alignment, View

OPTIONS = ("weight",)
KEY = "config.alignment.nuclear_norm"


def nuclear_norm(config: Mapping[str, Any]) -> Alignment:
    """Builds the term that makes the matrix of the target's predictions large and of high rank.

    Of a batch of B target logits z and K classes, with P = softmax(z), one example a row:

        loss = -||P||_* / B,   ||P||_* the sum of P's singular values

    It is least where predictions are sure and use the classes alike, -sqrt(K / B) if K divides B;
    sure predictions of one class have -1 / sqrt(B). The authors' code divides by min(B, K) in the
    place of B, so its weight of 1 is B / min(B, K) here.

    Args:
        config: `weight` multiplies the term.

    Returns:
        The term; it owns no parameters.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Cui et al., Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under
        Label Insufficient Situations, CVPR (2020).
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])

    def init(key, outputs):
        del key, outputs
        return {}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, key, progress, hparams
        p = jax.nn.softmax(view.target.logits)
        left, sizes, right = singular_values_and_directions(p)
        # Directions of a singular value that is zero are rounding errors; without them the
        # gradient is the smallest of the subgradients, and equal examples keep equal gradients.
        is_real = sizes > sizes.max() * max(p.shape) * jnp.finfo(sizes.dtype).eps
        direction = jnp.matmul(left * is_real[None], right, precision="highest")
        return -jnp.sum(p * direction) / p.shape[0], method_state, {}

    return Alignment(init, loss)
