"""Source hypothesis transfer (SHOT): features that fit a frozen head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from common.entropy import entropies
from common.legal import check_count, check_keys, check_number
from common.method import Aux, Batch, Method, Phase, fold_in_name
from common.models.normalization import forward, predict
from common.training.objective import cross_entropy
from dann.methods.source_free import draw, make_trained_network

OPTIONS = ("pseudo_label_weight", "refresh_every")
POLICIES = ("joint", "separate", "per_domain", "frozen", "group", "none")


def pseudo_labels(
    features: Float[Array, "example feature"], logits: Float[Array, "example class"]
) -> Int[Array, "example"]:
    """Labels every example by the nearest centroid of a class.

    A 1 is appended to the features, and they are scaled to unit length. Centroids are means
    weighted by the predictions, then once more by the labels that these gave; nearest is by the
    cosine. A class that nothing was taken for has no centroid.

    Args:
        features: What the head reads, of the whole split.
        logits: The head's logits.

    Returns:
        Classes.
    """
    rows = jnp.concatenate([features, jnp.ones_like(features[:, :1])], axis=1)
    rows /= jnp.linalg.norm(rows, axis=1, keepdims=True)
    shares, taken = jax.nn.softmax(logits), logits.argmax(-1)
    for _ in range(2):
        members = jax.nn.one_hot(taken, logits.shape[-1])
        # The length of a sum does not matter for the cosine, so the mean's divisor is left out.
        sums = shares.T @ rows
        centroids = sums / jnp.maximum(jnp.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        similarity = jnp.where(members.any(axis=0)[None], rows @ centroids.T, -jnp.inf)
        taken = similarity.argmax(-1)
        shares = jax.nn.one_hot(taken, logits.shape[-1])
    return taken.astype(jnp.int32)


def make_method(config: Mapping[str, Any], num_classes: int) -> Method:
    """Builds information maximisation and self-training under the source's head.

    Of a batch of target logits z, p = softmax(z), m the mean of p, and pseudo-labels y:

        loss = mean H(p) - H(m) + pseudo_label_weight * mean CE(z, y)

    The feature extractor alone learns. The labels are computed anew from the whole training split,
    without augmentation and in evaluation mode, with averaged weights where the run averages.

    Different from the authors: the source was trained as every other row is, without label
    smoothing, and the network has no bottleneck with batch normalisation and no head with
    normalised weights, unless the config has them; extractor and optimizer have one rate.

    Args:
        config: The resolved config; `adaptation.pseudo_label_weight`, and
            `adaptation.refresh_every`, the steps between two computations of the labels.
        num_classes: Number of classes of the task.

    Returns:
        The method; its state holds a label an example, and it records the share of predictions in
        a batch that are as labelled.

    Raises:
        ValueError: An option that is unknown, missing or impossible, no run to start from, other
            domains than the target, or a term.

    References:
        Liang, Hu and Feng, Do We Really Need to Access the Source Data? Source Hypothesis Transfer
        for Unsupervised Domain Adaptation, ICML (2020), equations 3 to 7, and the authors' code for
        objects: weight 0.3 (0.1 for digits), labels renewed every epoch.
    """
    own, key_of = config["adaptation"], "config.adaptation"
    check_keys(key_of, own, OPTIONS, OPTIONS)
    check_number(f"{key_of}.pseudo_label_weight", own["pseudo_label_weight"])
    check_count(f"{key_of}.refresh_every", own["refresh_every"])
    network = make_trained_network(config, num_classes, POLICIES, "has no such policy")

    def init(key, batch):
        labels = jnp.zeros(batch["target"]["index"].shape, jnp.int32)
        return draw(network, key, batch) | {"method_state": {"labels": labels}}

    def loss(variables, batch: Batch, *, key, progress, hparams):
        del progress
        state, images = variables["method_state"], {"target": batch["target"]["image"]}
        outputs, statistics = forward(network, variables, images, key=fold_in_name(key, "dropout"))
        logits, labels = outputs["target"].logits, state["labels"][batch["target"]["index"]]
        unsure, diverse = entropies(logits)
        labelled = cross_entropy(logits, labels)
        metrics = {
            "entropy": unsure,
            "diversity": diverse,
            "pseudo_label_loss": labelled,
            "pseudo_label_agreement": jnp.mean((logits.argmax(-1) == labels) * 1.0),
        }
        total = unsure - diverse + hparams["adaptation.pseudo_label_weight"] * labelled
        return total, Aux(statistics, state, metrics)

    def refresh(variables, outputs, hparams):
        del variables, hparams
        target = outputs["target"]
        return {"labels": pseudo_labels(target["features"], target["logits"])}

    return Method(
        init=init,
        phases=(Phase(loss),),
        predict=lambda variables, images, domain: predict(network, variables, images, domain),
        needs={"target": ("image", "index")},
        refresh=refresh,
        refresh_every=own["refresh_every"],
        trains="feature_extractor/.*",
    )
