"""Tests of the two moons."""

import numpy as np
import pytest

from common.data.domain import Domain, load_examples, split_drawn
from common.data.moons import CLASSES, draw_moons
from configs import base

# Of the target, the angle by which the source would have to be turned.
TURN = np.exp(1j * np.deg2rad(35))


def load(name, seed=0, **options):
    data = base.get_config().data.to_dict()
    data[name] |= {"seed": seed, **options}
    examples = load_examples(name, data)
    return Domain(name, examples, split_drawn(name, examples, data, 0))


def draw(num_examples=1000, noise=0.0, angle=0.0, seed=0):
    return draw_moons(num_examples, noise=noise, angle=angle, seed=seed)


def test_points_come_with_labels_in_random_order():
    points, labels = draw(noise=0.05)
    assert (points.shape, points.dtype) == ((1000, 2), np.float32)
    assert (labels.shape, labels.dtype) == ((1000,), np.int32)
    assert np.bincount(labels).tolist() == [500, 500]
    assert 400 < np.count_nonzero(np.diff(labels)) < 600


def test_moons_without_noise_are_half_circles():
    points, labels = draw()
    x, y = (points / 2 + np.asarray([0.5, 0.25])).T
    upper, lower = labels == CLASSES.index("upper"), labels == CLASSES.index("lower")
    np.testing.assert_allclose(np.hypot(x, y)[upper], 1, atol=1e-6)
    np.testing.assert_allclose(np.hypot(x - 1, y - 0.5)[lower], 1, atol=1e-6)
    assert y[upper].min() > -1e-6 and y[lower].max() < 0.5 + 1e-6
    # Both ends of both moons are there.
    np.testing.assert_allclose([x[upper].min(), x[upper].max()], [-1, 1], atol=1e-6)
    np.testing.assert_allclose([x[lower].min(), x[lower].max()], [0, 2], atol=1e-6)


def test_center_is_the_mean_of_the_moons():
    for angle in (0.0, 35.0):
        np.testing.assert_allclose(draw(angle=angle)[0].mean(axis=0), 0, atol=1e-5)
    # With noise the points' own mean is another one, and is not what is subtracted.
    assert np.abs(draw(20, noise=0.5)[0].mean(axis=0)).max() > 0.01


def test_noise_is_doubled_with_the_moons():
    clean, noisy = draw(20000)[0], draw(20000, noise=0.05)[0]
    np.testing.assert_allclose((noisy - clean).std(axis=0), 2 * 0.05, rtol=0.02)


@pytest.mark.parametrize(("angle", "point"), [(90.0, (0.0, 1.0)), (35.0, (0.8192, 0.5736))])
def test_points_turn_counter_clockwise_about_the_center(angle, point):
    points, labels = draw(noise=0.05)
    turned, same_labels = draw(noise=0.05, angle=angle)
    np.testing.assert_array_equal(labels, same_labels)
    as_complex, turned_complex = points @ [1, 1j], turned @ [1, 1j]
    np.testing.assert_allclose(turned_complex / as_complex, point[0] + 1j * point[1], atol=1e-3)


def test_a_seed_decides_the_points():
    first, again, other = draw(noise=0.05), draw(noise=0.05), draw(noise=0.05, seed=1)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0])


def test_points_stand_at_even_distances_along_the_moons():
    points, labels = draw(300)
    x, y = (points[labels == 0] / 2 + np.asarray([0.5, 0.25])).T
    angles = np.sort(np.arctan2(y.clip(0), x))
    assert len(angles) == 150
    np.testing.assert_allclose(np.diff(angles), np.pi / 149, atol=1e-5)


def test_each_split_is_a_draw_of_its_own():
    source, target = load("moons"), load("rotated_moons")
    assert source.examples.classes == target.examples.classes == CLASSES
    for domain in (source, target):
        sizes = {name: len(rows) for name, rows in domain.splits.items()}
        assert sizes == {"train": 300, "val": 200, "test": 1000}
        rows = np.concatenate(list(domain.splits.values()))
        np.testing.assert_array_equal(np.sort(rows), np.arange(1500))
        for name, own in domain.splits.items():
            counts = np.bincount(domain.examples.labels[own])
            assert counts.tolist() == [len(own) // 2] * 2, name
    without = load("rotated_moons", noise=0.0)
    points = without.examples.images @ np.asarray([1, 1j]) / TURN / 2 + 0.5 + 0.25j
    for own in without.splits.values():
        upper = points[own][without.examples.labels[own] == 0]
        # From one end to the other: no piece of a moon is in one split alone.
        np.testing.assert_allclose([upper.real.min(), upper.real.max()], [-1, 1], atol=1e-5)


def test_source_target_and_splits_share_no_point():
    sizes = {"train": 100, "val": 100, "test": 100}
    source, target = (load(name, seed=5, **sizes) for name in ("moons", "rotated_moons"))
    points = source.examples.images @ np.asarray([1, 1j])
    turned_back = target.examples.images @ np.asarray([1, 1j]) / TURN
    points = np.concatenate([points, turned_back])
    # Splits of one size that were drawn from one seed would hold the same points.
    distance = np.abs(points[:, None] - points[None]) + np.eye(len(points))
    assert distance.min() > 1e-5


def test_the_data_seed_decides_all_points():
    first, again, other = (load("moons", seed).examples.images for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.any(np.all(first == other, axis=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 1}, "config.data.moons: train is 1; it must be a whole number of at least 2"),
        ({"test": 0}, "config.data.moons: test is 0"),
        ({"noise": -1.0}, "config.data.moons: noise is -1.0"),
    ],
)
def test_impossible_moons_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        load("moons", **options)
