"""Classification metrics, all from one confusion matrix."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int


def confusion_matrix(
    logits: Float[Array, "example class"], labels: Int[Array, "example"]
) -> Int[Array, "class class"]:
    """Counts predictions.

    Args:
        logits: Scores; the largest is the prediction.
        labels: True classes; negative where an example has none.

    Returns:
        Counts of the examples with a label; the row is the true class, the column the predicted
        one.
    """
    classes = logits.shape[-1]
    true = jax.nn.one_hot(labels, classes, dtype=jnp.int32)
    predicted = jax.nn.one_hot(logits.argmax(-1), classes, dtype=jnp.int32)
    return true.T @ predicted


def count_predictions(
    predictions: Int[np.ndarray, "example"], labels: Int[np.ndarray, "example"], num_classes: int
) -> Int[np.ndarray, "class class"]:
    """Is `confusion_matrix` of predictions that are known already.

    Args:
        predictions: Predicted classes.
        labels: True classes, none of them negative.
        num_classes: How many there are.

    Returns:
        Counts; the row is the true class, the column the predicted one.
    """
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (labels, predictions), 1)
    return counts


def mean_loss(
    logits: Float[Array, "example class"], labels: Int[Array, "example"]
) -> Float[Array, ""]:
    """Averages the cross-entropy over a split.

    Args:
        logits: Unnormalised log-probabilities.
        labels: True classes; negative where an example has none.

    Returns:
        The mean in nats over the examples with a label; NaN without any.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses, where=labels >= 0)


def classification_metrics(confusion: Int[np.ndarray, "class class"]) -> dict[str, Any]:
    """Derives the metrics of a confusion matrix.

    Args:
        confusion: Counts; the row is the true class, the column the predicted one.

    Returns:
        `accuracy`, `balanced_accuracy`, `macro_precision`, `macro_recall`, `macro_f1`, `micro_f1`,
        and by class `per_class_accuracy`, `per_class_precision`, `per_class_f1`, with None for the
        accuracy of a class that does not occur. A precision, recall or F1 of 0/0 counts as 0, as in
        scikit-learn, and macro averages are over the classes that occur or are predicted; the
        balanced accuracy is the mean recall of those that occur.
    """
    confusion = confusion.astype(np.float64)
    hits, true, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)

    def ratio(numerator, denominator):
        return np.divide(numerator, denominator, out=np.zeros_like(hits), where=denominator > 0)

    recall, precision, f1 = (
        ratio(hits, true),
        ratio(hits, predicted),
        ratio(2 * hits, true + predicted),
    )
    present = (true + predicted) > 0
    accuracy = float(hits.sum() / confusion.sum())
    return {
        "accuracy": accuracy,
        "balanced_accuracy": float(recall[true > 0].mean()),
        "macro_precision": float(precision[present].mean()),
        "macro_recall": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
        # With one label an example, micro-averaged precision, recall and F1 are the accuracy.
        "micro_f1": accuracy,
        "per_class_accuracy": [
            float(value) if count else None for value, count in zip(recall, true, strict=True)
        ],
        "per_class_precision": precision.tolist(),
        "per_class_f1": f1.tolist(),
        "confusion": confusion.astype(int).tolist(),
    }


def intersection_over_union(confusion: Int[np.ndarray, "class class"]) -> float:
    """Averages over classes the intersection of truth and prediction as a share of their union.

    Args:
        confusion: Counts, of pixels or of examples; the row is the true class.

    Returns:
        The mean over the classes that occur or are predicted; NaN without any.

    References:
        Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 88 (2010), section 4.1;
        scikit-learn's macro `jaccard_score`.
    """
    hits = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - hits
    present = union > 0
    return float(np.mean(hits[present] / union[present])) if present.any() else float("nan")
