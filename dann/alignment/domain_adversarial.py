"""Domain-adversarial training (DANN)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from common.legal import check_count, check_keys, check_name, check_number
from common.method import Alignment, View, fold_in_name
from common.models.mlp import KERNEL_INITIALIZERS
from dann.discriminator import DomainDiscriminator
from dann.gradient_reversal import reverse_gradient
from dann.schedule import SCHEDULES

REDUCTIONS = ("mean", "sum")
OPTIONS = (
    *("weight", "strength", "schedule", "gamma"),
    *("scale_discriminator", "domain_reduction", "hidden", "kernel_init"),
)
KEY = "config.alignment.domain_adversarial"


def domain_adversarial(config: Mapping[str, Any]) -> Alignment:
    """Builds the domain-adversarial term.

    A discriminator D learns to tell the domains apart from features f; the gradient reaches the
    feature extractor reversed and scaled by a strength that follows a schedule:

        loss = reduce_over_domains( mean BCE(D(R(f_source)), 1), mean BCE(D(R(f_target)), 0) )

    There are two published forms. The image experiments ramp the strength, and the discriminator
    trains at full weight (`schedule="ramp"`, `scale_discriminator=False`). Algorithm 1, used for
    moons and reviews, keeps the strength constant, lets it multiply the discriminator's own update
    too, and adds the two domains' means (`"constant"`, `True`, `domain_reduction="sum"`). The
    equations add the means as well, so strength 1 under `mean` is their lambda of one half.

    Args:
        config: `strength` (largest), `schedule`, `gamma`, `scale_discriminator`,
            `domain_reduction`, `hidden` and `kernel_init` of the discriminator; `weight`
            multiplies the whole term.

    Returns:
        The term; it owns the root `domain_discriminator` and records the discriminator's training
        accuracy and the strength.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17 (2016) 59,
        equations 8 to 10 and 18, Algorithm 1, section 5.2.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_adversary(KEY, config)
    check_name(f"{KEY}.domain_reduction", config["domain_reduction"], REDUCTIONS)
    check_name(f"{KEY}.kernel_init", config["kernel_init"], KERNEL_INITIALIZERS)
    discriminator = DomainDiscriminator(tuple(config["hidden"]), config["kernel_init"])
    schedule = SCHEDULES[config["schedule"]]
    reduction = config["domain_reduction"]
    scale_discriminator = config["scale_discriminator"]

    def init(key, outputs):
        drawn = discriminator.init(
            fold_in_name(key, "domain_discriminator"), outputs["source"].features
        )
        return {"domain_discriminator": drawn["params"]}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del key
        strength = hparams["strength"] * schedule(progress, hparams["gamma"])
        features = jnp.concatenate([view.source.features, view.target.features])
        # Algorithm 1 scales the whole domain loss; the reversal then passes it on at factor 1.
        reversal = jnp.ones_like(strength) if scale_discriminator else strength
        factor = strength if scale_discriminator else jnp.ones_like(strength)
        logits = jnp.asarray(
            discriminator.apply(
                {"params": params["domain_discriminator"]}, reverse_gradient(features, reversal)
            )
        )
        source, target = jnp.split(logits, [view.source.features.shape[0]])
        losses, accuracy = domain_losses(source, target)
        value = factor * (losses.mean() if reduction == "mean" else losses.sum())
        metrics = {"domain_accuracy": accuracy, "reversal_strength": strength}
        return value, method_state, metrics

    return Alignment(init, loss)


def check_adversary(key: str, config: Mapping[str, Any]) -> None:
    """Refuses impossible values of the options that all terms with a reversed gradient have.

    Args:
        key: Where the term's options stand.
        config: `schedule`, `weight`, `strength`, `gamma` and `hidden` are read.

    Raises:
        ValueError: One of them is impossible.
    """
    check_name(f"{key}.schedule", config["schedule"], SCHEDULES)
    for name in ("weight", "strength", "gamma"):
        check_number(f"{key}.{name}", config[name])
    for index, units in enumerate(config["hidden"]):
        check_count(f"{key}.hidden[{index}]", units)


def domain_losses(
    source: Float[Array, "source"],
    target: Float[Array, "target"],
    weights: tuple[Float[Array, "source"], Float[Array, "target"]] | None = None,
) -> tuple[Float[Array, "2"], Float[Array, ""]]:
    """Scores a discriminator.

    Args:
        source: Its logits on the source.
        target: Its logits on the target.
        weights: Factors of the examples' losses, by domain.

    Returns:
        The mean binary cross-entropy of the source and of the target, and the mean of its
        accuracies on both.
    """
    losses = [
        optax.sigmoid_binary_cross_entropy(source, jnp.ones_like(source)),
        optax.sigmoid_binary_cross_entropy(target, jnp.zeros_like(target)),
    ]
    if weights is not None:
        losses = [weight * own for weight, own in zip(weights, losses, strict=True)]
    accuracy = (jnp.mean((source > 0) * 1.0) + jnp.mean((target <= 0) * 1.0)) / 2
    return jnp.stack([own.mean() for own in losses]), accuracy
