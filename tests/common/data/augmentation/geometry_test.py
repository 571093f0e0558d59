"""Tests of mirroring and of affine maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from common.data.augmentation.geometry import affine, flip, shear_matrix, turn_matrix
from common.data.augmentation.resample import transform

KEY = jax.random.key(0)
IMAGES = jax.random.uniform(KEY, (40, 7, 7, 2))
OPTIONS = ("degrees", "scale", "shear", "translate", "fill", "probability")
jitted = jax.jit(affine, static_argnames=OPTIONS)
map_pictures = jax.jit(transform, static_argnames="fill")


def test_a_share_of_the_pictures_is_mirrored_left_to_right():
    images = jax.random.uniform(KEY, (400, 3, 4, 1))
    flipped = np.asarray(jax.jit(flip)(KEY, images))
    is_mirrored = np.array_equal
    seen = [
        is_mirrored(after, np.fliplr(before))
        for before, after in zip(np.asarray(images), flipped, strict=True)
    ]
    stayed = (flipped == images).all((1, 2, 3))
    np.testing.assert_array_equal(seen, ~np.asarray(stayed))
    assert np.mean(seen) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turn_is_counter_clockwise(quarters):
    inverse = turn_matrix(-jnp.full(40, quarters * jnp.pi / 2))
    turned = map_pictures(IMAGES, inverse, jnp.zeros((40, 2)), fill=0.25)
    np.testing.assert_allclose(turned, np.rot90(IMAGES, quarters, axes=(1, 2)), atol=1e-5)


def test_a_map_agrees_with_scipy():
    draw = np.random.default_rng(0)
    matrix = (np.eye(2) + draw.uniform(-0.6, 0.6, (40, 2, 2))).astype(np.float32)
    distance = draw.uniform(-3, 3, (40, 2)).astype(np.float32)
    images = IMAGES[:, :5]
    mapped = map_pictures(images, matrix, distance, fill=0.25)
    centre = np.array([2.0, 3.0])
    for picture, own, far, after in zip(np.asarray(images), matrix, distance, mapped, strict=True):
        offset = centre - own @ (centre + far)
        for channel in range(2):
            expected = ndimage.affine_transform(
                picture[..., channel], own, offset, order=1, mode="grid-constant", cval=0.25
            )
            np.testing.assert_allclose(after[..., channel], expected, atol=1e-5)


def move_pixel(row, column, matrix, distance=(0, 0), height=7):
    """Where a lone bright pixel ends, and its value there."""
    images = jnp.zeros((40, height, 7, 2)).at[:, row, column].set(1.0)
    matrices = jnp.broadcast_to(jnp.asarray(matrix, jnp.float32), (40, 2, 2))
    far = jnp.broadcast_to(jnp.array(distance, jnp.float32), (40, 2))
    moved = np.asarray(map_pictures(images, matrices, far, fill=0.25)[0, ..., 0])
    place = np.unravel_index(moved.argmax(), moved.shape)
    assert moved[place] == pytest.approx(1, abs=1e-5)
    return tuple(map(int, place))


def test_a_pixel_moves_down_and_right():
    assert move_pixel(1, 2, jnp.eye(2), (2.0, 1.0)) == (3, 3)


def test_a_picture_that_is_not_square_is_turned_without_distortion():
    quarter = turn_matrix(-jnp.full(1, jnp.pi / 2))[0]
    # Two pixels right of the centre, then two pixels above.
    assert move_pixel(2, 5, quarter, height=5) == (0, 3)


def test_slants_move_rows_and_columns():
    none, half = jnp.zeros(1), jnp.full(1, -0.5)
    # Two pixels below the centre, or right of it.
    assert move_pixel(5, 3, shear_matrix(none, half)[0]) == (5, 4)
    assert move_pixel(3, 5, shear_matrix(half, none)[0]) == (4, 5)


def read_maps(count=300, **options):
    """The forward matrices and the distances (down, right), read from ramps."""
    side = 15
    ramp = jnp.arange(side) / side
    down = jnp.broadcast_to(ramp[:, None], (side, side))
    ramps = jnp.broadcast_to(jnp.stack([down, down.T], -1), (count, side, side, 2))
    mapped = np.asarray(jitted(KEY, ramps, **options), float) * side
    middle = side // 2
    centre = mapped[:, middle, middle]
    inverse = np.stack(
        [mapped[:, middle + 1, middle] - centre, mapped[:, middle, middle + 1] - centre], -1
    )
    forward = np.linalg.inv(inverse)
    return forward, -np.einsum("bij,bj->bi", forward, centre - middle) / side


def test_angles_sizes_slants_and_distances_are_drawn_from_their_ranges():
    forward, distance = read_maps(degrees=40.0, scale=(0.8, 1.25), shear=20.0, translate=0.1)
    # forward = turn @ slant * size, and a slant has determinant 1.
    size = np.sqrt(np.linalg.det(forward))
    assert 0.8 - 1e-3 < size.min() < 0.82 and 1.23 < size.max() < 1.25 + 1e-3
    # Slanting keeps the rightward direction, so its image shows the angle, up from the right.
    angle = np.rad2deg(np.arctan2(-forward[:, 0, 1], forward[:, 1, 1]))
    assert -40.01 < angle.min() < -37 and 37 < angle.max() < 40.01
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    turn_back = np.stack([cosine, sine, -sine, cosine], -1).reshape(-1, 2, 2)
    slant = np.rad2deg(np.arctan((turn_back @ forward)[:, 1, 0] / size))
    assert -20.01 < slant.min() < -18.5 and 18.5 < slant.max() < 20.01
    assert -0.1001 < distance.min() < -0.095 and 0.095 < distance.max() < 0.1001
    drawn = np.stack([size, angle, slant, *distance.T])
    correlation = np.corrcoef(drawn) - np.eye(5)
    assert np.abs(correlation).max() < 0.2
