"""Augmentations: pure functions of a key, applied on the device to every domain of every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from common.method import fold_in_name


def shift(
    key: Key[Array, ""],
    images: Float[Array, "batch height width channel"],
    *,
    pixels: int,
    probability: float,
) -> Float[Array, "batch height width channel"]:
    """Moves some pictures by a few pixels in each axis; what comes in is zero.

    Args:
        key: A random key.
        images: Pictures.
        pixels: Largest distance; each axis draws evenly from `-pixels` to `pixels`.
        probability: Share of the pictures that are moved.

    Returns:
        The moved pictures.
    """
    move_key, distance_key = jax.random.split(key)
    batch, height, width, _ = images.shape
    moved = jax.random.bernoulli(move_key, probability, (batch, 1))
    distances = jax.random.randint(distance_key, (batch, 2), -pixels, pixels + 1)
    distances = jnp.where(moved, distances, 0)
    padded = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))

    def crop(window: Callable[[int], Array], distance: Array) -> Array:
        # A sum over the few possible distances: gathers a picture at a time are slow on CPUs.
        moved = jnp.zeros_like(window(0))
        for step in range(-pixels, pixels + 1):
            taken = (distance == step).astype(images.dtype)[:, None, None, None]
            moved = moved + window(pixels + step) * taken
        return moved

    rows = crop(lambda start: padded[:, start : start + height], distances[:, 0])
    return crop(lambda start: rows[:, :, start : start + width], distances[:, 1])


AUGMENTATIONS: dict[str, Callable[..., Array]] = {"shift": shift}


def make_augment(config: Mapping[str, Mapping[str, Any]]) -> Callable[[Key, Array], Array]:
    """Chains the augmentations of a config.

    Args:
        config: `config.data.augment`: options by name of the augmentation.

    Returns:
        `(key, images) -> images`.

    Raises:
        ValueError: An unknown augmentation.
    """
    unknown = [name for name in config if name not in AUGMENTATIONS]
    if unknown:
        raise ValueError(
            f"config.data.augment.{unknown[0]} is unknown; legal are {', '.join(AUGMENTATIONS)}"
        )

    def augment(key, images):
        for name, options in config.items():
            images = AUGMENTATIONS[name](fold_in_name(key, name), images, **options)
        return images

    return augment
