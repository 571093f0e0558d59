"""Conditional domain-adversarial training (CDAN, CDAN+E)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.data.augmentation.option import check_flag
from common.legal import check_count, check_keys
from common.method import Alignment, View, fold_in_name
from dann.alignment.domain_adversarial import check_adversary, domain_losses
from dann.discriminator import DomainDiscriminator
from dann.gradient_reversal import reverse_gradient
from dann.schedule import SCHEDULES

SWITCHES = ("entropy_conditioning", "entropy_gradient")
OPTIONS = ("weight", "strength", "schedule", "gamma", "hidden", "width", *SWITCHES)
KEY = "config.alignment.conditional_adversarial"
ROOT = "conditional_discriminator"
MOST_PRODUCTS = 4096


def conditional_adversarial(config: Mapping[str, Any]) -> Alignment:
    """Builds the domain-adversarial term whose discriminator sees which class a feature goes with.

        h = vec(p f^T),   p = softmax(logits), which has no gradient, of features f
        loss = (mean w BCE(D(h_source), 1) + mean w BCE(D(h_target), 0)) / 2

    The gradient reaches f reversed and scaled, as in `domain_adversarial`. With more than 4,096
    products h is (R_f f) * (R_p p) / sqrt(width), elementwise; both matrices are standard normal,
    drawn once, and part of the state. w is 1, or under `entropy_conditioning` 1 + exp(-H(p))
    divided by its mean over the domain, without a gradient. The authors' code lets a reversed
    gradient into p through w (`entropy_gradient`), and drops units of its discriminator.

    Args:
        config: `strength` (largest), `schedule`, `gamma`, `hidden` of the discriminator, `width`
            of the random map, and the two switches above; `weight` multiplies the term.

    Returns:
        The term; it owns the root `conditional_discriminator` and records its accuracy.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Long et al., Conditional Adversarial Domain Adaptation, NeurIPS (2018), section 3.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_adversary(KEY, config)
    check_count(f"{KEY}.width", config["width"])
    for name in SWITCHES:
        check_flag(f"{KEY}.{name}", config[name])
    if config["entropy_gradient"] and not config["entropy_conditioning"]:
        raise ValueError(f"{KEY}.entropy_gradient is True; it takes entropy_conditioning=True")
    discriminator = DomainDiscriminator(tuple(config["hidden"]))
    schedule = SCHEDULES[config["schedule"]]

    def init(key, outputs):
        features, logits = outputs["source"].features, outputs["source"].logits
        matrices = {}
        if features.shape[-1] * logits.shape[-1] > MOST_PRODUCTS:
            for name, values in (("features", features), ("predictions", logits)):
                shape = (values.shape[-1], config["width"])
                matrices[name] = jax.random.normal(fold_in_name(key, f"{ROOT}/{name}"), shape)
        joined = join(features, logits, matrices)
        return {ROOT: discriminator.init(fold_in_name(key, ROOT), joined)["params"]}, matrices

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del key
        strength = hparams["strength"] * schedule(progress, hparams["gamma"])
        rate = strength if config["entropy_gradient"] else jnp.zeros_like(strength)

        def judge(outputs):
            features = reverse_gradient(outputs.features, strength)
            joined = join(features, outputs.logits, method_state)
            judged = discriminator.apply({"params": params[ROOT]}, joined)
            return jnp.asarray(judged), certainty(reverse_gradient(outputs.logits, rate))

        (source, source_weight), (target, target_weight) = judge(view.source), judge(view.target)
        weights = (source_weight, target_weight) if config["entropy_conditioning"] else None
        losses, accuracy = domain_losses(source, target, weights)
        metrics = {"domain_accuracy": accuracy, "reversal_strength": strength}
        return losses.mean(), method_state, metrics

    return Alignment(init, loss)


def join(
    features: Float[Array, "batch unit"],
    logits: Float[Array, "batch class"],
    matrices: Mapping[str, Array],
) -> Float[Array, "batch product"]:
    """Joins features and predictions; by a random map where there are matrices."""
    predictions = jax.lax.stop_gradient(jax.nn.softmax(logits))
    if not matrices:
        return (predictions[:, :, None] * features[:, None]).reshape(len(features), -1)
    mapped = (features @ matrices["features"]) * (predictions @ matrices["predictions"])
    return mapped / mapped.shape[-1] ** 0.5


def certainty(logits: Float[Array, "batch class"]) -> Float[Array, "batch"]:
    """Returns weights of mean 1 that grow with the certainty of predictions."""
    log_p = jax.nn.log_softmax(logits)
    weight = 1 + jnp.exp((jnp.exp(log_p) * log_p).sum(-1))
    return weight / jax.lax.stop_gradient(weight.mean())
