"""Tests of the joint maximum mean discrepancy against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.joint_mmd import joint_mmd

DRAW = np.random.default_rng(0)
# The domains differ in size and mean. Three units of features, two classes, side by side.
SOURCE, TARGET = DRAW.normal(size=(4, 5)), DRAW.normal(size=(3, 5)) + 1


def evaluate(source, target):
    """Returns the term's value for features (all but the last two columns) and logits."""

    def outputs(rows):
        return Outputs(jnp.asarray(rows)[:, :-2], jnp.asarray(rows)[:, -2:])

    value, method_state, metrics = joint_mmd(TERMS["joint_mmd"][1]).loss(
        {},
        {},
        View(outputs(source), outputs(target), {}, lambda *_: outputs(source)),
        key=jax.random.key(0),
        progress=jnp.float32(0),
        hparams={},
    )
    assert (method_state, metrics) == ({}, {})
    return value


def slope(source, target):
    value, gradients = jax.jit(jax.value_and_grad(evaluate, argnums=(0, 1)))(
        jnp.asarray(source), jnp.asarray(target)
    )
    return float(value), np.concatenate([np.asarray(own) for own in gradients])


def mean_distance(points):
    """Of the features, over all ordered pairs of different points."""
    distances = [
        ((one[:-2] - other[:-2]) ** 2).sum()
        for place, one in enumerate(points)
        for second, other in enumerate(points)
        if place != second
    ]
    return sum(distances) / len(distances)


def by_hand(source, target, mean=None, join=np.multiply):
    """Pair by pair; `mean` keeps the distance of other features."""
    mean = mean_distance(np.concatenate([source, target])) if mean is None else mean

    def softmax(row):
        return np.exp(row) / np.exp(row).sum()

    def kernel(one, other):
        distance = ((one[:-2] - other[:-2]) ** 2).sum()
        of_features = sum(np.exp(-distance / (mean * 2.0**power)) for power in range(-2, 3))
        gap = softmax(one[-2:]) - softmax(other[-2:])
        return join(of_features, np.exp(-(gap**2).sum() / 1.68))

    def within(points):
        pairs = [
            kernel(one, other)
            for place, one in enumerate(points)
            for second, other in enumerate(points)
            if place != second
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
    # The width has no gradient; features and logits both have one.
    assert np.abs(differences(None) - gradient).max() > 1e-3
    assert min(np.abs(gradient[:, :-2]).max(), np.abs(gradient[:, -2:]).max()) > 1e-2


def test_it_sees_which_feature_goes_with_which_prediction():
    # Features are -1 or 1, predictions sure, and each alone is distributed alike in both domains.
    sign = np.asarray([-1.0, -1.0, 1.0, 1.0])[:, None]
    source = np.concatenate([sign, 9 * sign, -9 * sign], axis=1)
    crossed = np.concatenate([sign, -9 * sign, 9 * sign], axis=1)
    equal, _ = slope(source, source)
    value, _ = slope(source, crossed)
    assert value == pytest.approx(by_hand(source, crossed), rel=1e-5)
    assert value - equal > 1
    # The sum of two discrepancies, one a layer, does not see it.
    summed = [by_hand(source, own, join=np.add) for own in (source, crossed)]
    assert summed[0] == pytest.approx(summed[1], abs=1e-12)
    assert equal < -0.1


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_equal_points_and_saturated_logits_give_finite_gradients(scale):
    logits = scale * np.eye(2)[[0, 1, 0]]
    for features in (np.full((3, 4), 0.1), np.arange(12.0).reshape(3, 4)):
        domain = np.concatenate([features, logits], axis=1).astype(np.float32)
        for target in (domain, domain[:, ::-1]):
            value, gradient = slope(domain, target)
            assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": -1.0}, "config.alignment.joint_mmd.weight is -1.0; it must be"),
        ({"width": 1.68}, "config.alignment.joint_mmd.width is unknown; .*legal are weight"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        joint_mmd({**TERMS["joint_mmd"][1], **changes})


def test_a_batch_of_one_example_is_refused():
    outputs = {
        domain: Outputs(jnp.zeros((1, 2)), jnp.zeros((1, 2))) for domain in ("source", "target")
    }
    with pytest.raises(ValueError, match="config.data.batch_size is 1; pairs"):
        joint_mmd(TERMS["joint_mmd"][1]).init(jax.random.key(0), outputs)
