"""The labelled target examples on which starts of fine-tuning are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from common.data.task import load_task
from common.task_kind import OF_CLASSES
from common.training.batch import training_split

Config = Mapping[str, Any]


class LabelledTarget(NamedTuple):
    """The labelled target examples that starts are compared on.

    Attributes:
        config: The resolved config that names them.
        rows: Their rows of the target.
        labels: Their classes.
        classes: Names of the classes.
        num_examples: All examples of the target.
    """

    config: Config
    rows: Int[np.ndarray, "example"]
    labels: Int[np.ndarray, "example"]
    classes: tuple[str, ...]
    num_examples: int


def load_target(config: Config) -> LabelledTarget:
    """Loads the labelled training examples of a target; no other label is kept.

    Args:
        config: A resolved config; `target_labels_per_class` limits how many there are.

    Returns:
        They.

    Raises:
        ValueError: A task without classes, labels that are missing, or one class alone.
    """
    if config["task"]["kind"] not in OF_CLASSES:
        raise ValueError(
            f"config.task.kind is {config['task']['kind']!r}; starts are ranked on tasks of classes"
        )
    target = load_task(with_labels(config))["target"]
    rows = target.splits[training_split("target_labelled", target.splits)]
    labels = target.examples.labels[rows]
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"config.target {target.name!r} shows one class in its labelled training examples; "
            "starts are ranked by how they tell classes apart"
        )
    return LabelledTarget(
        config, rows, labels, target.examples.classes, len(target.examples.labels)
    )


def with_labels(config: Config) -> dict[str, Any]:
    """Turns a config into one that learns from labelled target training examples and no others.

    Args:
        config: A resolved config.

    Returns:
        It, without folds and without test pictures in training.
    """
    data = {**config["data"], "transductive": False, "folds": 0, "fold": None}
    evaluation = {**config["evaluation"], "reverse_validation": False}
    return {**config, "domains": ["target_labelled"], "data": data, "evaluation": evaluation}
