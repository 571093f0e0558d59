"""Metrics of a label at every pixel."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from common.evaluation.metric import intersection_over_union


def pixel_confusion(
    logits: Float[Array, "example height width class"], labels: Int[Array, "example height width"]
) -> Int[Array, "class class"]:
    """Counts predictions of pixels, without an array of all pixels by all classes.

    Args:
        logits: Scores; the largest is the prediction.
        labels: True classes; negative where a pixel has none.

    Returns:
        Counts of the pixels with a label; the row is the true class, the column the predicted one.
    """
    classes = logits.shape[-1]
    known = labels >= 0
    place = jnp.where(known, labels, 0) * classes + logits.argmax(-1)
    counts = jnp.zeros(classes * classes, jnp.int32).at[place].add(known.astype(jnp.int32))
    return counts.reshape(classes, classes)


def segmentation_metrics(confusion: Int[np.ndarray, "class class"]) -> dict[str, Any]:
    """Derives the metrics of pixels.

    Args:
        confusion: Counts of pixels, at least one; the row is the true class.

    Returns:
        `pixel_accuracy`; `mean_iou`, the mean intersection over union of the classes that occur or
        are predicted; and by class `per_class_iou`, None for the others.
    """
    hits = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - hits
    return {
        "pixel_accuracy": float(hits.sum() / confusion.sum()),
        "mean_iou": intersection_over_union(confusion),
        "per_class_iou": [
            float(hit / count) if count else None for hit, count in zip(hits, union, strict=True)
        ],
    }
