"""What a kind of task is measured by: in the loop from sums, at the end from all predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from common.data.example import is_labelled
from common.evaluation.metric import (
    classification_metrics,
    confusion_matrix,
    count_predictions,
    mean_loss,
)
from common.evaluation.probability import (
    average_precision,
    calibration_error,
    class_probability_metrics,
    roc_auc,
)
from common.evaluation.regression import regression_metrics
from common.evaluation.segmentation import pixel_confusion, segmentation_metrics
from common.task_kind import heads_of, part_of_head


class TaskMetric(NamedTuple):
    """How predictions of one kind of task are measured.

    Attributes:
        primary: The metric that runs are chosen and compared by.
        higher_is_better: Its direction.
        summarize: `(outputs, labels) -> sums`, arrays by name, traced; `loss` is among them.
        derive: From a run's sums, on the host, to its metrics; `{}` where no example has a label.
        complete: `(outputs, labels) -> metrics` of labelled examples, on the host.
        predict: From outputs to predictions, in the form of labels.
    """

    primary: str
    higher_is_better: bool
    summarize: Callable[[Array, Array], dict[str, Array]]
    derive: Callable[[Mapping[str, Any]], dict[str, Any]]
    complete: Callable[[np.ndarray, np.ndarray], dict[str, float]]
    predict: Callable[[np.ndarray], np.ndarray]


def _summarize_classes(logits: Array, labels: Array) -> dict[str, Array]:
    return {"confusion": confusion_matrix(logits, labels), "loss": mean_loss(logits, labels)}


def _derive_classes(sums: Mapping[str, Any]) -> dict[str, Any]:
    confusion = np.asarray(sums["confusion"])
    return classification_metrics(confusion) if confusion.any() else {}


def _complete_classes(
    logits: Float[np.ndarray, "example class"], labels: Int[np.ndarray, "example"]
) -> dict[str, float]:
    derived = classification_metrics(count_predictions(logits.argmax(1), labels, logits.shape[1]))
    metrics = {name: value for name, value in derived.items() if isinstance(value, float)}
    return metrics | class_probability_metrics(logits, labels)


def _complete_binary(
    logits: Float[np.ndarray, "example class"], labels: Int[np.ndarray, "example"]
) -> dict[str, float]:
    """Adds what is said of the second class alone, the positive one."""
    from scipy.special import expit

    counts = count_predictions(logits.argmax(1), labels, 2)
    positive = classification_metrics(counts)
    scores = expit(np.diff(logits.astype(np.float64), axis=1))
    return _complete_classes(logits, labels) | {
        "precision": positive["per_class_precision"][1],
        "recall": positive["per_class_accuracy"][1] or 0.0,
        "f1": positive["per_class_f1"][1],
        "average_precision": average_precision(labels[:, None] == 1, scores),
    }


def label_confusions(
    logits: Float[Array, "example label"], labels: Float[Array, "example label"]
) -> Int[Array, "label 2 2"]:
    """Counts the predictions of each of several labels.

    Args:
        logits: A label is predicted where its logit is above 0.
        labels: 0 or 1; NaN where an example has no labels.

    Returns:
        A confusion matrix a label, of the examples that have labels.
    """
    known = ~jnp.isnan(labels).any(axis=-1, keepdims=True)
    truth, predicted = labels > 0.5, logits > 0
    rows = [
        [jnp.sum(known & (truth == i) & (predicted == j), axis=0) for j in (False, True)]
        for i in (False, True)
    ]
    return jnp.moveaxis(jnp.asarray(rows), 2, 0)


def label_metrics(confusions: Int[np.ndarray, "label 2 2"]) -> dict[str, Any]:
    """Derives the metrics of several labels.

    Args:
        confusions: A confusion matrix a label.

    Returns:
        `accuracy`, the share of right zeros and ones; `macro_precision`, `macro_recall` and
        `macro_f1`, means over labels of those of the ones; `micro_f1`, of all labels' ones
        together. 0/0 counts as 0.
    """
    counts = confusions.astype(np.float64)
    hits, wrong, missed = counts[:, 1, 1], counts[:, 0, 1], counts[:, 1, 0]

    def ratio(numerator, denominator):
        return np.divide(numerator, denominator, out=np.zeros_like(hits), where=denominator > 0)

    total = 2 * hits.sum() + wrong.sum() + missed.sum()
    f1 = ratio(2 * hits, 2 * hits + wrong + missed)
    return {
        "accuracy": float(np.trace(counts.sum(0)) / counts.sum()),
        "macro_precision": float(ratio(hits, hits + wrong).mean()),
        "macro_recall": float(ratio(hits, hits + missed).mean()),
        "macro_f1": float(f1.mean()),
        "micro_f1": float(2 * hits.sum() / total) if total else 0.0,
        "per_label_f1": f1.tolist(),
    }


def _summarize_labels(logits: Array, labels: Array) -> dict[str, Array]:
    losses = jnp.mean(optax.sigmoid_binary_cross_entropy(logits, labels), axis=-1)
    loss = jnp.mean(losses, where=~jnp.isnan(losses))
    return {"confusions": label_confusions(logits, labels), "loss": loss}


def _derive_labels(sums: Mapping[str, Any]) -> dict[str, Any]:
    confusions = np.asarray(sums["confusions"])
    return label_metrics(confusions) if confusions.any() else {}


def _complete_labels(
    logits: Float[np.ndarray, "example label"], labels: Float[np.ndarray, "example label"]
) -> dict[str, float]:
    from scipy.special import expit

    truth, predicted = labels > 0.5, logits > 0
    derived = label_metrics(np.asarray(label_confusions(jnp.asarray(logits), jnp.asarray(labels))))
    metrics = {name: value for name, value in derived.items() if isinstance(value, float)}
    # Double precision, and no sigmoid before ranking, which would make equal what is not.
    scores, shares = logits.astype(np.float64), expit(logits.astype(np.float64))
    return metrics | {
        "average_precision": average_precision(truth, scores),
        "roc_auc": roc_auc(truth, scores),
        "calibration_error": calibration_error(
            np.maximum(shares, 1 - shares).reshape(-1), (truth == predicted).reshape(-1)
        ),
    }


def _summarize_values(predictions: Array, labels: Array) -> dict[str, Array]:
    known = ~jnp.isnan(labels).any(axis=-1)
    errors = jnp.where(known[:, None], predictions - labels, 0.0)
    count = jnp.sum(known)
    mse = jnp.sum(jnp.mean(errors**2, axis=-1)) / count
    mae = jnp.sum(jnp.mean(jnp.abs(errors), axis=-1)) / count
    return {"count": count, "mse": mse, "mae": mae, "loss": mse}


def _derive_values(sums: Mapping[str, Any]) -> dict[str, Any]:
    if not sums["count"]:
        return {}
    mse = float(sums["mse"])
    return {"mse": mse, "rmse": mse**0.5, "mae": float(sums["mae"])}


def _summarize_pixels(logits: Array, labels: Array) -> dict[str, Array]:
    known = labels >= 0
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(known, labels, 0))
    return {"confusion": pixel_confusion(logits, labels), "loss": jnp.mean(losses, where=known)}


def _derive_pixels(sums: Mapping[str, Any]) -> dict[str, Any]:
    confusion = np.asarray(sums["confusion"])
    return segmentation_metrics(confusion) if confusion.any() else {}


def _complete_pixels(
    logits: Float[np.ndarray, "example height width class"],
    labels: Int[np.ndarray, "example height width"],
) -> dict[str, float]:
    known = labels >= 0
    counts = count_predictions(logits.argmax(-1)[known], labels[known], logits.shape[-1])
    derived = segmentation_metrics(counts)
    return {name: value for name, value in derived.items() if isinstance(value, float)}


CLASSES = TaskMetric(
    primary="accuracy",
    higher_is_better=True,
    summarize=_summarize_classes,
    derive=_derive_classes,
    complete=_complete_classes,
    predict=lambda logits: logits.argmax(-1),
)

METRICS: dict[str, TaskMetric] = {
    "multi_class": CLASSES,
    "binary": CLASSES._replace(complete=_complete_binary),
    "multi_label": TaskMetric(
        primary="macro_f1",
        higher_is_better=True,
        summarize=_summarize_labels,
        derive=_derive_labels,
        complete=_complete_labels,
        predict=lambda logits: (logits > 0).astype(np.float32),
    ),
    "regression": TaskMetric(
        primary="rmse",
        higher_is_better=False,
        summarize=_summarize_values,
        derive=_derive_values,
        complete=regression_metrics,
        predict=lambda predictions: predictions,
    ),
    "segmentation": TaskMetric(
        primary="mean_iou",
        higher_is_better=True,
        summarize=_summarize_pixels,
        derive=_derive_pixels,
        complete=_complete_pixels,
        predict=lambda logits: logits.argmax(-1).astype(np.int32),
    ),
}


def make_task_metric(task: Mapping[str, Any]) -> TaskMetric:
    """Chooses what a task is measured by.

    Args:
        task: `config.task`.

    Returns:
        The metrics of its kind. Those of several heads are theirs, each behind its head's name; the
        primary one is the weighted sum of the heads' losses, for the others have no common unit.
    """
    if task["kind"] != "multi_task":
        return METRICS[task["kind"]]
    heads = [(head, METRICS[head.kind]) for head in heads_of(task)]

    def summarize(outputs, labels):
        sums = {
            f"{head.name}/{name}": value
            for head, own in heads
            for name, value in own.summarize(*part_of_head(head, outputs, labels)).items()
        }
        # What is learned by is known to the training alone; of the usual losses these are the same.
        weighted = [head.weight * sums[f"{head.name}/loss"] for head, _ in heads]
        return sums | {"loss": jnp.sum(jnp.stack(weighted))}

    def derive(sums):
        found = {}
        for head, own in heads:
            start = f"{head.name}/"
            part = {
                name.removeprefix(start): value
                for name, value in sums.items()
                if name.startswith(start)
            }
            found[head.name] = own.derive(part)
        metrics = {
            f"{name}_{metric}": value
            for name, own in found.items()
            for metric, value in own.items()
        }
        return metrics | ({"loss": float(sums["loss"])} if metrics else {})

    def complete(outputs, labels):
        return {
            f"{head.name}_{metric}": value
            for head, own in heads
            for metric, value in own.complete(*part_of_head(head, outputs, labels)).items()
        }

    def predict(outputs):
        columns = []
        for head, own in heads:
            predicted = own.predict(outputs[..., head.first : head.first + head.units])
            columns.append(predicted.reshape(*outputs.shape[:-1], -1).astype(np.float32))
        return np.concatenate(columns, axis=-1)

    return TaskMetric("loss", False, summarize, derive, complete, predict)


def split_metrics(
    metric: TaskMetric, outputs: Float[np.ndarray, "example ..."], labels: np.ndarray
) -> dict[str, Any]:
    """Computes all metrics of a split.

    Args:
        metric: Of the kind of task.
        outputs: What the head says.
        labels: The truth, also of examples without a label.

    Returns:
        The number of `examples` with a label, and single numbers by name; nothing without a label
        or with outputs that are not finite.
    """
    known = is_labelled(labels)
    outputs, labels = outputs[known], labels[known]
    if not len(labels) or not np.isfinite(outputs).all():
        return {}
    return {"examples": len(labels), **metric.complete(outputs, labels)}
