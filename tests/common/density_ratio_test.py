"""Tests of density ratios against other solvers and against domains with a known ratio."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from common.density_ratio import match_kernel_means, project, ratio_by_classifier

DRAW = np.random.default_rng(0)
PENALTY = 0.01
# The target is the source's distribution, moved: log p_target / p_source is linear.
SHIFT = np.array([0.8, 0.0, -0.5])
SOURCE = DRAW.normal(size=(400, 3)).astype(np.float32)
TARGET = (DRAW.normal(size=(300, 3)) + SHIFT).astype(np.float32)
ESTIMATES = {
    "classifier": functools.partial(ratio_by_classifier, penalty=PENALTY, iterations=500),
    "kernel_mean_matching": functools.partial(match_kernel_means, bound=1000.0, iterations=500),
}


@functools.cache
def estimator(name, **changes):
    return jax.jit(functools.partial(ESTIMATES[name], **changes))


def estimate(name, source: np.ndarray = SOURCE, target: np.ndarray = TARGET, **changes):
    return np.array(estimator(name, **changes)(jnp.asarray(source), jnp.asarray(target)))


def gap(weights, source=SOURCE, target=TARGET):
    """The distance of the weighted mean of the source to the target's mean."""
    return np.linalg.norm(weights @ source / weights.sum() - target.mean(0))


@pytest.mark.parametrize("name", ESTIMATES)
def test_the_weighted_mean_of_the_source_approaches_that_of_the_target(name):
    weights = estimate(name)
    assert weights.min() >= 0
    assert gap(weights) < 0.25 * gap(np.ones(400))
    # The reversed ratio moves it away.
    assert gap(1 / np.maximum(weights, 1e-3)) > gap(np.ones(400))


def test_the_classifiers_ratio_is_the_true_one():
    truth = np.exp(SOURCE @ SHIFT - SHIFT @ SHIFT / 2)
    ratio = estimate("classifier")
    assert np.corrcoef(np.log(ratio), np.log(truth))[0, 1] > 0.98
    # Shrunk by the penalty, but not another power of it.
    assert 0.8 < np.polyfit(np.log(truth), np.log(ratio), 1)[0] < 1.1


@pytest.mark.parametrize("name", ESTIMATES)
def test_equal_domains_have_weights_near_one(name):
    weights = estimate(name, target=SOURCE)
    np.testing.assert_allclose(weights, 1, atol=0.02)
    other = DRAW.normal(size=(300, 3)).astype(np.float32)
    weights = estimate(name, target=other)
    weights /= weights.mean()
    assert weights.sum() ** 2 / (weights**2).sum() > {"classifier": 380}.get(name, 100)


def test_the_classifier_is_that_of_another_solver():
    both = np.concatenate([SOURCE, TARGET]).astype(float)
    both = (both - both.mean(0)) / both.std(0)
    is_target = np.arange(700) >= 400
    fitted = LogisticRegression(C=1 / (PENALTY * 700), tol=1e-9).fit(both, is_target)
    expected = np.exp(fitted.decision_function(both[:400]))
    np.testing.assert_allclose(estimate("classifier"), expected / expected.mean(), 1e-3)


def test_separate_domains_and_constant_values_have_finite_ratios():
    far = TARGET + 50
    far[:, 1] = SOURCE[0, 1]
    source = SOURCE.copy()
    source[:, 1] = SOURCE[0, 1]
    ratio = estimate("classifier", source, far)
    assert np.isfinite(ratio).all() and ratio.mean() == pytest.approx(1, rel=1e-4)


def problem_by_hand(source, target):
    """The kernel, the pull and the tolerance of kernel mean matching, pair by pair."""
    both = np.concatenate([source, target])
    pairs = [
        sum((left - right) ** 2)
        for i, left in enumerate(both)
        for j, right in enumerate(both)
        if i != j
    ]
    width = 2 * np.median(pairs)

    def kernel(left, right):
        return np.array([[np.exp(-sum((x - y) ** 2) / width) for y in right] for x in left])

    count = len(source)
    pull = count / len(target) * kernel(source, target).sum(1)
    return kernel(source, source), pull, (np.sqrt(count) - 1) / np.sqrt(count)


# Free weights; weights at their bound; a target so far that only the mean's lower end holds them.
@pytest.mark.parametrize(
    ("shift", "bound", "at_bound", "at_end"),
    [(0.8, 1000.0, False, False), (0.8, 1.5, True, False), (9.0, 1000.0, False, True)],
)
def test_matched_weights_are_those_of_another_solver(shift, bound, at_bound, at_end):
    draw = np.random.default_rng(1)
    source, target = draw.normal(size=(12, 2)), 0.5 * draw.normal(size=(3, 2)) + shift
    kernel, pull, tolerance = problem_by_hand(source, target)
    best = optimize.minimize(
        lambda w: w @ kernel @ w / 2 - pull @ w,
        np.ones(12),
        jac=lambda w: kernel @ w - pull,
        bounds=[(0, bound)] * 12,
        constraints=[
            {"type": "ineq", "fun": lambda w: w.mean() - 1 + tolerance},
            {"type": "ineq", "fun": lambda w: 1 + tolerance - w.mean()},
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    with jax.enable_x64(True):
        weights = estimate("kernel_mean_matching", source, target, bound=bound, iterations=5000)
    value = weights @ kernel @ weights / 2 - pull @ weights
    assert value == pytest.approx(best.fun, abs=1e-8)
    np.testing.assert_allclose(weights, best.x, atol=1e-4)
    assert (weights.max() == pytest.approx(bound)) == at_bound
    assert (weights.mean() == pytest.approx(1 - tolerance, rel=1e-6)) == at_end


@pytest.mark.parametrize("center", [-3.0, 0.2, 1.0, 4.0])
@pytest.mark.parametrize(("bound", "tolerance"), [(1000.0, 0.3), (1.2, 0.1)])
def test_the_projection_is_the_nearest_legal_point(center, bound, tolerance):
    given = DRAW.normal(size=10) + center
    with jax.enable_x64(True):
        own = np.asarray(project(jnp.asarray(given), bound, tolerance))
    best = optimize.minimize(
        lambda w: ((w - given) ** 2).sum() / 2,
        np.ones(10),
        jac=lambda w: w - given,
        bounds=[(0, bound)] * 10,
        constraints=[
            {"type": "ineq", "fun": lambda w: w.mean() - 1 + tolerance},
            {"type": "ineq", "fun": lambda w: 1 + tolerance - w.mean()},
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    np.testing.assert_allclose(own, best.x, atol=1e-6)
    assert own.min() >= 0 and own.max() <= bound
    assert abs(own.mean() - 1) <= tolerance + 1e-9
