"""Tests of the strong view."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.data.augmentation import color, tone
from common.data.augmentation.rand_augment import OPERATIONS, rand_augment
from common.data.augmentation.resample import transform

KEY = jax.random.key(0)
COUNT, SIDE = 24, 6
IMAGES = jax.random.uniform(KEY, (COUNT, SIDE, SIDE, 3))
NAMES = ("number", "magnitude", "random_magnitude", "probability", "operations", "fill")
jitted = jax.jit(rand_augment, static_argnames=NAMES)
ALWAYS = {"number": 1, "probability": 1.0, "random_magnitude": False}


def move(matrix, distance=(0, 0)):
    """The geometric operation that has this inverse matrix and distance."""
    far = jnp.broadcast_to(jnp.array(distance, jnp.float32), (COUNT, 2))
    matrices = jnp.broadcast_to(jnp.asarray(matrix, jnp.float32), (COUNT, 2, 2))
    return transform(IMAGES, matrices, far, 0.5)


def turn(degrees):
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return [[cosine, sine], [-sine, cosine]]


def each(value):
    return jnp.full(COUNT, value)


# What each operation gives at full magnitude, for both signs.
EXPECTED = {
    "identity": lambda sign: IMAGES,
    "auto_contrast": lambda sign: tone.autocontrast(IMAGES),
    "brightness": lambda sign: color.change_brightness(IMAGES, each(0.9 * sign)),
    "color": lambda sign: color.change_saturation(IMAGES, each(0.9 * sign)),
    "contrast": lambda sign: color.change_contrast(IMAGES, each(0.9 * sign)),
    "equalize": lambda sign: tone.equalize(IMAGES),
    "posterize": lambda sign: tone.posterize(IMAGES, each(4.0)),
    "sharpness": lambda sign: tone.sharpen(IMAGES, each(0.9 * sign)),
    "solarize": lambda sign: tone.solarize(IMAGES, each(0.0)),
    "rotate": lambda sign: move(turn(30 * sign)),
    "shear_x": lambda sign: move([[1, 0], [0.3 * sign, 1]]),
    "shear_y": lambda sign: move([[1, 0.3 * sign], [0, 1]]),
    "translate_x": lambda sign: move(np.eye(2), (0, 0.3 * SIDE * sign)),
    "translate_y": lambda sign: move(np.eye(2), (0.3 * SIDE * sign, 0)),
}


@pytest.fixture(scope="module")
def full():
    """Each operation at full magnitude, for both signs."""
    make = jax.jit(lambda: {name: [own(-1), own(1)] for name, own in EXPECTED.items()})
    return jax.tree.map(np.asarray, make())


def find_operations(full, seen):
    """Which operations at full magnitude give each picture."""
    return [
        {
            (name, sign)
            for name, both in full.items()
            for sign, own in zip((-1, 1), both, strict=True)
            if np.allclose(own[index], picture, atol=1e-5)
        }
        for index, picture in enumerate(np.asarray(seen))
    ]


def test_every_operation_of_the_list_occurs_about_equally_often_and_none_else(full):
    assert set(EXPECTED) == set(OPERATIONS)
    counts = dict.fromkeys(EXPECTED, 0)
    signs = []
    for seed in range(20):
        for found in find_operations(full, jitted(jax.random.key(seed), IMAGES, **ALWAYS)):
            assert found
            name, sign = min(found)
            counts[name] += 1
            if len(found) == 1:
                signs.append(sign)
    expected = 20 * COUNT / len(OPERATIONS)
    assert min(counts.values()) > 0.5 * expected and max(counts.values()) < 1.7 * expected
    assert np.mean(signs) == pytest.approx(0, abs=0.15)


def test_operations_follow_one_another_each_drawn_anew():
    options = ALWAYS | {"number": 2, "operations": ("solarize", "brightness")}
    images = jnp.full((400, 1, 1, 1), 0.5)
    seen = np.asarray(jitted(KEY, images, **options)).ravel()
    bright = {"dark": 0.05, "light": 0.95}
    # Of four pairs: inverted twice; brighter or darker before or after; twice brighter or darker.
    values = {0.5, *bright.values(), *(1 - own for own in bright.values())}
    values |= {0.005, 0.095, 1.0}
    assert {round(float(own), 4) for own in seen} == {round(own, 4) for own in values}
    assert np.mean(np.isclose(seen, 0.5)) == pytest.approx(1 / 4, abs=0.08)


def test_the_share_of_applied_operations_is_respected():
    options = {"number": 1, "operations": ("solarize",), "random_magnitude": False}
    images = jnp.full((400, 1, 1, 1), 0.25)
    seen = np.asarray(jitted(KEY, images, **options, probability=0.5)).ravel()
    assert set(seen.tolist()) == {0.25, 0.75}
    assert np.mean(seen == 0.75) == pytest.approx(0.5, abs=0.08)


def test_the_strength_is_drawn_up_to_the_magnitude_or_is_the_magnitude():
    magnitude = 0.5
    options = {"number": 1, "operations": ("brightness",), "probability": 1.0}
    images = jnp.full((400, 1, 1, 1), 0.5)
    drawn = np.asarray(jitted(KEY, images, **options, magnitude=magnitude)).ravel() / 0.5 - 1
    largest = 0.9 * magnitude
    assert -largest <= drawn.min() < -0.95 * largest and 0.95 * largest < drawn.max() <= largest
    assert np.quantile(np.abs(drawn), 0.5) == pytest.approx(largest / 2, abs=0.1 * largest)
    fixed = jitted(KEY, images, **options, magnitude=magnitude, random_magnitude=False)
    np.testing.assert_allclose(np.abs(np.asarray(fixed) / 0.5 - 1), largest, rtol=1e-5)


def test_what_lies_outside_has_the_fill_value():
    options = ALWAYS | {"operations": ("translate_x",), "fill": 0.25}
    moved = np.asarray(jitted(KEY, jnp.ones((COUNT, SIDE, SIDE, 1)), **options))
    ends = np.sort(moved[:, :, [0, -1], 0], axis=-1)
    np.testing.assert_allclose(ends[..., 0], 0.25)
    np.testing.assert_allclose(ends[..., 1], 1.0)
