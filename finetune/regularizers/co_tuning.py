"""The old head, trained on the classes that it takes the new ones for (Co-Tuning)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from common.legal import check_keys, check_number
from common.method import Regularizer, RegularizerView

OPTIONS = ("weight", "temperature")
KEY = "config.regularization.co_tuning"
ROOT = "source_head"


def relate(
    logits: Float[Array, "example source"],
    labels: Int[Array, "example"],
    num_classes: int,
    temperature: Float[Array, ""],
) -> Float[Array, "target source"]:
    """Estimates p(source class | target class), the mean prediction of each class.

    Args:
        logits: Of the old head on labelled target examples.
        labels: Their classes.
        num_classes: Number of target classes.
        temperature: What logits are divided by, so that predictions are as sure as they are right.

    Returns:
        A distribution a row; zeros for a class without examples, which no batch holds.
    """
    members = jax.nn.one_hot(labels, num_classes, dtype=logits.dtype)
    sums = members.T @ jax.nn.softmax(logits / temperature)
    return sums / jnp.maximum(members.sum(0), 1)[:, None]


def co_tuning(config: Mapping[str, Any]) -> Regularizer:
    """Builds the cross-entropy of the old head with the source classes of each label.

    Of logits z' of the old head, which goes on learning, and the relation r of the classes:

        loss = mean over the batch of -sum_s r[y, s] log softmax(z')_s
        r[y] = mean softmax(z0 / temperature) over the labelled examples of class y, by the
               starting network in evaluation mode

    This is the paper's direct approach. Theirs on top, a multinomial regression from source to
    target classes and Bayes' rule, chooses its penalty on validation labels, which a target with
    few labels does not have. The authors multiply ImageNet's logits by 0.884, the temperature 1.13
    that calibrates that network; calibrate your own on the source's validation split.

    The old head is the starting one plus the root `source_head`, which starts at zero; a decay of
    that root pulls it to the start. The authors' new head is drawn afresh, with ten times the rate.

    Args:
        config: `temperature`; `weight`.

    Returns:
        The regulariser; it records the accuracy of the old head at the likeliest source class.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        You et al., Co-Tuning for Transfer Learning, NeurIPS (2020), section 3, and the authors'
        code: weight 2.3.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])
    check_number(f"{KEY}.temperature", config["temperature"], least=1e-3)

    def init(params, outputs):
        del outputs
        return {ROOT: jax.tree.map(jnp.zeros_like, params["task_head"])}

    def prepare(start, outputs, hparams):
        del start
        labelled = [own for own in outputs.values() if "label" in own]
        logits = jnp.concatenate([own["logits"] for own in labelled])
        labels = jnp.concatenate([own["label"] for own in labelled])
        # The task's head is the old one before step 0.
        return {"relation": relate(logits, labels, logits.shape[-1], hparams["temperature"])}

    def loss(params, state, view: RegularizerView, hparams):
        del hparams
        head = jax.tree.map(jnp.add, view.start.params["task_head"], params[ROOT])
        losses, hits = [], []
        for domain, own in view.outputs.items():
            logits = view.head(head, own.features)
            classes = state["relation"][view.batch[domain]["label"]]
            losses.append(jnp.mean(optax.softmax_cross_entropy(logits, classes)))
            hits.append(jnp.mean((logits.argmax(-1) == classes.argmax(-1)) * 1.0))
        return jnp.mean(jnp.stack(losses)), {"agreement": jnp.mean(jnp.stack(hits))}

    return Regularizer(init, loss, prepare, needs_head=True)
