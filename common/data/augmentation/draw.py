"""Random numbers of one picture each."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

Pictures = Float[Array, "batch height width channel"]


def draw_evenly(
    key: Key[Array, ""], images: Pictures, least: int | float, most: int | float
) -> Float[Array, "batch"]:
    """Draws a number for each picture.

    Args:
        key: A random key.
        images: The pictures; they give the count and the type.
        least: The smallest number.
        most: The largest number.

    Returns:
        Numbers drawn evenly; exactly `least` where both are equal.
    """
    return jax.random.uniform(key, images.shape[:1], images.dtype, float(least), float(most))


def draw_factor(
    key: Key[Array, ""], images: Pictures, least: int | float, most: int | float
) -> Float[Array, "batch"]:
    """Draws a positive factor for each picture.

    Args:
        key: A random key.
        images: The pictures.
        least: The smallest factor.
        most: The largest factor.

    Returns:
        Factors whose logarithm is drawn evenly; exactly 1 where both are 1.
    """
    return jnp.exp(draw_evenly(key, images, math.log(least), math.log(most)))


def draw_some(
    key: Key[Array, ""], images: Pictures, probability: int | float
) -> Bool[Array, "batch"]:
    """Draws which pictures are changed.

    Args:
        key: A random key.
        images: The pictures.
        probability: Share of the pictures that are changed.

    Returns:
        True where a picture is changed; for all with probability 1, for none with 0.
    """
    return jax.random.bernoulli(key, float(probability), images.shape[:1])


def per_picture(values: Array) -> Array:
    """Shapes one value a picture so that it meets all of the picture's pixels.

    Args:
        values: `[batch]`.

    Returns:
        `[batch, 1, 1, 1]`.
    """
    return values[:, None, None, None]


def change_some(
    key: Key[Array, ""], probability: int | float, changed: Pictures, images: Pictures
) -> Pictures:
    """Keeps some pictures as they were.

    Args:
        key: A random key.
        probability: Share of the pictures that are changed.
        changed: All pictures, changed.
        images: All pictures as they were.

    Returns:
        Each picture from one of the two, bit by bit.
    """
    return jnp.where(per_picture(draw_some(key, images, probability)), changed, images)
