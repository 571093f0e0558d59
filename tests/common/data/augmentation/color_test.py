"""Tests of the color augmentations against colorsys and Pillow."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from common.data.augmentation.color import (
    change_brightness,
    change_contrast,
    change_saturation,
    color,
    grayscale,
    turn_hue,
)

KEY = jax.random.key(0)
IMAGES = jax.random.uniform(KEY, (30, 4, 5, 3))
turned_hues = jax.jit(turn_hue)
CHANGES = {
    "brightness": (change_brightness, ImageEnhance.Brightness),
    "contrast": (change_contrast, ImageEnhance.Contrast),
    "saturation": (change_saturation, ImageEnhance.Color),
}
jitted = jax.jit(
    color, static_argnames=("brightness", "contrast", "saturation", "hue", "probability")
)


def test_turned_hues_agree_with_colorsys():
    turns = jnp.linspace(-1, 1, 30)
    # Corners of the color cube: two or three channels are equal there.
    corners = jnp.asarray(np.indices((2, 2, 2)).reshape(3, -1).T, jnp.float32)
    images = IMAGES.at[:, :2, :4].set(corners.reshape(1, 2, 4, 3))
    turned = np.asarray(turned_hues(images, turns))
    for before, turn, after in zip(np.asarray(images), turns, turned, strict=True):
        for old, new in zip(before.reshape(-1, 3), after.reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*map(float, old))
            expected = colorsys.hsv_to_rgb((hue + float(turn)) % 1, saturation, value)
            np.testing.assert_allclose(new, expected, atol=5e-6)


def test_a_full_turn_changes_nothing_and_none_keeps_every_bit():
    np.testing.assert_allclose(turned_hues(IMAGES, jnp.ones(30)), IMAGES, atol=2e-6)
    np.testing.assert_array_equal(turned_hues(IMAGES, jnp.zeros(30)), IMAGES)


def test_changes_agree_with_pillow():
    amounts = jnp.linspace(-1, 1, 30)
    bytes_ = np.rint(IMAGES * 255).astype(np.uint8)
    changes = jax.jit(
        lambda own: {name: change(own, amounts) for name, (change, _) in CHANGES.items()}
    )
    for name, changed in changes(jnp.asarray(bytes_ / np.float32(255))).items():
        for picture, amount, after in zip(bytes_, amounts, changed, strict=True):
            enhancer = CHANGES[name][1](Image.fromarray(picture))
            # Pillow rounds the picture that it departs from, then the result.
            expected = np.asarray(enhancer.enhance(1 + float(amount)))
            np.testing.assert_allclose(np.asarray(after) * 255, expected, atol=2.1)


def test_each_picture_draws_its_own_factor_from_the_whole_range():
    images = jnp.full((400, 2, 2, 3), 0.5)
    factors = np.asarray(jitted(KEY, images, brightness=0.8))[:, 0, 0, 0] / 0.5
    assert 0.2 <= factors.min() < 0.22 and 1.78 < factors.max() <= 1.8001
    assert len(set(factors.tolist())) > 390
    # No darker than black.
    strong = jitted(KEY, images, brightness=3.0)
    assert (strong > 0).all((1, 2, 3)).mean() > 0.99


def test_changes_draw_apart_and_the_hue_to_both_sides():
    images = jnp.broadcast_to(jnp.array([0.45, 0.4, 0.35]), (300, 1, 2, 3))
    seen = np.asarray(jitted(KEY, images, brightness=0.2, saturation=0.5, hue=0.1))[:, 0, 0]
    hsv = np.array([colorsys.rgb_to_hsv(*map(float, pixel)) for pixel in seen])
    turn = hsv[:, 0] - colorsys.rgb_to_hsv(0.45, 0.4, 0.35)[0]
    turn = (turn + 0.5) % 1 - 0.5
    assert -0.1001 < turn.min() < -0.095 and 0.095 < turn.max() < 0.1001
    # Turning a hue keeps the largest value and the spread.
    drawn = [turn, hsv[:, 2], np.ptp(seen, axis=1) / hsv[:, 2]]
    assert len(np.unique(hsv[:, 2])) > 250
    correlation = np.corrcoef(drawn)
    assert abs(correlation[0, 1]) < 0.2 and abs(correlation[0, 2]) < 0.2
    # The saturation draws apart from the brightness: the spread alone explains the value.
    assert np.ptp(drawn[2]) > 0.1


def test_grey_pictures_have_brightness_and_contrast_alone():
    grey = IMAGES[..., :1]
    np.testing.assert_array_equal(jitted(KEY, grey, saturation=1.0, hue=0.5), grey)
    np.testing.assert_array_equal(jax.jit(grayscale)(KEY, grey), grey)
    options = {"brightness": 0.5, "contrast": 0.5}
    tripled = jnp.broadcast_to(grey, IMAGES.shape)
    changed = jitted(KEY, tripled, **options, saturation=0.5, hue=0.5)
    # Grey colors of three channels change as grey pictures do, and stay grey.
    np.testing.assert_allclose(
        changed, jnp.broadcast_to(jitted(KEY, grey, **options), IMAGES.shape), atol=1e-5
    )
    assert not np.allclose(changed, tripled, atol=0.05)


def test_a_share_of_the_pictures_becomes_grey():
    images = jax.random.uniform(KEY, (400, 2, 2, 3))
    grey = np.asarray(
        jax.jit(grayscale, static_argnames="probability")(KEY, images, probability=0.3)
    )
    is_grey = np.ptp(grey, axis=-1).max((1, 2)) == 0
    assert is_grey.mean() == pytest.approx(0.3, abs=0.08)
    np.testing.assert_array_equal(grey[~is_grey], images[~is_grey])
    expected = np.asarray(images) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey[is_grey][..., 0], expected[is_grey], atol=1e-6)
