"""Evidence made up by NumPy, and one compiled program of all scores that tests share."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common.density_ratio import log_ratio
from common.evaluation.evidence import Evidence, classifier_of, complete
from common.evaluation.scores.score import compute_scores
from common.method import Outputs, fold_in_name

SIZES = {"source_train": 60, "source_val": 80, "target_train": 50, "target_val": 40}
NUM_CLASSES, NUM_FEATURES = 4, 6
KEY = 7
Parts = dict[str, Any]


def make_parts(seed: int = 0, shift: float = 0.5, noise: float = 0.25, sizes=None) -> Parts:
    """Makes what a good network says: features in a cluster a class, logits that name it.

    Args:
        seed: Draws everything.
        shift: How far all of the target's features are moved.
        noise: Deviation within a cluster.
        sizes: Of the parts; `SIZES` without.

    Returns:
        Features and logits by part, classes of the source, pictures, and a linear network.
    """
    draw = np.random.default_rng(seed)
    # Rows are classes; a picture holds its features, so that the network reads what it predicts.
    centers = 2 * np.eye(NUM_CLASSES, NUM_FEATURES)
    head = 3 * centers.T
    parts: Parts = {}
    for name, size in (sizes or SIZES).items():
        labels = np.arange(size) % NUM_CLASSES
        features = centers[labels] + noise * draw.normal(size=(size, NUM_FEATURES))
        features[:, -1] += shift * name.startswith("target")
        parts[name] = {"features": features, "logits": features @ head}
        if name.startswith("source"):
            parts[f"{name}_label"] = labels
    parts["target_val_image"] = parts["target_val"]["features"].copy()
    parts["head"] = head
    return parts


def collapse(parts: Parts) -> Parts:
    """Makes of a network one that gives every example the same features and a sure prediction."""
    features, logits = np.ones(NUM_FEATURES), np.array([20.0, 0, 0, 0])
    same = {
        name: {
            "features": np.tile(features, (len(own["features"]), 1)),
            "logits": np.tile(logits, (len(own["logits"]), 1)),
        }
        for name, own in parts.items()
        if name in SIZES
    }
    constant = np.zeros_like(parts["head"])
    constant[:, 0] = 1
    # Pictures are not what collapses; all of theirs have a positive sum.
    return parts | same | {"head": constant, "target_val_image": 1 + parts["target_val_image"] ** 2}


def evidence_of(parts: Parts) -> Evidence:
    """Builds the evidence of parts, whose arrays may be traced."""
    return Evidence(
        source_train=Outputs(**parts["source_train"]),
        source_val=Outputs(**parts["source_val"]),
        target_train=Outputs(**parts["target_train"]),
        target_val=Outputs(**parts["target_val"]),
        source_train_label=parts["source_train_label"],
        source_val_label=parts["source_val_label"],
        target_val_image=parts["target_val_image"],
        predict=lambda images: Outputs(images, images @ parts["head"]),
    )


def on_device(parts: Parts) -> Parts:
    """Returns the parts as arrays of single precision."""
    return jax.tree.map(
        lambda own: jnp.asarray(own, jnp.int32 if own.dtype.kind == "i" else jnp.float32), parts
    )


def key_of(name: str) -> jax.Array:
    """Returns the key that a score, or the domain classifier, draws with."""
    return fold_in_name(jax.random.key(KEY), name)


def all_scores(parts: Parts) -> dict[str, Any]:
    """Computes all scores of one member, and under `log_ratio` what they share."""
    evidence = evidence_of(parts)
    scores = compute_scores(evidence, jax.random.key(KEY))
    classifier = classifier_of(complete(evidence, key_of("domain_classifier")))
    ratios = {
        name: log_ratio(classifier, getattr(evidence, name).features)
        for name in ("source_val", "target_val")
    }
    return scores | {"log_ratio": ratios}


@functools.cache
def _compiled():
    return jax.jit(all_scores)


def score(parts: Parts) -> dict[str, Any]:
    """Computes all scores of parts of `SIZES` by the program that all tests share.

    Args:
        parts: Of `make_parts`, changed at will, but for shapes.

    Returns:
        Scores by name as numbers, and `log_ratio` of the validation parts.
    """
    return jax.tree.map(np.asarray, _compiled()(on_device(parts)))
