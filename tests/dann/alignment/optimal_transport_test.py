"""Tests of optimal transport against linear programs and a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.optimal_transport import optimal_transport, transport_plan

ALPHA, LAMBDA, REGULARIZATION = 0.3, 0.7, 0.1
ROWS, COLUMNS, UNITS, CLASSES = 5, 7, 3, 4
DRAW = np.random.default_rng(0)
SOURCE, TARGET = DRAW.normal(size=(ROWS, UNITS)), DRAW.normal(size=(COLUMNS, UNITS))
LOGITS = 2 * DRAW.normal(size=(COLUMNS, CLASSES))
SOURCE_LOGITS = 2 * DRAW.normal(size=(ROWS, CLASSES))
LABELS = np.array([3, 0, 1, 3, 2], np.int32)


def evaluate(source, target, logits, **changes):
    """Returns the term's value and metrics; the source's own logits must not matter."""
    options = {"regularization": REGULARIZATION, "iterations": 500, **changes}
    value, method_state, metrics = optimal_transport(TERMS["optimal_transport"][1] | options).loss(
        {},
        {},
        View(
            Outputs(source, jnp.full((len(source), CLASSES), jnp.nan)),
            Outputs(target, logits),
            {"source": {"label": jnp.asarray(LABELS)}},
            lambda *_: Outputs(source, logits),
        ),
        key=jax.random.key(0),
        progress=jnp.float32(0),
        hparams={"feature_factor": jnp.asarray(ALPHA), "label_factor": jnp.asarray(LAMBDA)},
    )
    assert method_state == {}
    return value, metrics


slope = jax.jit(jax.value_and_grad(evaluate, argnums=(0, 1, 2), has_aux=True))
solve = jax.jit(transport_plan, static_argnums=(1, 2))


def log_softmax(row):
    return row - np.log(np.exp(row).sum())


def cost_by_hand(source, target, logits, labels=None):
    """Pair by pair; `labels` are distributions over classes, one a source example."""
    labels = np.eye(CLASSES)[LABELS] if labels is None else labels
    cost = np.zeros((len(source), len(target)))
    for i, j in np.ndindex(cost.shape):
        distance = sum((a - b) ** 2 for a, b in zip(source[i], target[j], strict=True))
        cost[i, j] = ALPHA * distance - LAMBDA * (labels[i] * log_softmax(logits[j])).sum()
    return cost


def plan_by_hand(cost):
    """The textbook's scaling of the kernel itself, until nothing changes."""
    kernel = np.exp(-cost / (REGULARIZATION * cost.mean()))
    of_rows, of_columns = np.ones(len(cost)), np.ones(len(cost[0]))
    for _ in range(5000):
        of_rows = 1 / len(of_rows) / (kernel @ of_columns)
        of_columns = 1 / len(of_columns) / (of_rows @ kernel)
    return of_rows[:, None] * kernel * of_columns[None]


def differences(function, arrays):
    found = []
    for number, array in enumerate(arrays):
        own = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = [other.copy() for other in arrays]
                moved[number][place] += sign * 1e-6
                ends.append(function(*moved))
            own[place] = (ends[0] - ends[1]) / 2e-6
        found.append(own)
    return found


GIVEN = (SOURCE, TARGET, LOGITS)
PLAN = plan_by_hand(cost_by_hand(*GIVEN))


def test_value_and_gradient_are_those_of_the_derivation():
    with jax.enable_x64(True):
        (value, metrics), gradients = jax.tree.map(np.asarray, slope(*map(jnp.asarray, GIVEN)))
    assert value == pytest.approx((PLAN * cost_by_hand(*GIVEN)).sum(), rel=1e-9)
    total = ALPHA * metrics["feature_cost"] + LAMBDA * metrics["label_cost"]
    assert total == pytest.approx(value, rel=1e-9)
    assert metrics["misplaced_mass"] == pytest.approx(0, abs=1e-9)
    # The plan stays as it is while the network moves.
    expected = differences(lambda *moved: (PLAN * cost_by_hand(*moved)).sum(), GIVEN)
    for own, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(own, other, 1e-6, 1e-8)
        assert np.abs(other).max() > 1e-2


def test_a_gradient_through_the_plan_would_be_seen():
    def folk(*moved):
        cost = cost_by_hand(*moved)
        return (plan_by_hand(cost) * cost).sum()

    right = differences(lambda moved: (PLAN * cost_by_hand(moved, TARGET, LOGITS)).sum(), [SOURCE])
    wrong = differences(lambda moved: folk(moved, TARGET, LOGITS), [SOURCE])
    # A thousand times what the derivation allows for.
    assert np.abs(right[0] - wrong[0]).max() > 1e-2 * np.abs(right[0]).max()


