"""Tests of the crops; those of `shift` are in the tests of the chain."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from common.data.augmentation.crop import crop, resized_crop

KEY = jax.random.key(0)
HEIGHT, WIDTH = 5, 6
# No value is zero or occurs twice in a picture.
IMAGES = jax.random.uniform(KEY, (300, HEIGHT, WIDTH, 2), minval=0.1)


def find_windows(pixels, mode):
    """Where each picture's window begins, found by comparison with all windows."""
    cut = np.asarray(jax.jit(partial(crop, pixels=pixels, mode=mode))(KEY, IMAGES))
    edges = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    padded = np.pad(IMAGES, edges, mode="constant" if mode == "zero" else "reflect")
    starts = range(2 * pixels + 1)
    found = [
        [
            (row, column)
            for row in starts
            for column in starts
            if np.array_equal(picture[row : row + HEIGHT, column : column + WIDTH], window)
        ]
        for picture, window in zip(padded, cut, strict=True)
    ]
    assert all(found)
    return found


@pytest.mark.parametrize(("pixels", "mode"), [(2, "zero"), (3, "reflect")])
def test_a_crop_is_a_window_of_the_padded_picture_and_every_window_occurs(pixels, mode):
    found = find_windows(pixels, mode)
    assert all(len(matches) == 1 for matches in found)
    for axis in range(2):
        counts = np.bincount([matches[0][axis] for matches in found], minlength=2 * pixels + 1)
        # Evenly drawn: 300 draws over 5 or 7 starts.
        assert counts.min() > 0.6 * 300 / (2 * pixels + 1)
    # The axes are drawn apart.
    assert len({matches[0] for matches in found}) == (2 * pixels + 1) ** 2


def test_pictures_may_be_smaller_than_what_is_added():
    small = IMAGES[:4, :2, :2]
    cut = jax.jit(partial(crop, pixels=5, mode="reflect"))(KEY, small)
    padded = np.pad(small, ((0, 0), (5, 5), (5, 5), (0, 0)), mode="reflect")
    for picture, window in zip(padded, np.asarray(cut), strict=True):
        windows = [picture[r : r + 2, c : c + 2] for r in range(11) for c in range(11)]
        assert any(np.array_equal(own, window) for own in windows)


resize = jax.jit(resized_crop, static_argnames=("area", "ratio", "probability"))
SIDE = 12


def find_boxes(area, ratio, count=200):
    """The boxes that were drawn, as shares of the picture, read from ramps."""
    ramp = (jnp.arange(SIDE) + 0.5) / SIDE
    down = jnp.broadcast_to(ramp[:, None], (SIDE, SIDE))
    ramps = jnp.broadcast_to(jnp.stack([down, down.T], -1), (count, SIDE, SIDE, 2))
    cut = np.asarray(resize(KEY, ramps, area=area, ratio=ratio), float)
    boxes = []
    for axis in (0, 1):
        line = cut[:, :, SIDE // 2, 0] if axis == 0 else cut[:, SIDE // 2, :, 1]
        middle = SIDE // 2
        # Only the outer halves of border pixels are cut to the border's value.
        step = line[:, middle] - line[:, middle - 1]
        start = (line[:, middle] + line[:, middle - 1]) / 2 - middle * step
        boxes += [start, step * SIDE]
    return boxes


def test_boxes_lie_inside_and_have_the_areas_and_ratios_that_were_asked_for():
    top, height, left, width = find_boxes((0.2, 0.5), (0.5, 2.0))
    tolerance = 1e-4
    for start, length in ((top, height), (left, width)):
        assert start.min() > -tolerance and (start + length).max() < 1 + tolerance
        # Anywhere: the free space before the box is evenly spread.
        share = start / (1 - length + 1e-9)
        np.testing.assert_allclose(
            np.quantile(share, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.1
        )
    area, ratio = height * width, width / height
    assert 0.2 - tolerance < area.min() < 0.22 and 0.48 < area.max() < 0.5 + tolerance
    assert 0.5 - tolerance < ratio.min() < 0.55 and 1.8 < ratio.max() < 2 + tolerance
    # As often lying as standing.
    assert abs(np.median(np.log(ratio))) < 0.15
    assert abs(np.corrcoef(top, left)[0, 1]) < 0.2


def test_the_window_is_stretched_as_pillow_does_it():
    top, height, left, width = (SIDE * side[:4] for side in find_boxes((0.2, 0.5), (0.5, 2.0)))
    images = jax.random.uniform(jax.random.key(5), (200, SIDE, SIDE, 2))
    cut = np.asarray(resize(KEY, images, area=(0.2, 0.5), ratio=(0.5, 2.0)))
    for index in range(4):
        box = left[index], top[index], left[index] + width[index], top[index] + height[index]
        box = tuple(np.clip(box, 0, SIDE))
        for channel in range(2):
            expected = Image.fromarray(np.asarray(images[index, :, :, channel])).resize(
                (SIDE, SIDE), Image.Resampling.BILINEAR, box=box
            )
            np.testing.assert_allclose(cut[index, :, :, channel], np.asarray(expected), atol=2e-3)


def test_a_side_that_would_be_too_long_is_cut():
    top, height, left, width = find_boxes((0.9, 0.9), (4.0, 4.0))
    np.testing.assert_allclose(width, 1, atol=1e-4)
    np.testing.assert_allclose(left, 0, atol=1e-4)
    np.testing.assert_allclose(height, np.sqrt(0.9 / 4), atol=1e-4)
