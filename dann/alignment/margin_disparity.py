"""Margin disparity discrepancy (MDD)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from common.legal import check_keys, check_number
from common.method import Alignment, View, fold_in_name
from common.models.mlp import TaskHead
from common.models.mode import TRAINING
from common.training.objective import cross_entropy
from dann.alignment.domain_adversarial import check_adversary
from dann.gradient_reversal import reverse_gradient
from dann.schedule import SCHEDULES

OPTIONS = ("weight", "margin_factor", "strength", "schedule", "gamma", "hidden")
KEY = "config.alignment.margin_disparity"
ROOT = "adversarial_head"


def margin_disparity(config: Mapping[str, Any]) -> Alignment:
    """Builds the discrepancy of the domains that a second head finds.

    Of logits z of the task head, and p' = softmax(z') of the adversarial head, which reads
    features through the reversal:

        loss = margin_factor * mean CE(z'_source, argmax z_source)
               + mean -log(1 - p'_target[argmax z_target])

    The adversarial head learns to agree with the task head on the source and to disagree on the
    target; the features learn the opposite at the strength. The task head gets no gradient of it.

    The authors' strength is 0.1 (2 / (1 + exp(-i / 1000)) - 1) at step i of any run. Over the
    progress of a run of n steps that is the schedule `ramp` with strength 0.1 and gamma n / 1000;
    the default of 10 is theirs over 10,000 steps. Their heads also have dropout.

    Args:
        config: `margin_factor`, `strength` (largest), `schedule`, `gamma`, and `hidden` of the
            adversarial head; `weight` multiplies the whole term.

    Returns:
        The term; it owns the root `adversarial_head` and records how often the two heads agree on
        each domain, and the strength.

    Raises:
        ValueError: An option that is unknown, missing or impossible, or a task of one class.

    References:
        Zhang et al., Bridging Theory and Algorithm for Domain Adaptation, ICML (2019), section 5,
        and the authors' code; margin factor 4 is that of Office-31, 2 that of Office-Home.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_adversary(KEY, config)
    check_number(f"{KEY}.margin_factor", config["margin_factor"])
    schedule = SCHEDULES[config["schedule"]]

    def head_of(logits):
        return TaskHead(logits.shape[-1], tuple(config["hidden"]))

    def init(key, outputs):
        features, logits = outputs["source"].features, outputs["source"].logits
        if logits.shape[-1] < 2:
            raise ValueError(f"{KEY} needs a task of at least 2 classes; this one has 1")
        drawn = head_of(logits).init(fold_in_name(key, ROOT), features, mode=TRAINING)
        return {ROOT: drawn["params"]}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del key
        strength = hparams["strength"] * schedule(progress, hparams["gamma"])
        features = jnp.concatenate([view.source.features, view.target.features])
        logits = jnp.asarray(
            head_of(view.source.logits).apply(
                {"params": params[ROOT]}, reverse_gradient(features, strength), mode=TRAINING
            )
        )
        source, target = jnp.split(logits, [len(view.source.features)])
        taken = [outputs.logits.argmax(-1) for outputs in (view.source, view.target)]
        # 1 - p' rounds to 0 where p' is near 1; its log-odds do not.
        is_taken = jax.nn.one_hot(taken[1], target.shape[-1], dtype=bool)
        others = jax.nn.logsumexp(jnp.where(is_taken, -jnp.inf, target), axis=-1)
        own = jnp.where(is_taken, target, 0).sum(-1)
        value = hparams["margin_factor"] * cross_entropy(source, taken[0])
        value += jax.nn.softplus(own - others).mean()
        metrics = {
            "source_agreement": jnp.mean((source.argmax(-1) == taken[0]) * 1.0),
            "target_agreement": jnp.mean((target.argmax(-1) == taken[1]) * 1.0),
            "reversal_strength": strength,
        }
        return value, method_state, metrics

    return Alignment(init, loss)