@pytest.mark.parametrize("folk", ["source predictions", "target classes", "squared distance"])
def test_a_cost_of_other_labels_would_be_seen(folk):
    cost = cost_by_hand(*GIVEN)
    right = (PLAN * cost).sum()
    predictions = np.exp([log_softmax(row) for row in LOGITS])
    if folk == "source predictions":
        labels = np.exp([log_softmax(row) for row in SOURCE_LOGITS])
        cost = cost_by_hand(*GIVEN, labels)
        wrong = (plan_by_hand(cost) * cost).sum()
    elif folk == "target classes":
        # The target's own classes in the place of the source's labels: nothing ties the two.
        surprise = -np.log(predictions.max(1))
        features = cost_by_hand(SOURCE, TARGET, LOGITS, np.zeros((ROWS, CLASSES)))
        cost = features + LAMBDA * surprise[None]
        wrong = (plan_by_hand(cost) * cost).sum()
    else:
        # What the authors' code plans with; the loss is then still that of the cross-entropy.
        gaps = np.eye(CLASSES)[LABELS][:, None] - predictions[None]
        features = cost_by_hand(SOURCE, TARGET, LOGITS, np.zeros((ROWS, CLASSES)))
        wrong = (plan_by_hand(features + LAMBDA * (gaps**2).sum(-1)) * cost).sum()
    assert abs(wrong / right - 1) > 1e-2


def test_without_regularization_the_plan_is_that_of_the_linear_program():
    cost = DRAW.random((ROWS, COLUMNS))
    marginals = np.concatenate(
        [np.kron(np.eye(ROWS), np.ones(COLUMNS)), np.kron(np.ones(ROWS), np.eye(COLUMNS))]
    )
    masses = np.concatenate([np.full(ROWS, 1 / ROWS), np.full(COLUMNS, 1 / COLUMNS)])
    best = optimize.linprog(cost.ravel(), A_eq=marginals, b_eq=masses)
    with jax.enable_x64(True):
        errors = []
        for regularization in (0.1, 0.01, 0.001):
            plan = np.asarray(solve(jnp.asarray(cost), regularization, 20000))
            np.testing.assert_allclose(marginals @ plan.ravel(), masses, rtol=1e-6)
            errors.append((plan * cost).sum() / best.fun - 1)
    assert errors[0] > errors[1] > errors[2] >= -1e-6
    assert errors[2] < 1e-4
    np.testing.assert_allclose(plan.ravel(), best.x, atol=1e-4)


def test_between_as_many_examples_the_plan_is_an_assignment():
    cost = DRAW.random((6, 6)).astype(np.float32)
    rows, columns = optimize.linear_sum_assignment(cost)
    expected = np.zeros((6, 6))
    expected[rows, columns] = 1 / 6
    np.testing.assert_allclose(solve(jnp.asarray(cost), 0.002, 5000), expected, atol=1e-4)


def test_at_the_defaults_the_plan_of_a_batch_is_nearly_the_best():
    centers = DRAW.normal(size=(10, 64))
    source, target = (
        factor * centers[DRAW.integers(0, 10, 64)] + DRAW.normal(size=(64, 64))
        for factor in (1.5, 1.2)
    )
    cost = 1e-3 * np.sum((source[:, None] - target[None]) ** 2, axis=-1)
    options = TERMS["optimal_transport"][1]
    plan = solve(jnp.asarray(cost, jnp.float32), options["regularization"], options["iterations"])
    rows, columns = optimize.linear_sum_assignment(cost)
    assert np.abs(np.asarray(plan).sum(1) - 1 / 64).sum() / 2 < 0.02
    np.testing.assert_allclose(np.asarray(plan).sum(0), 1 / 64, 1e-4)
    assert (plan * cost).sum() == pytest.approx(cost[rows, columns].mean(), rel=0.03)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e20])
def test_costs_of_any_size_have_a_finite_plan(scale):
    cost = np.float32(scale) * DRAW.random((4, 6)).astype(np.float32)
    plan = np.asarray(solve(jnp.asarray(cost), 0.05, 200))
    np.testing.assert_allclose(plan.sum(1), 1 / 4, 1e-3)
    np.testing.assert_allclose(plan.sum(0), 1 / 6, 1e-3)
    if scale == 0:
        np.testing.assert_allclose(plan, 1 / 24, 1e-5)


def test_too_few_iterations_are_reported():
    given = (jnp.asarray(array, jnp.float32) for array in GIVEN)
    _, metrics = evaluate(*given, regularization=0.001, iterations=1)
    assert metrics["misplaced_mass"] > 0.05


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"alpha": 1.0}, "alpha is unknown; legal are weight, feature_factor"),
        ({"label_factor": -1.0}, "label_factor is -1.0; it must be a finite number of at least 0"),
        ({"regularization": 0.0}, "regularization is 0.0; it must be a finite number of at least"),
        ({"iterations": 0}, "iterations is 0; it must be a whole number of at least 1"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.alignment.optimal_transport.{sentence}"):
        optimal_transport(TERMS["optimal_transport"][1] | changes)
