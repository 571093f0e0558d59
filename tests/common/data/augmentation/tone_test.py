"""Tests of the operations on values against Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from common.data.augmentation.tone import autocontrast, equalize, posterize, sharpen, solarize

posterized, solarized = jax.jit(posterize), jax.jit(solarize)
BYTES = np.random.default_rng(0).integers(30, 200, (6, 9, 8, 3)).astype(np.uint8)
IMAGES = jnp.asarray(BYTES / np.float32(255))


def compare(images, expected, tolerance):
    seen = np.asarray(images) * 255
    for picture, own in zip(seen, expected, strict=True):
        np.testing.assert_allclose(picture, np.asarray(own), atol=tolerance)


def test_contrast_is_stretched_as_pillow_does_it():
    # Pillow cuts the result to whole numbers.
    compare(
        jax.jit(autocontrast)(IMAGES),
        [ImageOps.autocontrast(Image.fromarray(own)) for own in BYTES],
        1.01,
    )


@pytest.mark.parametrize("bits", range(4, 9))
def test_bits_are_dropped_as_pillow_does_it(bits):
    expected = [ImageOps.posterize(Image.fromarray(own), bits) for own in BYTES]
    compare(posterized(IMAGES, jnp.full(6, float(bits))), expected, 1e-3)


@pytest.mark.parametrize("threshold", [0, 64, 129, 256])
def test_bright_values_are_inverted_as_pillow_does_it(threshold):
    expected = [ImageOps.solarize(Image.fromarray(own), threshold) for own in BYTES]
    seen = solarized(IMAGES, jnp.full(6, threshold / 256))
    compare(seen, expected, 1e-3)


def test_pictures_are_sharpened_and_smoothed_as_pillow_does_it():
    amounts = jnp.linspace(-1, 1, 6)
    expected = [
        ImageEnhance.Sharpness(Image.fromarray(own)).enhance(1 + float(amount))
        for own, amount in zip(BYTES, amounts, strict=True)
    ]
    compare(jax.jit(sharpen)(IMAGES, amounts), expected, 1.6)


def test_values_are_spread_as_pillow_does_it_where_it_need_not_round():
    # 510 pixels beside the brightest ones: two a step of Pillow's.
    draw = np.random.default_rng(1)
    values = draw.choice(np.arange(20, 180), 510)
    picture = draw.permutation(np.append(values, [200] * 18)).reshape(22, 24).astype(np.uint8)
    expected = np.asarray(ImageOps.equalize(Image.fromarray(picture)))
    images = jnp.asarray(picture / np.float32(255))[None, :, :, None]
    compare(jax.jit(equalize)(images)[..., 0], [expected], 0.51)


def test_each_channel_is_spread_by_the_ranks_of_its_own_values():
    seen = np.asarray(jax.jit(equalize)(IMAGES))
    for index in np.ndindex(6, 3):
        own = BYTES[index[0], :, :, index[1]]
        darker = (own[:, :, None, None] > own[None, None]).sum((2, 3))
        others = (own < own.max()).sum()
        np.testing.assert_allclose(seen[index[0], :, :, index[1]], darker / others, rtol=1e-6)


def test_constant_pictures_keep_their_value():
    constant = jnp.broadcast_to(jnp.array([0.0, 0.5, 1.0]).reshape(3, 1, 1, 1), (3, 3, 3, 3))
    amounts = jnp.array([-1.0, 1.0, 0.5])
    changes = jax.jit(lambda own: (autocontrast(own), equalize(own), sharpen(own, amounts)))
    for after in changes(constant):
        np.testing.assert_allclose(after, constant, atol=1e-6)
