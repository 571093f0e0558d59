"""Augmentations: pure functions of a key, applied on the device to every domain of every row."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from common.legal import check_count, check_keys, check_number
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


def make_augment(
    config: Mapping[str, Any], key: str = "config.data.augment"
) -> Callable[[Key, Array], Array]:
    """Chains the augmentations of a config.

    Args:
        config: Options by name of the augmentation: its keyword-only parameters.
        key: Where they stand in the config, for messages.

    Returns:
        `(key, images) -> images`.

    Raises:
        ValueError: An unknown augmentation, an option that is unknown, missing or impossible.
    """
    check_keys(key, config, AUGMENTATIONS)
    for name, options in config.items():
        parameters = inspect.signature(AUGMENTATIONS[name]).parameters.values()
        own = {one.name: one for one in parameters if one.kind is one.KEYWORD_ONLY}
        needed = [option for option, one in own.items() if one.default is one.empty]
        check_keys(f"{key}.{name}", options, own, needed)
        for option, value in options.items():
            if own[option].annotation in ("int", int):
                check_count(f"{key}.{name}.{option}", value, 0)
            elif option == "probability":
                check_number(f"{key}.{name}.{option}", value, most=1.0)

    def augment(key, images):
        for name, options in config.items():
            images = AUGMENTATIONS[name](fold_in_name(key, name), images, **options)
        return images

    return augment
