"""Domain-adversarial training against several sources: one softmax over all domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from common.data.pool import list_sources
from common.legal import check_count, check_keys
from common.method import Alignment, View, fold_in_name
from common.models.mlp import TaskHead
from common.models.mode import TRAINING
from dann.alignment.domain_adversarial import check_adversary
from dann.gradient_reversal import reverse_gradient
from dann.schedule import SCHEDULES

OPTIONS = ("weight", "num_sources", "strength", "schedule", "gamma", "hidden")
KEY = "config.alignment.multi_source_adversarial"
ROOT = "multi_source_discriminator"


def multi_source_adversarial(config: Mapping[str, Any]) -> Alignment:
    """Builds DANN's game with each source as a domain of its own.

    A discriminator with a softmax over the S sources and the target reads features f through the
    reversal R, and the domains count alike:

        loss = 1/(S + 1) sum_d mean over the examples of d of -log softmax(D(R(f)))_d

    So the features of the sources are matched with one another too. With one source this is DANN
    with two logits in the place of one.

    This is the plain extension of DANN's equations to more domains, whose value at a perfect match
    is log(S + 1). It is not MDAN (Zhao et al., NeurIPS (2018)), which has S discriminators of two
    classes, each of one source against the target, and weights sources by their losses.

    Args:
        config: `num_sources`, as many as `config.source` names; `strength` (largest), `schedule`,
            `gamma`, and `hidden` of the discriminator; `weight` multiplies the whole term.

    Returns:
        The term; it owns the root `multi_source_discriminator` and records the mean over the
        domains of the discriminator's accuracy, and the strength.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17 (2016) 59, for two
        domains.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_adversary(KEY, config)
    check_count(f"{KEY}.num_sources", config["num_sources"])
    num_domains = config["num_sources"] + 1
    schedule = SCHEDULES[config["schedule"]]
    discriminator = TaskHead(num_domains, tuple(config["hidden"]))

    def init(key, outputs):
        drawn = discriminator.init(
            fold_in_name(key, ROOT), outputs["source"].features, mode=TRAINING
        )
        return {ROOT: drawn["params"]}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del key
        strength = hparams["strength"] * schedule(progress, hparams["gamma"])
        features = jnp.concatenate([view.source.features, view.target.features])
        logits = jnp.asarray(
            discriminator.apply(
                {"params": params[ROOT]}, reverse_gradient(features, strength), mode=TRAINING
            )
        )
        of_target = jnp.full(view.target.features.shape[:1], num_domains - 1, jnp.int32)
        domains = jnp.concatenate([view.batch["source"]["domain"], of_target])
        members = jax.nn.one_hot(domains, num_domains, axis=0, dtype=logits.dtype)
        shares = members / members.sum(1, keepdims=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, domains)
        correct = (logits.argmax(-1) == domains) * jnp.ones_like(losses)
        # Not `domain_accuracy`: what reports say of that holds for two domains.
        metrics = {
            "accuracy_over_domains": (shares @ correct).mean(),
            "reversal_strength": strength,
        }
        return (shares @ losses).mean(), method_state, metrics

    return Alignment(init, loss, needs={"source": ("domain",)})


def check_sources(config: Mapping[str, Any]) -> None:
    """Refuses a number of sources that is not that of the run.

    Args:
        config: The resolved config.

    Raises:
        ValueError: With the number that would be right.
    """
    own = config["alignment"].get("multi_source_adversarial")
    count = len(list_sources(config["source"]))
    if own is not None and own["num_sources"] != count:
        raise ValueError(
            f"{KEY}.num_sources is {own['num_sources']}, and config.source {config['source']!r} "
            f"names {count}: set it to {count}"
        )
