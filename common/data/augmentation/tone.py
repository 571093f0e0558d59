"""Operations on the values of pictures that have no randomness of their own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.data.augmentation.color import depart
from common.data.augmentation.draw import Pictures, per_picture

LEVELS = 256


def autocontrast(images: Pictures) -> Pictures:
    """Stretches each channel so that its values reach from 0 to 1; constant ones stay.

    Args:
        images: Pictures in [0, 1].

    Returns:
        The pictures.
    """
    least, most = (own((1, 2), keepdims=True) for own in (images.min, images.max))
    span = most - least
    return jnp.where(span > 0, (images - least) / jnp.where(span > 0, span, 1), images)


def equalize(images: Pictures) -> Pictures:
    """Spreads the values of each channel so that all are about equally frequent.

    A pixel becomes the share of darker pixels among all but the brightest ones, where values that
    share one of 256 levels count as equal. Pillow rounds these shares more coarsely, so that it
    leaves pictures of fewer than 255 pixels as they are.

    Args:
        images: Pictures in [0, 1].

    Returns:
        The pictures; constant channels stay.
    """
    batch, height, width, channels = images.shape
    levels = jnp.round(images * (LEVELS - 1)).astype(jnp.int32)
    levels = levels.transpose(0, 3, 1, 2).reshape(batch * channels, height * width)
    rows = jnp.arange(batch * channels)[:, None]
    counts = jnp.zeros((batch * channels, LEVELS), jnp.int32).at[rows, levels].add(1)
    darker = jnp.take_along_axis(jnp.cumsum(counts, 1) - counts, levels, 1)
    # As many as are darker than the brightest ones.
    others = darker.max(1, keepdims=True)
    shares = (darker / jnp.maximum(others, 1)).astype(images.dtype)
    spread = shares.reshape(batch, channels, height, width).transpose(0, 2, 3, 1)
    return jnp.where(others.reshape(batch, 1, 1, channels) > 0, spread, images)


def posterize(images: Pictures, bits: Float[Array, "batch"]) -> Pictures:
    """Keeps the leading bits of 8-bit values.

    Args:
        images: Pictures in [0, 1].
        bits: How many, a whole number from 1 to 8; 8 keeps a picture as it is.

    Returns:
        The pictures.
    """
    step = per_picture(2 ** (8 - bits))
    levels = jnp.round(images * (LEVELS - 1))
    return jnp.where(step > 1, jnp.floor(levels / step) * step / (LEVELS - 1), images)


def solarize(images: Pictures, threshold: Float[Array, "batch"]) -> Pictures:
    """Inverts all values from a threshold on.

    Args:
        images: Pictures in [0, 1].
        threshold: In 256ths of 8-bit values: 1 inverts nothing, 0 everything.

    Returns:
        The pictures.
    """
    bright = images * (LEVELS - 1) >= per_picture(threshold) * LEVELS
    return jnp.where(bright, 1 - images, images)


def sharpen(images: Pictures, amount: Float[Array, "batch"]) -> Pictures:
    """Multiplies the distance from a smoothed picture by `1 + amount`.

    The smoothed picture is the mean over 3x3 pixels in which the middle one counts five times;
    at the border it is the picture itself.

    Args:
        images: Pictures in [0, 1].
        amount: At least -1; less than 0 blurs.

    Returns:
        The pictures.
    """
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    box = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    smooth = (box + 4 * images) / 13
    down = jax.lax.broadcasted_iota(jnp.int32, (height, width, 1), 0)
    right = jax.lax.broadcasted_iota(jnp.int32, (height, width, 1), 1)
    inside = (down > 0) & (down < height - 1) & (right > 0) & (right < width - 1)
    return depart(images, jnp.where(inside, smooth, images), amount)
