"""Predictions that stay near those of the starting network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from common.legal import check_keys, check_number
from common.method import Regularizer, RegularizerView

OPTIONS = ("weight", "temperature")
KEY = "config.regularization.distillation"


def distillation(config: Mapping[str, Any]) -> Regularizer:
    """Builds the divergence of the predictions from those of the start.

    Of logits z0 of the starting network with its own head, in evaluation mode, and z at hand:

        loss = T^2 mean KL(softmax(z0 / T) || softmax(z / T)),   T the temperature

    The factor keeps the size of the gradient over T, as in Hinton et al.; Learning without
    Forgetting has none, and takes the cross-entropy, which has the same gradient. There the old
    task has a head of its own; here source and target share the classes and the head, so that the
    task loss and this one pull at the same logits.

    Args:
        config: `temperature`, 2 in Learning without Forgetting; `weight`.

    Returns:
        The regulariser; it records how often the two networks predict the same class.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (2015), section 2;
        Zhizhong Li and Hoiem, Learning without Forgetting, ECCV (2016).
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])
    check_number(f"{KEY}.temperature", config["temperature"], least=1e-3)

    def loss(params, state, view: RegularizerView, hparams):
        del params, state
        temperature = hparams["temperature"]
        divergences, agreements = [], []
        for domain, own in view.outputs.items():
            before = view.start.predict(view.batch[domain]["image"], domain).logits
            old = jax.nn.log_softmax(before / temperature)
            new = jax.nn.log_softmax(own.logits / temperature)
            divergences.append(jnp.mean(jnp.sum(jnp.exp(old) * (old - new), axis=-1)))
            agreements.append(jnp.mean((before.argmax(-1) == own.logits.argmax(-1)) * 1.0))
        value = temperature**2 * jnp.mean(jnp.stack(divergences))
        return value, {"agreement": jnp.mean(jnp.stack(agreements))}

    return Regularizer(lambda params, outputs: {}, loss, needs_head=True)
