"""Augmentations of brightness and color."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from common.data.augmentation.draw import Pictures, change_some, draw_evenly, per_picture
from common.data.augmentation.option import Amount, Share, Turn

# How bright red, green and blue appear, by ITU-R BT.601, as in Pillow.
LUMA = (0.299, 0.587, 0.114)


def color(
    key: Key[Array, ""],
    images: Pictures,
    *,
    brightness: Amount = 0.0,
    contrast: Amount = 0.0,
    saturation: Amount = 0.0,
    hue: Turn = 0.0,
    probability: Share = 1.0,
) -> Pictures:
    """Changes brightness, contrast, saturation and hue of pictures, in this order.

    Each of the first three draws a factor evenly from `1 - option` (0 at least) to `1 + option`;
    1 changes nothing. Saturation and hue have no effect on pictures of other than 3 channels.

    Args:
        key: A random key.
        images: Pictures in [0, 1].
        brightness: Range of the factor of all values.
        contrast: Range of the factor of the distance from the picture's mean brightness.
        saturation: Range of the factor of the distance from grey.
        hue: Largest turn of the hue to either side; 1 would be a full turn.
        probability: Share of the pictures that are changed, in all four ways.

    Returns:
        The pictures.

    References:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML
        2020, Appendix A: .8, .8, .8, .2 with probability .8, in a random order.
    """
    some_key, *keys = jax.random.split(key, 5)
    amounts = [
        draw_evenly(own, images, max(-option, -1), option)
        for own, option in zip(keys, (brightness, contrast, saturation), strict=False)
    ]
    changed = change_brightness(images, amounts[0])
    changed = change_contrast(changed, amounts[1])
    if images.shape[-1] == 3:
        changed = change_saturation(changed, amounts[2])
        changed = turn_hue(changed, draw_evenly(keys[3], images, -hue, hue))
    return change_some(some_key, probability, changed, images)


def grayscale(key: Key[Array, ""], images: Pictures, *, probability: Share = 0.1) -> Pictures:
    """Takes the color out of some pictures; pictures of other than 3 channels have none.

    Args:
        key: A random key.
        images: Pictures in [0, 1].
        probability: Share of the pictures that become grey.

    Returns:
        The pictures, with as many channels as before.
    """
    if images.shape[-1] != 3:
        return images
    grey = jnp.broadcast_to(to_grey(images), images.shape)
    return change_some(key, probability, grey, images)


def to_grey(images: Pictures) -> Float[Array, "batch height width 1"]:
    """Returns how bright each pixel is.

    Args:
        images: Pictures in [0, 1].

    Returns:
        The luma of three channels, else the mean of all channels.
    """
    if images.shape[-1] != 3:
        return images.mean(-1, keepdims=True)
    red, green, blue = (images[..., index : index + 1] for index in range(3))
    return jnp.clip(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue, 0, 1)


def depart(images: Pictures, other: Array, amount: Float[Array, "batch"]) -> Pictures:
    """Moves pictures away from others.

    Args:
        images: Pictures in [0, 1].
        other: What has their shape or can be broadcast to it.
        amount: 0 keeps a picture bit by bit, -1 gives the other, 1 doubles the difference.

    Returns:
        The pictures, clipped to [0, 1].
    """
    return jnp.clip(images + per_picture(amount) * (images - other), 0, 1)


def change_brightness(images: Pictures, amount: Float[Array, "batch"]) -> Pictures:
    """Multiplies pictures by `1 + amount`.

    Args:
        images: Pictures in [0, 1].
        amount: At least -1.

    Returns:
        The pictures.
    """
    return depart(images, jnp.zeros_like(images), amount)


def change_contrast(images: Pictures, amount: Float[Array, "batch"]) -> Pictures:
    """Multiplies the distance from the mean brightness by `1 + amount`.

    Args:
        images: Pictures in [0, 1].
        amount: At least -1.

    Returns:
        The pictures.
    """
    return depart(images, to_grey(images).mean((1, 2, 3), keepdims=True), amount)


def change_saturation(images: Pictures, amount: Float[Array, "batch"]) -> Pictures:
    """Multiplies the distance from grey by `1 + amount`.

    Args:
        images: Pictures in [0, 1].
        amount: At least -1.

    Returns:
        The pictures; the same ones where they have other than 3 channels.
    """
    return depart(images, to_grey(images), amount) if images.shape[-1] == 3 else images


def turn_hue(
    images: Float[Array, "batch height width 3"], turns: Float[Array, "batch"]
) -> Float[Array, "batch height width 3"]:
    """Turns the hue; each pixel keeps its largest and its smallest value.

    Args:
        images: Pictures in [0, 1].
        turns: By how much; 1 is a full turn, 0 keeps a picture bit by bit.

    Returns:
        The pictures.
    """
    red, green, blue = (images[..., index] for index in range(3))
    largest = jnp.maximum(jnp.maximum(red, green), blue)
    smallest = jnp.minimum(jnp.minimum(red, green), blue)
    span = largest - smallest
    divisor = jnp.where(span > 0, span, 1)
    # In sixths of a turn from red.
    hue = jnp.where(
        largest == red,
        (green - blue) / divisor,
        jnp.where(largest == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = hue + 6 * turns[:, None, None]

    def channel(start: int) -> Array:
        place = start + hue
        place = place - 6 * jnp.floor(place / 6)  # the remainder; jnp.mod takes ten times as long
        return largest - span * jnp.clip(jnp.minimum(place, 4 - place), 0, 1)

    turned = jnp.clip(jnp.stack([channel(start) for start in (5, 3, 1)], -1), 0, 1)
    return jnp.where(per_picture(turns) == 0, images, turned)
