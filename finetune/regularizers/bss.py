"""Batch spectral shrinkage (BSS)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from common.factorization import singular_values_and_directions
from common.legal import check_count, check_keys, check_number
from common.method import Regularizer, RegularizerView

OPTIONS = ("weight", "number")
KEY = "config.regularization.bss"


def bss(config: Mapping[str, Any]) -> Regularizer:
    """Builds the squares of the smallest singular values of a batch's features.

        loss = sum_{i=1..number} sigma_{-i}^2,   sigma_{-i} the i-th smallest of the
                                                 min(B, d) singular values of f [B, d]

    The directions in which the features of a batch hardly differ are held to carry little of use;
    they are made smaller still. The value is not divided by B. Of several labelled domains it is
    the mean. A batch that holds an example twice, unchanged, has a singular value of 0 and is left
    alone where `number` is 1.

    Args:
        config: `number` of singular values; `weight`.

    Returns:
        The regulariser; it records the smallest and the largest singular value.

    Raises:
        ValueError: An option that is unknown, missing or impossible, or more singular values than
            a batch has.

    References:
        Chen et al., Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage for
        Safe Transfer Learning, NeurIPS (2019), and the authors' code: weight 0.001 and one
        singular value, with batches of 48.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])
    check_count(f"{KEY}.number", config["number"])
    number = config["number"]

    def init(params, outputs):
        del params
        for domain, own in outputs.items():
            rows, units = own.features.shape
            if number > min(rows, units):
                raise ValueError(
                    f"{KEY}.number is {number}; a batch of {rows} examples of {domain} with "
                    f"{units} features has {min(rows, units)} singular values"
                )
        return {}

    def loss(params, state, view: RegularizerView, hparams):
        del params, state, hparams
        values = []
        for own in view.outputs.values():
            left, _, right = singular_values_and_directions(own.features)
            # With directions held, the gradient has no term in 1 / (sigma_i - sigma_j).
            moved = jnp.matmul(own.features, right.T, precision="highest")
            values.append(jnp.sum(left * moved, axis=0))
        smallest = jnp.stack([jnp.sum(own[-number:] ** 2) for own in values])
        metrics = {
            "smallest": jnp.mean(jnp.stack([own[-1] for own in values])),
            "largest": jnp.mean(jnp.stack([own[0] for own in values])),
        }
        return smallest.mean(), metrics

    return Regularizer(init, loss, needs_start=False)
