"""Declared preprocessing of inputs, fitted on the source's training rows alone.

`config.data.scaling` is `none`, or steps joined by `+` in the order in which they are applied:

- `binary`: 1 where the value is positive, else 0;
- `log`: log(1 + value);
- `tf_idf`: each input times log((1 + n) / (1 + d)) + 1, where d of n examples have it, then
  `unit_length`;
- `unit_length`: each example divided by its Euclidean length;
- `standardize`: each input less its mean, divided by its standard deviation; of pictures each
  channel.

What a step needs to know is fitted on what the steps before it make of the source's training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from common.data.pipeline import scale_images
from common.legal import suggest

# Rows taken into memory at a time; fixed, since it decides the last bits of what is fitted.
BLOCK = 1024

Fitted = dict[str, Any]
# By step its name and what it was fitted to, in order: a tree of arrays whose structure says what
# is to be done.
Scaling = tuple[dict[str, Fitted], ...]
Inputs = Float[Array, "batch *shape"]


class Step(NamedTuple):
    """One step.

    Attributes:
        apply: `(fitted, inputs) -> inputs` on the device.
        fit: From the blocks of all inputs, as often as they are asked for, to what is fitted.
        takes_counts: Whether inputs must not be negative.
        takes_pictures: Whether it is meant for pictures too.
    """

    apply: Callable[[Fitted, Inputs], Inputs]
    fit: Callable[[Callable[[], Iterator[np.ndarray]]], Fitted] = lambda blocks: {}
    takes_counts: bool = False
    takes_pictures: bool = False


def _unit_length(inputs: Inputs) -> Inputs:
    length = jnp.sqrt(jnp.sum(inputs**2, axis=-1, keepdims=True))
    return inputs / jnp.where(length > 0, length, jnp.ones_like(length))


def _fit_rarity(blocks: Callable[[], Iterator[np.ndarray]]) -> Fitted:
    """Fits the smoothed inverse document frequency, with a leading axis of 1."""
    num_rows, num_present = 0, np.zeros(1)
    for block in blocks():
        num_rows += len(block)
        num_present = num_present + (block > 0).sum(axis=0, keepdims=True)
    rarity = np.log((1 + num_rows) / (1 + num_present)) + 1
    return {"rarity": rarity.astype(np.float32)}


def _fit_deviation(blocks: Callable[[], Iterator[np.ndarray]]) -> Fitted:
    """Fits the mean and the standard deviation along the last axis, with leading axes of 1."""
    mean = _average(blocks())
    deviation = np.sqrt(_average((block - mean) ** 2 for block in blocks()))
    # An input that never changes is left as wide as it is, and devices divide by no smaller number.
    deviation = np.where(deviation < np.finfo(np.float32).tiny, 1.0, deviation)
    return {"mean": mean.astype(np.float32), "deviation": deviation.astype(np.float32)}


def _average(blocks: Iterator[np.ndarray]) -> np.ndarray:
    """Averages over all axes but the last, in double precision."""
    total, count = np.zeros(1), 0
    for block in blocks:
        axes = tuple(range(block.ndim - 1))
        total = total + block.sum(axis=axes, keepdims=True, dtype=np.float64)
        count += block[..., 0].size
    return total / count


STEPS: dict[str, Step] = {
    "binary": Step(lambda fitted, inputs: (inputs > 0).astype(inputs.dtype), takes_counts=True),
    "log": Step(lambda fitted, inputs: jnp.log1p(inputs), takes_counts=True),
    "tf_idf": Step(
        lambda fitted, inputs: _unit_length(inputs * fitted["rarity"]),
        _fit_rarity,
        takes_counts=True,
    ),
    "unit_length": Step(lambda fitted, inputs: _unit_length(inputs)),
    "standardize": Step(
        lambda fitted, inputs: (inputs - fitted["mean"]) / fitted["deviation"],
        _fit_deviation,
        takes_pictures=True,
    ),
}


def parse_scaling(scaling: str, shape: Sequence[int]) -> tuple[str, ...]:
    """Reads `config.data.scaling`.

    Args:
        scaling: `none`, or names of `STEPS` joined by `+`.
        shape: The shape of an example.

    Returns:
        The steps in order.

    Raises:
        ValueError: An unknown step, one that stands there twice, one that is not meant for
            pictures, or one that takes counts behind `standardize`.
    """
    steps = () if scaling == "none" else tuple(scaling.split("+"))
    key = f"config.data.scaling is {scaling!r}"
    for index, step in enumerate(steps):
        if step not in STEPS:
            raise ValueError(f"{key}; {suggest(step, STEPS)}, joined by '+', or none alone")
        if step in steps[:index]:
            raise ValueError(f"{key}; it must name {step} once")
        if len(shape) == 3 and not STEPS[step].takes_pictures:
            legal = ", ".join(name for name, own in STEPS.items() if own.takes_pictures)
            raise ValueError(f"{key}, but the examples are pictures; legal are none, {legal}")
        if STEPS[step].takes_counts and "standardize" in steps[:index]:
            raise ValueError(
                f"{key}; {step} takes no negative values, so it must stand before standardize"
            )
    return steps


def check_counts(steps: Sequence[str], images: Any, where: str) -> None:
    """Refuses negative values where a step cannot take them.

    Args:
        steps: From `parse_scaling`.
        images: Stored examples, of the source or of the target.
        where: Whose they are, for messages.

    Raises:
        ValueError: With the first such step.
    """
    taking = [step for step in steps if STEPS[step].takes_counts]
    if not taking or images.dtype.kind == "u":
        return
    for start in range(0, images.shape[0], BLOCK):
        if np.asarray(images[start : start + BLOCK]).min() < 0:
            raise ValueError(
                f"config.data.scaling has the step {taking[0]}, which takes no negative values; "
                f"{where} holds some: choose among none, "
                + ", ".join(name for name, own in STEPS.items() if not own.takes_counts)
            )


def fit_scaling(steps: Sequence[str], images: Any, rows: np.ndarray, maximum: float) -> Scaling:
    """Fits the steps one after the other, without holding all examples.

    Args:
        steps: From `parse_scaling`.
        images: The source's stored examples: anything that gives an array for `images[rows]`.
        rows: Its training rows.
        maximum: The largest value that a stored picture can have; 1 for vectors.

    Returns:
        What `apply_scaling` takes.
    """
    scaling: Scaling = ()
    for step in steps:
        blocks = partial(scaled_blocks, images, rows, maximum, scaling)
        scaling = (*scaling, {step: STEPS[step].fit(blocks)})
    return scaling


def scaled_blocks(
    images: Any, rows: np.ndarray, maximum: float, scaling: Scaling
) -> Iterator[Float[np.ndarray, "row *shape"]]:
    """Reads inputs as a program sees them, a block of rows at a time.

    Args:
        images: Stored examples.
        rows: Which of them.
        maximum: The largest value that a stored picture can have; 1 for vectors.
        scaling: What is done to them.

    Yields:
        Scaled inputs.
    """
    for start in range(0, len(rows), BLOCK):
        stored = jnp.asarray(np.asarray(images[rows[start : start + BLOCK]]))
        yield np.asarray(apply_scaling(scaling, scale_images(stored, jnp.float32(maximum))))


def apply_scaling(scaling: Scaling, inputs: Inputs) -> Inputs:
    """Scales inputs; training and evaluation both do it here.

    Args:
        scaling: From `fit_scaling`.
        inputs: Vectors, or pictures from 0 to 1.

    Returns:
        Inputs of the same shape.
    """
    for own in scaling:
        for step, fitted in own.items():
            inputs = STEPS[step].apply(fitted, inputs)
    return inputs
