"""What a task's labels are, and the loss that they are learned by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from common.legal import check_keys, check_name, check_number
from common.task_kind import KINDS, OF_CLASSES

REGRESSION_LOSSES = ("mse", "huber")
OPTIONS = ("kind", "regression_loss", "huber_delta")

TaskLoss = Callable[..., Float[Array, ""]]


def binary_cross_entropy(
    logits: Float[Array, "batch label"], labels: Float[Array, "batch label"]
) -> Float[Array, "batch"]:
    """Sums the cross-entropies of labels that do not exclude each other, as a mean over labels.

        mean_k log(1 + exp(z_k)) - y_k z_k

    Args:
        logits: Of each label, `log(p / (1 - p))`.
        labels: 0 or 1.

    Returns:
        The loss of each example in nats a label.
    """
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, labels), axis=-1)


def squared_error(
    predictions: Float[Array, "batch value"], labels: Float[Array, "batch value"]
) -> Float[Array, "batch"]:
    """Averages the squared errors of each example, not halved.

    Args:
        predictions: Predicted values.
        labels: True values.

    Returns:
        The loss of each example.
    """
    return jnp.mean((predictions - labels) ** 2, axis=-1)


def huber_error(
    predictions: Float[Array, "batch value"], labels: Float[Array, "batch value"], delta: float
) -> Float[Array, "batch"]:
    """Averages errors that count by their square up to a size, and beyond it by their size.

        e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2)

    Args:
        predictions: Predicted values.
        labels: True values.
        delta: The size, in units of the labels.

    Returns:
        The loss of each example.

    References:
        Huber, Robust Estimation of a Location Parameter, Annals of Mathematical Statistics 35
        (1964).
    """
    return jnp.mean(optax.huber_loss(predictions, labels, delta=delta), axis=-1)


def check_task(config: Mapping[str, Any]) -> None:
    """Refuses a kind or a loss that does not exist.

    Args:
        config: `config.task`.

    Raises:
        ValueError: With the key, the value and what would be right.
    """
    check_keys("config.task", config, OPTIONS, OPTIONS)
    check_name("config.task.kind", config["kind"], KINDS)
    check_name("config.task.regression_loss", config["regression_loss"], REGRESSION_LOSSES)
    check_number("config.task.huber_delta", config["huber_delta"])
    if not config["huber_delta"]:
        raise ValueError("config.task.huber_delta is 0; it must be larger, such as 1.0")


def make_task_loss(config: Mapping[str, Any]) -> TaskLoss | None:
    """Chooses the loss of a kind of task.

    Args:
        config: `config.task`.

    Returns:
        `(outputs, labels, weights=None) -> scalar`, the mean over examples, each times its weight;
        None for classes, whose loss is the objective's own cross-entropy.

    Raises:
        ValueError: A kind or a loss that does not exist.
    """
    check_task(config)
    if config["kind"] in OF_CLASSES:
        return None
    losses: Callable[[Array, Array], Array] = squared_error
    if config["kind"] == "multi_label":
        losses = binary_cross_entropy
    elif config["regression_loss"] == "huber":

        def losses(predictions, labels):
            return huber_error(predictions, labels, config["huber_delta"])

    def task_loss(outputs, labels, weights=None):
        own = losses(outputs, labels)
        return jnp.mean(own if weights is None else own * weights)

    return task_loss
