"""Augmentations that mirror, turn, slant and stretch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from common.data.augmentation.draw import Pictures, change_some, draw_evenly
from common.data.augmentation.option import Degrees, FactorRange, Share, Slant
from common.data.augmentation.resample import transform


def flip(key: Key[Array, ""], images: Pictures, *, probability: Share = 0.5) -> Pictures:
    """Mirrors some pictures left to right.

    Args:
        key: A random key.
        images: Pictures.
        probability: Share of the pictures that are mirrored.

    Returns:
        The pictures.
    """
    return change_some(key, probability, images[:, :, ::-1], images)


def affine(
    key: Key[Array, ""],
    images: Pictures,
    *,
    degrees: Degrees = 0.0,
    scale: FactorRange = (1.0, 1.0),
    shear: Slant = 0.0,
    translate: Share = 0.0,
    fill: Share = 0.0,
    probability: Share = 1.0,
) -> Pictures:
    """Stretches, slants, turns and moves pictures about their centre, bilinearly, in this order.

    Args:
        key: A random key.
        images: Pictures in [0, 1].
        degrees: Largest angle of the turn, to either side.
        scale: Smallest and largest factor of the size, drawn evenly.
        shear: Largest angle by which columns lean to either side, in degrees.
        translate: Largest distance in each axis, as a share of the picture's side.
        fill: The value of all pixels outside the picture.
        probability: Share of the pictures that are changed.

    Returns:
        The pictures.
    """
    some_key, turn_key, scale_key, shear_key, distance_key = jax.random.split(key, 5)
    angle = jnp.deg2rad(draw_evenly(turn_key, images, -degrees, degrees))
    slant = jnp.tan(jnp.deg2rad(draw_evenly(shear_key, images, -shear, shear)))
    size = draw_evenly(scale_key, images, *scale)
    inverse = jnp.matmul(
        shear_matrix(jnp.zeros_like(slant), -slant), turn_matrix(-angle), precision="highest"
    )
    inverse = inverse / size[:, None, None]
    sides = jnp.asarray(images.shape[1:3], images.dtype)
    distance = jnp.stack(
        [draw_evenly(own, images, -translate, translate) for own in jax.random.split(distance_key)],
        -1,
    )
    moved = transform(images, inverse, distance * sides[None, :], fill)
    return change_some(some_key, probability, moved, images)


def turn_matrix(angle: Float[Array, "batch"]) -> Float[Array, "batch 2 2"]:
    """Returns the matrix over (down, right) that turns counter-clockwise.

    Args:
        angle: In radians.

    Returns:
        The matrices.
    """
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cosine, -sine, sine, cosine], -1).reshape(-1, 2, 2)


def shear_matrix(
    down: Float[Array, "batch"], right: Float[Array, "batch"]
) -> Float[Array, "batch 2 2"]:
    """Returns the matrix over (down, right) that slants along one axis; the other must be zero.

    Args:
        down: By how many pixels columns move down for each pixel to the right.
        right: By how many pixels rows move right for each pixel down.

    Returns:
        The matrices.
    """
    one = jnp.ones_like(down)
    return jnp.stack([one, down, right, one], -1).reshape(-1, 2, 2)
