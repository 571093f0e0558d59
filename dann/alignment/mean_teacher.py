"""Agreement with the averaged weights, the teacher (self-ensembling)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from common.legal import check_keys, check_number
from common.method import Alignment, View

OPTIONS = ("weight", "threshold")
KEY = "config.alignment.mean_teacher"


def mean_teacher(config: Mapping[str, Any]) -> Alignment:
    """Builds the squared distance of predictions from those of the averaged weights.

    Each of B target pictures is seen twice: the trained weights, the student, predict p from the
    strong view, and their running average, the teacher, predicts p' from the weak view. Over K
    classes:

        loss = 1/B * sum over i with max p'_i > threshold of 1/K * sum_k (p_ik - p'_ik)^2

    No gradient reaches the teacher, which is the average that `config.optimizer.ema_decay` keeps
    and that is evaluated, of weights and of running statistics. It predicts in evaluation mode:
    without dropout, and under batch statistics with the averaged running ones, never with those of
    its batch. The authors' teacher is in training mode, with dropout and its batch's statistics,
    and averages weights alone; their two views are two draws of one augmentation, which is
    `config.data.strong_augment` set to `config.data.augment`. Their optional class-balance loss
    is not part of this term.

    Args:
        config: `threshold` of the teacher's largest probability; `weight` multiplies the term.

    Returns:
        The term; it owns no parameters, and records the share of pictures of which the teacher is
        sure, and on how many of all both take the same class.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        French et al., Self-ensembling for Visual Domain Adaptation, ICLR (2018), and the authors'
        code for small pictures: threshold 1 - 10 ** -1.5, weight 3, mean over classes, decay 0.99.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])
    check_number(f"{KEY}.threshold", config["threshold"], most=1.0)

    def init(key, outputs):
        del key, outputs
        return {}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, key, progress
        assert view.average is not None
        batch = view.batch["target"]
        student = jax.nn.softmax(view.forward(batch["strong_image"], "target").logits)
        # The average has no gradient.
        teacher = jax.nn.softmax(view.average(batch["image"], "target").logits)
        is_sure = teacher.max(-1) > hparams["threshold"]
        distances = jnp.mean((student - teacher) ** 2, axis=-1)
        agreed = student.argmax(-1) == teacher.argmax(-1)
        metrics = {"sure": jnp.mean(is_sure * 1.0), "agreement": jnp.mean(agreed * 1.0)}
        return jnp.mean(distances * is_sure), method_state, metrics

    return Alignment(init, loss, needs={"target": ("strong_image",)}, needs_average=True)
