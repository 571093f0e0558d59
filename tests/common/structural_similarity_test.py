"""Tests of SSIM against SciPy's Gaussian filter and against sums over single windows."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from common.structural_similarity import structural_similarity
from tests import tiny

DRAW = np.random.default_rng(0)
IMAGES = DRAW.random((2, 13, 15, 2))
OTHERS = np.clip(IMAGES + 0.3 * DRAW.normal(size=IMAGES.shape), 0, 1)


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


@functools.cache
def compiled(**options):
    """Values, and the gradient of their sum by the first pictures."""

    def compare(images, others):
        found = structural_similarity(images, others, **options)
        return found.sum(), found

    return jax.jit(jax.value_and_grad(compare, has_aux=True))


def similarity(images, others, **options):
    with jax.enable_x64(True):
        (_, found), gradient = compiled(**options)(jnp.asarray(images), jnp.asarray(others))
        return np.asarray(found), np.asarray(gradient)


def by_filters(one, other, sigma=1.5, radius=5, high=1.0):
    """SSIM of two grey pictures from filtered pictures, cut to where whole windows lie."""

    def average(values):
        return gaussian_filter(values, sigma, radius=radius)[radius:-radius, radius:-radius]

    mean, its = average(one), average(other)
    spread, covariance = average(one**2) - mean**2, average(one * other) - mean * its
    both = spread + average(other**2) - its**2
    c1, c2 = (0.01 * high) ** 2, (0.03 * high) ** 2
    likeness = (2 * mean * its + c1) / (mean**2 + its**2 + c1)
    return (likeness * (2 * covariance + c2) / (both + c2)).mean()


def by_windows(one, other, side, sigma):
    """The same as three factors, luminance, contrast and structure, a window at a time."""
    places = np.arange(side) - side // 2
    weights = np.exp(-(places[:, None] ** 2 + places[None] ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    c1, c2, found = 0.01**2, 0.03**2, []
    for row in range(one.shape[0] - side + 1):
        for column in range(one.shape[1] - side + 1):
            x, y = (own[row : row + side, column : column + side] for own in (one, other))
            m, n = (weights * x).sum(), (weights * y).sum()
            v, w = (weights * (x - m) ** 2).sum(), (weights * (y - n) ** 2).sum()
            luminance = (2 * m * n + c1) / (m**2 + n**2 + c1)
            contrast = (2 * np.sqrt(v * w) + c2) / (v + w + c2)
            structure = ((weights * (x - m) * (y - n)).sum() + c2 / 2) / (np.sqrt(v * w) + c2 / 2)
            found.append(luminance * contrast * structure)
    return np.mean(found)


def of_channels(compare, images, others, *options):
    return [
        np.mean([compare(x[..., c], y[..., c], *options) for c in range(x.shape[-1])])
        for x, y in zip(images, others, strict=True)
    ]


def test_it_is_the_papers_with_its_window():
    found, _ = similarity(IMAGES, OTHERS)
    np.testing.assert_allclose(found, of_channels(by_filters, IMAGES, OTHERS), 1e-10)
    np.testing.assert_allclose(similarity(OTHERS, IMAGES)[0], found, 1e-12)
    # Values up to 255 are as alike as those up to 1.
    scaled, _ = similarity(255 * IMAGES, 255 * OTHERS, value_range=255.0)
    np.testing.assert_allclose(scaled, found, 1e-10)
    assert (np.abs(similarity(255 * IMAGES, 255 * OTHERS)[0] - found) > 1e-3).all()


def test_a_smaller_window_is_the_product_of_three_comparisons():
    found, _ = similarity(IMAGES, OTHERS, window=7, sigma=1.2)
    np.testing.assert_allclose(found, of_channels(by_windows, IMAGES, OTHERS, 7, 1.2), 1e-10)
    others = np.asarray(of_channels(by_windows, IMAGES, OTHERS, 7, 1.5))
    assert (np.abs(found - others) > 1e-4).all()


def test_the_gradient_is_that_of_differences():
    image, other = IMAGES[:1, :6, :5, :1], OTHERS[:1, :6, :5, :1]
    _, gradient = similarity(image, other, window=5, sigma=1.5)
    for place in np.ndindex(image.shape):
        ends = []
        for step in (1e-6, -1e-6):
            moved = image.copy()
            moved[place] += step
            ends.append(by_windows(moved[0, ..., 0], other[0, ..., 0], 5, 1.5))
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_what_is_equal_is_1_flat_or_not_and_the_negative_is_unlike():
    flat = np.full((1, 12, 12, 1), 0.5, np.float32)
    # In single precision, as training has it.
    for image, other in ((flat, flat), (0 * flat, 0 * flat), (0 * flat, flat)):
        (_, found), gradient = compiled()(image, other)
        assert np.isfinite(gradient).all()
        assert np.any(gradient) != (image == other).all()
        assert (found == pytest.approx(1, abs=1e-6)) == (image == other).all()
    np.testing.assert_allclose(similarity(IMAGES, IMAGES)[0], 1, 1e-12)
    assert (similarity(IMAGES, 1 - IMAGES)[0] < 0).all()


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (11, "window is 11; SSIM compares windows with a pixel in their middle, and the pictures"),
        (11, "have 8 by 9 pixels: take an odd number up to 7"),
        (4, "window is 4; SSIM compares windows with a pixel in their middle"),
        (0, "window is 0; it must be a whole number of at least 1"),
    ],
)
def test_windows_that_do_not_fit_are_refused(window, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        similarity(IMAGES[:, :8, :9], OTHERS[:, :8, :9], window=window)
