"""Maximum classifier discrepancy (MCD)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.legal import check_count, check_keys, check_number
from common.method import Aux, Method, Phase, fold_in_name
from common.models.mode import EVALUATION, TRAINING
from common.models.network import make_network
from common.models.normalization import forward, initialize, predict
from common.training.objective import cross_entropy, needs_of

KEY = "config.adaptation"
OPTIONS = ("weight", "feature_steps")
FIRST, SECOND = "task_head", "second_task_head"


def make_method(config: Mapping[str, Any], num_classes: int) -> Method:
    """Builds two task heads that seek target examples the source does not settle.

    With CE the sum of both heads' cross-entropies on the source, and D the mean over target
    examples and classes of |p_1 - p_2|, a training step takes one batch through

        A, all parameters:                  CE
        B, the heads:                       CE - weight * D
        C, the features, feature_steps in a row:  weight * D

    The heads are of one shape and drawn apart; the first one predicts. Every pass takes both
    domains under the normalisation policy, and updates running statistics.

    As in the authors' code each of the three parameter roots has one optimizer state, which the
    phases that train it share; they keep two or three optimizers for the same partition. They
    score either head and the sum of both logits. Their code for VisDA adds 0.01 times a term for
    balanced classes to A and B, which is not here.

    Args:
        config: The resolved config; of `adaptation`, `weight` of the discrepancy and
            `feature_steps`, how often C is taken.
        num_classes: Number of classes of the task.

    Returns:
        The method.

    Raises:
        ValueError: An option that is unknown, missing or impossible, or a task of one class.

    References:
        Saito et al., Maximum Classifier Discrepancy for Unsupervised Domain Adaptation, CVPR
        (2018), section 3.4, equations 2 to 5.
    """
    options = config["adaptation"]
    check_keys(KEY, options, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", options["weight"])
    check_count(f"{KEY}.feature_steps", options["feature_steps"])
    if num_classes < 2:
        raise ValueError(
            f"method mcd needs a task of at least 2 classes; this one has {num_classes}"
        )
    network = make_network(config["model"], num_classes, config["task"])
    needs = needs_of(("source", "target"))

    def init(key, batch):
        images = {domain: batch[domain]["image"] for domain in needs}
        params, batch_stats = initialize(network, key, images)
        variables = {"params": params, "batch_stats": batch_stats}
        features = predict(network, variables, images["source"], "source").features
        second = network.task_head.init(fold_in_name(key, SECOND), features, mode=EVALUATION)
        return {
            "params": params | {SECOND: second["params"]},
            "batch_stats": batch_stats,
            "method_state": {},
        }

    def run(variables, batch, key):
        """Returns both heads' logits by domain, and the running statistics."""
        images = {domain: batch[domain]["image"] for domain in needs}
        outputs, batch_stats = forward(network, variables, images, key=fold_in_name(key, "dropout"))
        logits = {}
        for domain, own in outputs.items():
            second = network.task_head.apply(
                {"params": variables["params"][SECOND]},
                own.features,
                mode=TRAINING,
                rngs={"dropout": fold_in_name(key, f"{SECOND}/{domain}")},
            )
            logits[domain] = (own.logits, jnp.asarray(second))
        return logits, batch_stats

    def loss_of(task_factor, discrepancy_sign):
        def loss(variables, batch, *, key, progress, hparams):
            del progress
            logits, batch_stats = run(variables, batch, key)
            labels = batch["source"]["label"]
            first, second = (cross_entropy(own, labels) for own in logits["source"])
            gap = discrepancy(*logits["target"])
            value = task_factor * (first + second)
            value += discrepancy_sign * hparams["adaptation.weight"] * gap
            metrics = {"discrepancy": gap}
            if not discrepancy_sign:
                correct = logits["source"][0].argmax(-1) == labels
                metrics |= {"task_loss": first, "second_task_loss": second}
                metrics |= {"source_accuracy": jnp.mean(correct.astype(first.dtype))}
            return value, Aux(batch_stats, variables["method_state"], metrics)

        return loss

    return Method(
        init=init,
        phases=(
            Phase(loss_of(1, 0)),
            Phase(loss_of(1, -1), update=(FIRST, SECOND)),
            Phase(loss_of(0, 1), update=("feature_extractor",), repeat=options["feature_steps"]),
        ),
        predict=lambda variables, images, domain: predict(network, variables, images, domain),
        needs=needs,
    )


def discrepancy(
    first: Float[Array, "batch class"], second: Float[Array, "batch class"]
) -> Float[Array, ""]:
    """Returns the mean over examples and classes of the distance of two predictions.

    Args:
        first: Logits of one head.
        second: Logits of the other.

    Returns:
        The mean of |p_1 - p_2|, in [0, 2 / classes].
    """
    return jnp.abs(jax.nn.softmax(first) - jax.nn.softmax(second)).mean()
