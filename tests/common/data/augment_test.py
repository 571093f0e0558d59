"""Tests of the augmentations."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.data import augment
from common.data.augment import make_augment, shift

PIXELS = 2
DISTANCES = list(itertools.product(range(-PIXELS, PIXELS + 1), repeat=2))
KEY = jax.random.key(0)
# No value is zero or occurs twice, so that every translation can be told from every other.
IMAGES = jnp.arange(1.0, 1 + 400 * 5 * 6 * 2).reshape(400, 5, 6, 2)

jitted = jax.jit(partial(shift, pixels=PIXELS), static_argnames="probability")


def translate(picture, rows, columns):
    """Moves a picture down and to the right; what comes in is zero."""
    height, width, _ = picture.shape
    moved = np.zeros_like(picture)
    moved[max(rows, 0) : height + rows, max(columns, 0) : width + columns] = picture[
        max(-rows, 0) : height - rows, max(-columns, 0) : width - columns
    ]
    return moved


def find_distances(before, after):
    """The distances by which pictures were translated; fails for anything but a translation."""
    found = []
    for picture, moved in zip(np.asarray(before), np.asarray(after), strict=True):
        matches = [
            distance
            for distance in DISTANCES
            if np.array_equal(translate(picture, *distance), moved)
        ]
        assert len(matches) == 1
        found += matches
    return found


def test_every_picture_is_translated_and_every_distance_occurs():
    found = find_distances(IMAGES, jitted(KEY, IMAGES, probability=1.0))
    assert set(found) == set(DISTANCES)
    # Of 400 draws, 80 fall on each of five distances.
    for axis in range(2):
        counts = np.bincount([distance[axis] + PIXELS for distance in found])
        assert counts.min() > 50


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_the_probability_is_respected(probability):
    found = find_distances(IMAGES, jitted(KEY, IMAGES, probability=probability))
    stayed = np.mean([distance == (0, 0) for distance in found])
    if probability == 0:
        assert stayed == 1
    # One of 25 draws moves a picture by nothing.
    assert stayed == pytest.approx(1 - probability * 24 / 25, abs=0.06)


def test_a_key_gives_one_result_and_another_key_another():
    first = jitted(KEY, IMAGES, probability=1.0)
    np.testing.assert_array_equal(first, jitted(KEY, IMAGES, probability=1.0))
    other = jitted(jax.random.key(1), IMAGES, probability=1.0)
    assert find_distances(IMAGES, other) != find_distances(IMAGES, first)


def test_nothing_moves_by_zero_pixels():
    stay = jax.jit(partial(shift, pixels=0, probability=1.0))
    moved = stay(KEY, IMAGES[:3])
    np.testing.assert_array_equal(moved, IMAGES[:3])


def test_a_config_chains_augmentations_each_with_a_key_of_its_name(monkeypatch):
    options = {"pixels": PIXELS, "probability": 1.0}
    negate = lambda key, images, *, factor: -factor * images  # noqa: E731
    monkeypatch.setitem(augment.AUGMENTATIONS, "negate", negate)
    np.testing.assert_array_equal(make_augment({})(KEY, IMAGES), IMAGES)
    alone = jax.jit(make_augment({"shift": options}))(KEY, IMAGES)
    assert len(set(find_distances(IMAGES, alone))) > 1
    chain = make_augment({"negate": {"factor": 2}, "shift": options})
    chained = jax.jit(chain)(KEY, IMAGES)
    np.testing.assert_array_equal(chained, -2 * alone)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pixels": 1}, "augment.shift.probability is missing"),
        ({"pixels": 1, "probability": 0.5, "angle": 3}, "augment.shift.angle is unknown; legal"),
        ({"pixels": 0.5, "probability": 0.5}, "augment.shift.pixels is 0.5; it must be a whole"),
        ({"pixels": 1, "probability": -0.5}, "augment.shift.probability is -0.5; it must lie in"),
    ],
)
def test_options_that_cannot_be_are_refused_under_their_key(options, sentence):
    with pytest.raises(ValueError, match=f"config.data.strong_{sentence}"):
        make_augment({"shift": options}, "config.data.strong_augment")


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(ValueError, match="config.data.augment.blur is unknown; legal are shift"):
        make_augment({"shift": {}, "blur": {}})
