"""Tables of predictions, and what they are worth where labels are known."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit, softmax

from common.evaluation.task_metric import make_task_metric, split_metrics
from common.task_kind import OF_CLASSES


def format_predictions(
    task: Mapping[str, Any],
    classes: Sequence[str],
    names: Sequence[str],
    logits: Float[np.ndarray, "example output"],
) -> str:
    """Writes a table with a line for each example.

    Args:
        task: `config.task`.
        classes: Names of the classes, labels or values.
        names: Of the examples.
        logits: What the heads say of them.

    Returns:
        CSV. Of classes the predicted one, its probability and those of all; of several labels 0 or
        1 each and their probabilities; of values these.

    Raises:
        ValueError: A task whose predictions are no table.
    """
    kind = task["kind"]
    if kind == "segmentation":
        raise ValueError(
            "predict writes a table with a line an example, and config.task.kind is "
            "'segmentation', whose predictions are pictures; evaluate takes such runs"
        )
    predicted = make_task_metric(task).predict(logits)
    wide = logits.astype(np.float64)
    if kind in OF_CLASSES:
        probabilities = softmax(wide, axis=1)
        header = ["prediction", "confidence"]
        columns = [[classes[own] for own in predicted], _numbers(probabilities.max(axis=1))]
    else:
        probabilities = expit(wide) if kind == "multi_label" else np.empty((len(wide), 0))
        header = list(classes)
        columns = [_numbers(own) for own in predicted.T]
    shown = classes if probabilities.shape[1] else ()
    header = ["example", *header, *(f"p({name})" for name in shown)]
    columns += [_numbers(own) for own in probabilities.T]
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(header)
    table.writerows(zip(names, *columns, strict=True))
    return written.getvalue()


def _numbers(values: np.ndarray) -> list[str]:
    return [f"{value:.6g}" for value in values.tolist()]


def measure(
    task: Mapping[str, Any],
    classes: Sequence[str],
    labels: np.ndarray,
    logits: Float[np.ndarray, "example ..."],
) -> dict[str, Any]:
    """Computes all metrics of labelled examples.

    Args:
        task: `config.task`.
        classes: Names of the classes, labels or values.
        labels: The truth; examples without one do not count.
        logits: What the heads say.

    Returns:
        The number of `examples` that count, and metrics by name; of classes also `recall/<class>`
        of those that occur. Nothing where no example has a label.
    """
    found = split_metrics(make_task_metric(task), logits, labels)
    if found and task["kind"] in OF_CLASSES:
        right = logits.argmax(axis=1) == labels
        for number, name in enumerate(classes):
            if (own := labels == number).any():
                found[f"recall/{name}"] = float(right[own].mean())
    return found
