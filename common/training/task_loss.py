"""What a task's labels are, and the loss that they are learned by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from common.legal import check_keys, check_name, check_number
from common.task_kind import KINDS, OF_CLASSES, heads_of, part_of_head

REGRESSION_LOSSES = ("mse", "huber")
OPTIONS = ("kind", "regression_loss", "huber_delta", "heads", "layer")

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


def pixel_cross_entropy(
    logits: Float[Array, "batch height width class"],
    labels: Int[Array, "batch height width"],
    weights: Float[Array, "batch"] | None = None,
) -> Float[Array, ""]:
    """Averages the cross-entropy over the pixels of a batch that have a label.

    Args:
        logits: Unnormalised log-probabilities of each pixel.
        labels: True classes; negative for pixels that do not count, such as those of no object.
        weights: Factors of the examples' losses; the mean is over the number of pixels.

    Returns:
        The mean, in nats; 0 where no pixel has a label.
    """
    known = labels >= 0
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(known, labels, 0))
    if weights is not None:
        losses = losses * weights[:, None, None]
    return jnp.sum(losses, where=known) / jnp.maximum(jnp.sum(known), 1)


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
    if (config["kind"] == "segmentation") != bool(config["layer"]):
        wanted = "a map that the network has, such as 'stage_0'"
        raise ValueError(
            f"config.task.kind is {config['kind']!r} and config.task.layer {config['layer']!r}; it "
            f"must be {wanted if config['kind'] == 'segmentation' else 'empty'}"
        )
    if config["kind"] == "multi_task":
        heads_of(config)
    elif config["heads"]:
        raise ValueError(
            f"config.task.heads names {', '.join(config['heads'])}, and config.task.kind is "
            f"{config['kind']!r}; set it to 'multi_task' or leave the heads out"
        )


def make_losses(config: Mapping[str, Any], kind: str) -> Callable[[Array, Array], Array]:
    """Chooses the loss of each example.

    Args:
        config: `config.task`.
        kind: Of the labels: the task's, or one of its heads'. The loss of several heads is the sum
            of theirs, each times its weight.

    Returns:
        `(outputs, labels) -> losses`, one an example.
    """
    if kind == "multi_task":
        parts = [(head, make_losses(config, head.kind)) for head in heads_of(config)]

        def summed(outputs, labels):
            each = [
                head.weight * losses(*part_of_head(head, outputs, labels)) for head, losses in parts
            ]
            return jnp.sum(jnp.stack(each), axis=0)

        return summed
    if kind == "multi_class":
        return optax.softmax_cross_entropy_with_integer_labels
    if kind == "multi_label":
        return binary_cross_entropy
    if config["regression_loss"] == "mse":
        return squared_error
    return lambda predictions, labels: huber_error(predictions, labels, config["huber_delta"])


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
    if config["kind"] == "segmentation":
        return pixel_cross_entropy
    losses = make_losses(config, config["kind"])

    def task_loss(outputs, labels, weights=None):
        own = losses(outputs, labels)
        return jnp.mean(own if weights is None else own * weights)

    return task_loss
