"""AdaMatch: labels for the target from predictions whose class shares are aligned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from common.legal import check_keys, check_number
from common.method import Aux, Method, Phase, fold_in_name
from common.models.network import make_network
from common.models.normalization import forward, initialize, predict
from common.training.objective import cross_entropy

OPTIONS = ("weight", "threshold")
KEY = "config.adaptation"
VIEWS = ("image", "strong_image")
# How long the class shares of the two domains' predictions are remembered, in steps.
SOURCE_DECAY = 0.999
TARGET_STEPS = 128
EPSILON = 1e-6


def make_method(config: Mapping[str, Any], num_classes: int) -> Method:
    """Builds AdaMatch.

    A step sees a weak and a strong view of every picture. The source passes through the network
    alone, with logits z', and together with the target, with logits z'' and z_t; the statistics of
    the first pass are thrown away. With u drawn evenly from [0, 1] for every number:

        z_s = z'' + u (z' - z'')
        q = softmax(z_t,weak) * (m_s + 1e-6) / (m_t + 1e-6), divided by its sum over classes
        sure = max q >= threshold * mean over the source of max softmax(z_s,weak)
        loss = [CE(z_s,weak, y) + CE(z_s,strong, y)] / 2
               + weight * mu(progress) * mean over the target of sure * CE(z_t,strong, argmax q)

    m_s and m_t are running means of the *predictions* softmax(z_s,weak) and softmax(z_t,weak), not
    of labels: an average with decay 0.999 from 1 / K, and that of the last 128 steps, which begin
    as 1 / K. mu rises from 0 to 1 along half a cosine over the first half of the run. q and sure
    have no gradient, and the mean over the target divides by all of its pictures.

    The two passes of the source differ where it shares batch statistics with the target: under
    the policy `joint`, the authors'. Under all others z' is z''. For a weight other than 1 the
    authors' mu goes on from 1 to the weight in the second half.

    Args:
        config: The resolved config; `adaptation.threshold`, relative to the mean confidence on the
            source, and `adaptation.weight`.
        num_classes: Number of classes K of the task.

    Returns:
        The method; it keeps `source_share`, `[K]`, and `target_shares`, `[128, K]`.

    Raises:
        ValueError: An unknown model or policy, or an impossible option.

    References:
        Berthelot et al., AdaMatch: A Unified Approach to Semi-Supervised Learning and Domain
        Adaptation, ICLR (2022), and the authors' code, whose threshold is 0.9 and weight 1.
    """
    options = config["adaptation"]
    check_keys(KEY, options, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", options["weight"])
    check_number(f"{KEY}.threshold", options["threshold"], most=1.0)
    network = make_network(config["model"], num_classes, config["task"])

    def init(key, batch):
        images = {domain: batch[domain]["image"] for domain in ("source", "target")}
        params, batch_stats = initialize(network, key, images)
        state = {
            "source_share": jnp.full(num_classes, 1 / num_classes),
            "target_shares": jnp.full((TARGET_STEPS, num_classes), 1 / num_classes),
        }
        return {"params": params, "batch_stats": batch_stats, "method_state": state}

    def loss(variables, batch, *, key, progress, hparams):
        images = {
            domain: jnp.concatenate([batch[domain][view] for view in VIEWS])
            for domain in ("source", "target")
        }
        dropout = fold_in_name(key, "dropout")
        alone, _ = forward(network, variables, {"source": images["source"]}, key=dropout)
        together, batch_stats = forward(network, variables, images, key=dropout)
        own, other = together["source"].logits, alone["source"].logits
        share = jax.random.uniform(fold_in_name(key, "interpolation"), own.shape, own.dtype)
        source_weak, source_strong = jnp.split(own + share * (other - own), 2)
        target_weak, target_strong = jnp.split(together["target"].logits, 2)

        labels = batch["source"]["label"]
        task_loss = (cross_entropy(source_weak, labels) + cross_entropy(source_strong, labels)) / 2
        known, predicted = (
            jax.lax.stop_gradient(jax.nn.softmax(logits)) for logits in (source_weak, target_weak)
        )
        past, shares = (
            variables["method_state"][name] for name in ("source_share", "target_shares")
        )
        state = {
            "source_share": past + (1 - SOURCE_DECAY) * (known.mean(0) - past),
            "target_shares": jnp.concatenate([shares[1:], predicted.mean(0)[None]]),
        }
        ratio = (state["source_share"] + EPSILON) / (state["target_shares"].mean(0) + EPSILON)
        aligned = predicted * ratio[None, :]
        aligned = aligned / aligned.sum(-1, keepdims=True)
        threshold = hparams["adaptation.threshold"] * known.max(-1).mean()
        is_sure = (aligned.max(-1) >= threshold).astype(own.dtype)
        target_loss = cross_entropy(target_strong, aligned.argmax(-1), is_sure)
        ramp = (1 - jnp.cos(jnp.pi * jnp.minimum(2 * progress, 1))) / 2
        strength = hparams["adaptation.weight"] * ramp
        metrics = {
            "task_loss": task_loss,
            "source_accuracy": jnp.mean((source_weak.argmax(-1) == labels) * 1.0),
            "adamatch/loss": target_loss,
            "adamatch/sure": is_sure.mean(),
            "adamatch/threshold": threshold,
            "adamatch/strength": strength,
        }
        return task_loss + strength * target_loss, Aux(batch_stats, state, metrics)

    return Method(
        init=init,
        phases=(Phase(loss),),
        predict=lambda variables, images, domain: predict(network, variables, images, domain),
        needs={"source": (*VIEWS, "label"), "target": VIEWS},
    )
