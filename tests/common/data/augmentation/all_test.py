"""What holds for every augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.data.augment import AUGMENTATIONS
from common.data.augmentation.rand_augment import OPERATIONS

KEY = jax.random.key(0)
# Strong enough that two draws differ in every picture.
STRONG = {
    "resized_crop": {},
    "crop": {"pixels": 3, "mode": "reflect"},
    "shift": {"pixels": 3, "probability": 1.0},
    "flip": {},
    "affine": {"degrees": 90, "scale": [0.5, 2.0], "shear": 20.0, "translate": 0.3},
    "color": {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5},
    "grayscale": {"probability": 0.5},
    "blur": {"sigma": [0.5, 3], "probability": 1},
    "rand_augment": {"number": 3, "probability": 1},
    "cutout": {"side": [0.3, 0.9], "ratio": [0.5, 2.0], "fill": 1},
}
# Those that either change a picture or do not.
BINARY = ("flip", "grayscale")
NEUTRAL = {
    "resized_crop": {"area": [1.0, 1.0], "ratio": [1.0, 1.0]},
    "crop": {"pixels": 0},
    "shift": {"pixels": 0, "probability": 1.0},
    "flip": {"probability": 0},
    "affine": {},
    "color": {},
    "grayscale": {"probability": 0},
    "blur": {"sigma": [0, 0], "probability": 1.0},
    "rand_augment": {
        "probability": 1.0,
        "magnitude": 0.0,
        "operations": [name for name in OPERATIONS if name not in ("auto_contrast", "equalize")],
    },
    "cutout": {"side": [0, 0]},
}
NEVER = {name: STRONG[name] | {"probability": 0.0} for name in STRONG}


def apply_all(options):
    def apply(key, images):
        return {name: AUGMENTATIONS[name](key, images, **own) for name, own in options.items()}

    return apply


strongly = jax.jit(apply_all(STRONG))
RANDOM = np.asarray(jax.random.uniform(KEY, (3, 6, 5, 3)))
# Constant pictures and a grey one are where divisions by zero hide.
MIXED = np.concatenate(
    [
        RANDOM,
        np.broadcast_to(np.asarray([0, 0.5, 1], np.float32).reshape(3, 1, 1, 1), RANDOM.shape),
        np.broadcast_to(RANDOM[:1, :, :, :1], RANDOM[:1].shape),
        np.rint(RANDOM[:1]),
    ]
)


def test_all_have_options_here():
    assert set(STRONG) == set(NEUTRAL) == set(AUGMENTATIONS)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_stay_pictures(channels):
    for seed in range(20):
        images = jnp.asarray(MIXED[..., :channels])
        for name, seen in strongly(jax.random.key(seed), images).items():
            assert seen.shape == images.shape and seen.dtype == images.dtype, name
            assert np.isfinite(seen).all(), name
            assert np.min(seen) >= 0 and np.max(seen) <= 1, name


@pytest.mark.parametrize("double", [False, True])
def test_the_type_is_kept(double):
    with jax.enable_x64(double):
        for dtype in ("float32", "float64") if double else ("float32",):
            images = jax.ShapeDtypeStruct(MIXED.shape, dtype)
            for options in (STRONG, NEUTRAL):
                shapes = jax.eval_shape(apply_all(options), jax.random.key(0), images)
                assert all(seen.dtype == dtype for seen in shapes.values())


def test_each_picture_has_its_own_draw_that_the_key_decides():
    images = jnp.broadcast_to(RANDOM[:1], (len(MIXED), *RANDOM.shape[1:]))
    first, again, other = (strongly(jax.random.key(seed), images) for seed in (0, 0, 1))
    for name, seen in first.items():
        np.testing.assert_array_equal(seen, again[name])
        assert (seen != other[name]).any(), name
        distinct = len({np.asarray(picture).tobytes() for picture in seen})
        assert distinct == 2 if name in BINARY else distinct >= len(MIXED) - 2, name


def test_a_population_in_a_loop_draws_as_each_member_alone():
    keys = jax.random.split(KEY, (2, 2))
    images = jnp.asarray(MIXED[:4]).reshape(2, 2, *RANDOM.shape[1:])

    def step(_, key):
        return None, jax.vmap(apply_all(STRONG))(key, images)

    _, looped = jax.jit(lambda: jax.lax.scan(step, None, keys))()
    alone = jax.jit(apply_all(STRONG))
    for index in np.ndindex(2, 2):
        for name, seen in alone(keys[index], images[index[1]]).items():
            np.testing.assert_allclose(looped[name][index], seen, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["color", "crop", "cutout"])
def test_compiled_and_not_are_the_same(name):
    images = jnp.asarray(MIXED)
    eager = AUGMENTATIONS[name](KEY, images, **STRONG[name])
    np.testing.assert_allclose(strongly(KEY, images)[name], eager, atol=1e-6)


def test_nothing_to_do_keeps_every_bit():
    neutral = jax.jit(
        lambda key, images: (apply_all(NEUTRAL)(key, images), apply_all(NEVER)(key, images))
    )
    for seen in neutral(KEY, jnp.asarray(MIXED)):
        for name, own in seen.items():
            np.testing.assert_array_equal(own, MIXED, err_msg=name)
