"""Tests of the maximum mean discrepancy against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.mmd import mmd

DRAW = np.random.default_rng(0)
# The domains differ in size and mean.
SOURCE, TARGET = DRAW.normal(size=(4, 3)), DRAW.normal(size=(3, 3)) + 2


def evaluate(source, target):
    """Returns the term's value for features; the logits must not matter."""

    def outputs(values):
        return Outputs(jnp.asarray(values), jnp.full((len(values), 2), jnp.nan))

    view = View(outputs(source), outputs(target), {}, lambda *_: outputs(source))
    value, method_state, metrics = mmd(TERMS["mmd"][1]).loss(
        {}, {}, view, key=jax.random.key(0), progress=jnp.float32(0), hparams={}
    )
    assert (method_state, metrics) == ({}, {})
    return value


def slope(source, target):
    value, gradients = jax.jit(jax.value_and_grad(evaluate, argnums=(0, 1)))(
        jnp.asarray(source), jnp.asarray(target)
    )
    return float(value), np.concatenate([np.asarray(own) for own in gradients])


def mean_distance(points):
    """Over all ordered pairs of different points."""
    distances = [
        ((one - other) ** 2).sum()
        for place, one in enumerate(points)
        for second, other in enumerate(points)
        if place != second
    ]
    return sum(distances) / len(distances)


def by_hand(source, target, mean=None, *, with_self=False):
    """Pair by pair and kernel by kernel; `mean` keeps the distance of other features."""
    mean = mean_distance(np.concatenate([source, target])) if mean is None else mean

    def kernel(one, other):
        return sum(
            np.exp(-((one - other) ** 2).sum() / (mean * 2.0**power)) for power in range(-2, 3)
        )

    def within(points):
        pairs = [
            kernel(one, other)
            for place, one in enumerate(points)
            for second, other in enumerate(points)
            if with_self or place != second
        ]
        return sum(pairs) / len(pairs)

    across = [kernel(one, other) for one in source for other in target]
    return within(source) + within(target) - 2 * sum(across) / len(across)


def differences(mean):
    """The gradient of the derivation, by central differences."""
    both = np.concatenate([SOURCE, TARGET])
    found = np.zeros_like(both)
    for place in np.ndindex(both.shape):
        step = np.zeros_like(both)
        step[place] = 1e-5
        moved = (both + sign * step for sign in (1, -1))
        ends = [by_hand(own[:4], own[4:], mean) for own in moved]
        found[place] = (ends[0] - ends[1]) / 2e-5
    return found


def test_value_and_gradient_are_those_of_the_derivation():
    with jax.enable_x64(True):
        value, gradient = slope(SOURCE, TARGET)
    assert value == pytest.approx(by_hand(SOURCE, TARGET), rel=1e-9)
    mean = mean_distance(np.concatenate([SOURCE, TARGET]))
    np.testing.assert_allclose(gradient, differences(mean), atol=1e-8)
    # The width has no gradient.
    assert np.abs(differences(None) - gradient).max() > 1e-3


def test_pairs_of_an_example_with_itself_do_not_count_and_kernels_are_summed():
    value, _ = slope(SOURCE, TARGET)
    assert value > 0.1
    assert by_hand(SOURCE, TARGET, with_self=True) - value > 0.5
    assert np.abs(by_hand(SOURCE, TARGET) / 5 - value) > 0.1


def test_the_estimate_is_negative_where_the_domains_are_equal():
    value, gradient = slope(SOURCE, SOURCE)
    assert value == pytest.approx(by_hand(SOURCE, SOURCE), rel=1e-4)
    assert value < -0.1
    # What is clipped at zero has no gradient there.
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-2


def test_the_value_does_not_depend_on_the_scale_of_the_features():
    value, _ = slope(SOURCE, TARGET)
    assert slope(1e-3 * SOURCE, 1e-3 * TARGET)[0] == pytest.approx(value, rel=1e-4)
    assert slope(1e6 * SOURCE, 1e6 * TARGET)[0] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("point", [0.0, 0.1, 1e6])
def test_identical_points_have_no_distance_and_finite_gradients(point):
    # 0.1 in single precision: norms and inner products round apart.
    points = np.full((9, 7), point, np.float32)
    value, gradient = slope(points[:5], points[5:])
    assert value == pytest.approx(0, abs=1e-5)
    np.testing.assert_array_equal(gradient, 0)


def test_points_far_from_the_origin_keep_their_distances():
    source, target = (np.rint(64 * own) / 64 + 4096 for own in (SOURCE, TARGET))
    value, gradient = slope(np.float32(source), np.float32(target))
    assert value == pytest.approx(by_hand(source, target), rel=1e-4)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": -1.0}, "config.alignment.mmd.weight is -1.0; it must be"),
        ({"wieght": 1.0}, "config.alignment.mmd.wieght is unknown; did you mean 'weight'?"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        mmd({**TERMS["mmd"][1], **changes})


def test_a_batch_of_one_example_is_refused():
    outputs = {
        domain: Outputs(jnp.zeros((1, 2)), jnp.zeros((1, 2))) for domain in ("source", "target")
    }
    with pytest.raises(ValueError, match="config.data.batch_size is 1; pairs"):
        mmd(TERMS["mmd"][1]).init(jax.random.key(0), outputs)
