"""Random erasing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from common.data.augmentation.draw import Pictures, change_some, draw_evenly, draw_factor
from common.data.augmentation.option import FactorRange, Share, ShareRange


def cutout(
    key: Key[Array, ""],
    images: Pictures,
    *,
    side: ShareRange = (0.0, 0.5),
    ratio: FactorRange = (1.0, 1.0),
    fill: Share = 0.5,
    probability: Share = 1.0,
) -> Pictures:
    """Erases a random rectangle, whose centre may be anywhere: part of it may lie outside.

    Args:
        key: A random key.
        images: Pictures.
        side: Smallest and largest side, as a share of the picture's sides; drawn evenly.
        ratio: Smallest and largest width of the rectangle by its height, both as shares of the
            picture's; the logarithm is drawn evenly.
        fill: The value of the erased pixels.
        probability: Share of the pictures with a rectangle.

    Returns:
        The pictures.

    References:
        DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout,
        arXiv:1708.04552. Zhong et al., Random Erasing Data Augmentation, AAAI 2020.
    """
    some_key, side_key, ratio_key, row_key, column_key = jax.random.split(key, 5)
    sides = draw_evenly(side_key, images, *side)
    stretch = jnp.sqrt(draw_factor(ratio_key, images, *ratio))

    def covered(share: Array, size: int, centre_key: Array) -> Array:
        centre = draw_evenly(centre_key, images, 0, size)[:, None]
        pixel = jnp.arange(size, dtype=images.dtype)[None, :] + 0.5
        return jnp.abs(pixel - centre) < share[:, None] * size / 2

    rows = covered(sides / stretch, images.shape[1], row_key)[:, :, None, None]
    columns = covered(sides * stretch, images.shape[2], column_key)[:, None, :, None]
    erased = jnp.where(rows & columns, jnp.asarray(fill, images.dtype), images)
    return change_some(some_key, probability, erased, images)
