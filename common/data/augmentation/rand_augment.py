"""A strong view: a few random operations a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from common.data.augmentation.color import change_brightness, change_contrast, change_saturation
from common.data.augmentation.draw import Pictures, draw_evenly, draw_some, per_picture
from common.data.augmentation.geometry import shear_matrix, turn_matrix
from common.data.augmentation.option import Count, Flag, Share, check_choices
from common.data.augmentation.resample import transform
from common.data.augmentation.tone import autocontrast, equalize, posterize, sharpen, solarize

# What a strength from -1 to 1 means. Those of one sign use its size alone.
LARGEST_ANGLE = 30.0
LARGEST_SLANT = 0.3
LARGEST_MOVE = 0.3
LARGEST_FACTOR_CHANGE = 0.9
MOST_BITS_LOST = 4

GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
TONAL: dict[str, Callable[[Array, Array], Array]] = {
    "auto_contrast": lambda images, strength: autocontrast(images),
    "brightness": lambda images, strength: change_brightness(
        images, LARGEST_FACTOR_CHANGE * strength
    ),
    "color": lambda images, strength: change_saturation(images, LARGEST_FACTOR_CHANGE * strength),
    "contrast": lambda images, strength: change_contrast(images, LARGEST_FACTOR_CHANGE * strength),
    "equalize": lambda images, strength: equalize(images),
    "posterize": lambda images, strength: posterize(
        images, 8 - jnp.round(MOST_BITS_LOST * jnp.abs(strength))
    ),
    "sharpness": lambda images, strength: sharpen(images, LARGEST_FACTOR_CHANGE * strength),
    "solarize": lambda images, strength: solarize(images, 1 - jnp.abs(strength)),
}
OPERATIONS = ("identity", *TONAL, *GEOMETRIC)


def rand_augment(
    key: Key[Array, ""],
    images: Pictures,
    *,
    number: Count = 2,
    magnitude: Share = 1.0,
    random_magnitude: Flag = True,
    probability: Share = 0.5,
    operations: Annotated[Sequence[str], partial(check_choices, legal=OPERATIONS)] = OPERATIONS,
    fill: Share = 0.5,
) -> Pictures:
    """Applies operations drawn from a list, each picture its own, one after the other.

    The defaults are FixMatch's, without its cutout. RandAugment itself has `probability` 1,
    `random_magnitude` False and, for its M of 30, `magnitude` M / 30.

    Args:
        key: A random key.
        images: Pictures in [0, 1].
        number: How many operations are drawn for each picture, with replacement.
        magnitude: Strength, as a share of each operation's range; `auto_contrast` and `equalize`
            have none. Signs are drawn.
        random_magnitude: Whether the strength of every operation is drawn evenly from 0 to
            `magnitude`.
        probability: Share of the drawn operations that are applied.
        operations: Names of `OPERATIONS`.
        fill: The value of all pixels outside the picture.

    Returns:
        The pictures.

    References:
        Cubuk et al., RandAugment: Practical Automated Data Augmentation with a Reduced Search
        Space, arXiv:1909.13719. Sohn et al., FixMatch, NeurIPS 2020, Appendix D.
    """

    def draw(key: Key[Array, ""]) -> tuple[dict[str, Array], Array]:
        kind_key, some_key, sign_key, strength_key = jax.random.split(key, 4)
        kind = jax.random.randint(kind_key, images.shape[:1], 0, len(operations))
        some = draw_some(some_key, images, probability)
        least = 0.0 if random_magnitude else magnitude
        strength = draw_evenly(strength_key, images, least, magnitude)
        strength = jnp.where(draw_some(sign_key, images, 0.5), strength, -strength)
        return {name: some & (kind == index) for index, name in enumerate(operations)}, strength

    def move(images: Pictures, key: Key[Array, ""]) -> Pictures:
        chosen, strength = draw(key)
        geometric = {name: own for name, own in chosen.items() if name in GEOMETRIC}
        return _move(images, geometric, strength, fill) if geometric else images

    def tone(images: Pictures, key: Key[Array, ""]) -> Pictures:
        chosen, strength = draw(key)
        changed = images
        for name in operations:
            if name in TONAL:
                own = TONAL[name](images, strength)
                changed = jnp.where(per_picture(chosen[name]), own, changed)
        return changed

    def apply(images: Pictures, drawn: tuple[Array, Array]) -> tuple[Pictures, None]:
        key, is_geometric = drawn
        return jax.lax.cond(is_geometric, move, tone, images, key), None

    # Each operation is two turns of the loop. In one, XLA would gather each pixel anew for every
    # tonal operation that reads it, which takes many times as long on CPUs.
    keys = jnp.repeat(jax.random.split(key, number), 2)
    return jax.lax.scan(apply, images, (keys, jnp.arange(2 * number) % 2 == 0))[0]


def _move(
    images: Pictures,
    chosen: dict[str, Bool[Array, "batch"]],
    strength: Float[Array, "batch"],
    fill: int | float,
) -> Pictures:
    """Applies the geometric operations: one affine map for all of them, since gathers are slow."""

    def amount(name: str, largest: float) -> Array:
        return jnp.where(chosen[name], largest * strength, 0) if name in chosen else 0 * strength

    height, width = images.shape[1:3]
    # At most one of the three differs from the unit matrix.
    matrix = (
        turn_matrix(-jnp.deg2rad(amount("rotate", LARGEST_ANGLE)))
        + shear_matrix(amount("shear_y", LARGEST_SLANT), amount("shear_x", LARGEST_SLANT))
        - jnp.eye(2, dtype=images.dtype)[None]
    )
    distance = jnp.stack(
        [
            amount("translate_y", LARGEST_MOVE * height),
            amount("translate_x", LARGEST_MOVE * width),
        ],
        -1,
    )
    return transform(images, matrix, distance, fill)
