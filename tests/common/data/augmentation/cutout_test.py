"""Tests of random erasing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.data.augmentation.cutout import cutout

KEY = jax.random.key(0)
SIDE = 20
IMAGES = jnp.full((400, SIDE, SIDE, 2), 0.25)


def erase(**options):
    """Where pictures were erased, `[picture, row, column]`; all channels alike."""
    seen = np.asarray(jax.jit(partial(cutout, **options))(KEY, IMAGES))
    assert set(np.unique(seen)) <= {0.25, np.float32(options.get("fill", 0.5))}
    np.testing.assert_array_equal(seen[..., 0], seen[..., 1])
    return seen[..., 0] != 0.25


def lengths(mask):
    """Height and width of what was erased; fails for anything but a rectangle."""
    rows, columns = mask.any(2), mask.any(1)
    np.testing.assert_array_equal(mask, rows[:, :, None] & columns[:, None, :])
    for lines in (rows, columns):  # without gaps
        assert (np.abs(np.diff(lines.astype(int), axis=1)).sum(1) <= 2).all()
    return rows.sum(1), columns.sum(1), rows, columns


def test_a_square_of_half_the_side_is_erased_and_may_lie_partly_outside():
    height, width, rows, columns = lengths(erase(side=(0.5, 0.5), fill=1.0))
    for length, lines in ((height, rows), (width, columns)):
        assert length.max() == SIDE // 2 and length.min() == pytest.approx(SIDE / 4, abs=1)
        inside = ~lines[:, 0] & ~lines[:, -1]
        assert (length[inside] == SIDE // 2).all()
        # The centre is drawn from the whole side, half of which keeps it inside.
        assert inside.mean() == pytest.approx(0.5, abs=0.1)
        first, last = lines.argmax(1), SIDE - 1 - lines[:, ::-1].argmax(1)
        assert np.median(first + last) == pytest.approx(SIDE - 1, abs=2)
    assert abs(np.corrcoef(rows.argmax(1), columns.argmax(1))[0, 1]) < 0.15


def test_sides_and_ratios_are_drawn_from_their_ranges():
    height, width, rows, columns = lengths(erase(side=(0.2, 0.4), ratio=(0.5, 2.0)))
    inside = ~rows[:, 0] & ~rows[:, -1] & ~columns[:, 0] & ~columns[:, -1]
    height, width = height[inside], width[inside]
    # A side of a rectangle is rounded to whole pixels.
    assert 0.2 * SIDE / np.sqrt(2) - 1 <= height.min() <= 4
    assert 9 <= height.max() <= 0.4 * SIDE * np.sqrt(2) + 1
    assert (height > 1.5 * width).any() and (width > 1.5 * height).any()
    areas = np.sqrt(height * width)
    assert areas.min() >= 0.2 * SIDE - 1.5 and areas.max() <= 0.4 * SIDE + 1.5
    assert abs(np.median(np.log(width / height))) < 0.25


def test_the_probability_is_respected():
    assert erase(probability=0.3, side=(0.5, 0.5)).any((1, 2)).mean() == pytest.approx(
        0.3, abs=0.08
    )
