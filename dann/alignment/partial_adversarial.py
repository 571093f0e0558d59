"""Domain-adversarial training for a target with some of the source's classes (PADA)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.legal import check_count, check_keys
from common.method import Alignment, View, fold_in_name
from dann.alignment.domain_adversarial import check_adversary, domain_losses
from dann.discriminator import DomainDiscriminator
from dann.gradient_reversal import reverse_gradient
from dann.schedule import SCHEDULES

OPTIONS = ("weight", "strength", "schedule", "gamma", "hidden", "refresh_every")
KEY = "config.alignment.partial_adversarial"
# That of `domain_adversarial`, so that its rate is that of DANN's discriminator.
ROOT = "domain_discriminator"


def partial_adversarial(config: Mapping[str, Any]) -> Alignment:
    """Builds the domain-adversarial term that discounts classes which the target seems to lack.

        w_k = m_k / max(m),   m = mean softmax(logits) over the target's training split
        loss = ( mean w_y BCE(D(R(f_source)), 1) + mean BCE(D(R(f_target)), 0) ) / 2

    where y is the label of the source example and R reverses the gradient as in
    `domain_adversarial`. w_y multiplies the source's cross-entropy too. m is that of the weights
    that are evaluated, anew every `refresh_every` steps; before the first of them w is 1, as in the
    authors' code, so that a run of no more steps is DANN.

    The paper adds the domain losses; the authors' code and `domain_adversarial` take their mean.
    That code also divides the w of a batch by the largest of them in the domain loss, and by
    their sum in the source's cross-entropy, where the paper divides by the number of examples.

    Args:
        config: `strength` (largest), `schedule`, `gamma`, `hidden` of the discriminator and
            `refresh_every`; `weight` multiplies the term.

    Returns:
        The term; it owns the root `domain_discriminator` and records its accuracy, the strength and
        the mean of w over classes.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Cao et al., Partial Adversarial Domain Adaptation, ECCV (2018), section 3.2, and the
        authors' code.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_adversary(KEY, config)
    check_count(f"{KEY}.refresh_every", config["refresh_every"])
    discriminator = DomainDiscriminator(tuple(config["hidden"]))
    schedule = SCHEDULES[config["schedule"]]

    def init(key, outputs):
        features, logits = outputs["source"].features, outputs["source"].logits
        drawn = discriminator.init(fold_in_name(key, ROOT), features)
        state = {"class_weights": jnp.ones(logits.shape[-1]), "refreshes": jnp.zeros((), jnp.int32)}
        return {ROOT: drawn["params"]}, state

    def refresh(method_state, outputs, hparams):
        del hparams
        # The network of the first refresh has not learned anything yet.
        is_first = method_state["refreshes"] == 0
        weights = class_weights(outputs["target"]["logits"])
        return {
            "class_weights": jnp.where(is_first, jnp.ones_like(weights), weights),
            "refreshes": method_state["refreshes"] + 1,
        }

    def source_weight(method_state, view: View):
        return method_state["class_weights"][view.batch["source"]["label"]]

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del key
        strength = hparams["strength"] * schedule(progress, hparams["gamma"])
        features = jnp.concatenate([view.source.features, view.target.features])
        logits = jnp.asarray(
            discriminator.apply({"params": params[ROOT]}, reverse_gradient(features, strength))
        )
        source, target = jnp.split(logits, [len(view.source.features)])
        weights = source_weight(method_state, view), jnp.ones_like(target)
        losses, accuracy = domain_losses(source, target, weights)
        metrics = {
            "domain_accuracy": accuracy,
            "reversal_strength": strength,
            "mean_class_weight": method_state["class_weights"].mean(),
        }
        return losses.mean(), method_state, metrics

    return Alignment(
        init, loss, source_weight, refresh=refresh, refresh_every=config["refresh_every"]
    )


def class_weights(logits: Float[Array, "example class"]) -> Float[Array, "class"]:
    """Returns how much each class is predicted, the most predicted one being 1."""
    mean = jax.nn.softmax(logits).mean(0)
    return mean / mean.max()
