"""Augmentations that cut out another window of a picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from common.data.augmentation.draw import (
    Pictures,
    change_some,
    draw_evenly,
    draw_factor,
    per_picture,
)
from common.data.augmentation.option import Count, FactorRange, Share, ShareRange
from common.data.augmentation.resample import combine
from common.legal import check_name

EDGES = {"zero": "constant", "reflect": "reflect"}


def shift(
    key: Key[Array, ""],
    images: Float[Array, "batch height width channel"],
    *,
    pixels: Count,
    probability: Share,
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
    moved = jax.random.bernoulli(move_key, float(probability), (batch, 1))
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


def crop(
    key: Key[Array, ""],
    images: Pictures,
    *,
    pixels: Count,
    mode: Annotated[str, partial(check_name, legal=EDGES)] = "zero",
    probability: Share = 1.0,
) -> Pictures:
    """Pads pictures and cuts out a random window of the old size.

    Args:
        key: A random key.
        images: Pictures.
        pixels: How much is added on each side; each axis draws its window evenly.
        mode: What is added: `zero`, or `reflect` for the picture mirrored at its border pixels.
        probability: Share of the pictures that are cut.

    Returns:
        The windows.

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016: 4 pixels, zero.
    """
    some_key, start_key = jax.random.split(key)
    batch, height, width, _ = images.shape
    starts = jax.random.randint(start_key, (batch, 2), 0, 2 * pixels + 1)
    edges = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    padded = jnp.pad(images, edges, mode=EDGES[mode])
    rows = _slide(padded, starts[:, 0], 2 * pixels, height, axis=1)
    return change_some(
        some_key, probability, _slide(rows, starts[:, 1], 2 * pixels, width, axis=2), images
    )


def _slide(images: Array, starts: Array, largest: int, size: int, axis: int) -> Array:
    """Cuts `size` pixels along an axis, from a start in 0..largest of each picture's own."""
    # One choice a binary digit of the start, between copies of whole pictures: no gathers.
    digits = largest.bit_length()
    missing = [(0, 0)] * images.ndim
    missing[axis] = (0, size + 2**digits - 1 - images.shape[axis])
    images = jnp.pad(images, missing)
    for digit in reversed(range(digits)):
        step = 2**digit
        stop = size + step - 1
        moved = jax.lax.slice_in_dim(images, step, step + stop, axis=axis)
        stayed = jax.lax.slice_in_dim(images, 0, stop, axis=axis)
        images = jnp.where(per_picture((starts & step) > 0), moved, stayed)
    return images


def resized_crop(
    key: Key[Array, ""],
    images: Pictures,
    *,
    area: ShareRange = (0.08, 1.0),
    ratio: FactorRange = (3 / 4, 4 / 3),
    probability: Share = 1.0,
) -> Pictures:
    """Cuts out random windows and stretches them, bilinearly, to the whole size.

    Args:
        key: A random key.
        images: Pictures in [0, 1].
        area: Smallest and largest share of the picture's area.
        ratio: Smallest and largest width of a window by its height, both as shares of the
            picture's; the logarithm is drawn evenly. A side that would be longer than the
            picture's is cut.
        probability: Share of the pictures that are cut.

    Returns:
        The stretched windows.

    References:
        Szegedy et al., Going Deeper with Convolutions, CVPR 2015.
    """
    some_key, area_key, ratio_key, row_key, column_key = jax.random.split(key, 5)
    areas = draw_evenly(area_key, images, *area)
    ratios = draw_factor(ratio_key, images, *ratio)

    def weigh(share: Array, size: int, start_key: Array) -> Array:
        length = jnp.clip(share, 1 / size, 1)
        start = (1 - length) * size * draw_evenly(start_key, images, 0, 1)
        centres = jnp.arange(size, dtype=images.dtype)[None, :] + 0.5
        read = start[:, None] + centres * length[:, None] - 0.5
        distance = jnp.clip(read, 0, size - 1)[:, :, None] - jnp.arange(size)[None, None, :]
        return jnp.maximum(0, 1 - jnp.abs(distance))

    rows = weigh(jnp.sqrt(areas / ratios), images.shape[1], row_key)
    columns = weigh(jnp.sqrt(areas * ratios), images.shape[2], column_key)
    cut = jnp.clip(combine(images, rows, columns), 0, 1)
    return change_some(some_key, probability, cut, images)
