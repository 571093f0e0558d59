"""Gaussian blur."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from common.data.augmentation.draw import Pictures, change_some, draw_evenly
from common.data.augmentation.option import PixelRange, Share
from common.data.augmentation.resample import combine


def blur(
    key: Key[Array, ""],
    images: Pictures,
    *,
    sigma: PixelRange = (0.1, 2.0),
    probability: Share = 0.5,
) -> Pictures:
    """Blurs some pictures with Gaussians of random width.

    The kernel reaches three times the largest width; beyond its border a picture is mirrored,
    border pixels included.

    Args:
        key: A random key.
        images: Pictures in [0, 1].
        sigma: Smallest and largest standard deviation, in pixels, drawn evenly.
        probability: Share of the pictures that are blurred.

    Returns:
        The pictures.

    References:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML
        2020, Appendix A: .1 to 2 with probability .5.
    """
    some_key, width_key = jax.random.split(key)
    widths = draw_evenly(width_key, images, *sigma)
    blurred = smooth(images, widths, math.ceil(3 * sigma[1]))
    return change_some(some_key, probability, blurred, images)


def smooth(images: Pictures, widths: Array, radius: int) -> Pictures:
    """Blurs each picture with a Gaussian of its own width.

    Args:
        images: Pictures in [0, 1].
        widths: Standard deviations in pixels; 0 keeps a picture.
        radius: How many pixels the kernel reaches to each side; the picture's side at most.

    Returns:
        The pictures.
    """
    # So narrow that a neighbour's weight is zero.
    narrow = jnp.maximum(widths, 0.01)[:, None, None]

    def weigh(size: int) -> Array:
        new, old = jnp.arange(size)[:, None], jnp.arange(size)[None, :]
        weights = jnp.zeros((len(widths), size, size), images.dtype)
        for mirrored in (old, -1 - old, 2 * size - 1 - old):
            distance = jnp.abs(new - mirrored)
            bell = jnp.exp(-0.5 * (distance[None] / narrow) ** 2)
            weights = weights + jnp.where(distance[None] <= min(radius, size), bell, 0)
        return weights / weights.sum(-1, keepdims=True)

    return jnp.clip(combine(images, weigh(images.shape[1]), weigh(images.shape[2])), 0, 1)
