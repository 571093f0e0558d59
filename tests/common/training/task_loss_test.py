"""Tests of the losses of tasks: values and gradients by NumPy, and against the usual mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.training.objective import cross_entropy
from common.training.task_loss import make_task_loss

DRAW = np.random.default_rng(0)
OUTPUTS, WEIGHTS = DRAW.normal(0, 2, (5, 3)), DRAW.uniform(0, 2, 5)
LABELS = DRAW.integers(0, 2, (5, 3)).astype(float)


def options(kind, **changes):
    plain = {"regression_loss": "mse", "huber_delta": 1.0, "heads": {}, "layer": ""}
    return {"kind": kind, **plain, **changes}


def binary_losses(z, y):
    p = 1 / (1 + np.exp(-z))
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def huber_losses(z, y, delta=0.7):
    e = np.abs(z - y)
    return np.where(e <= delta, e**2 / 2, delta * e - delta**2 / 2)


CASES = {
    "multi_label": (options("multi_label"), binary_losses),
    "mse": (options("regression"), lambda z, y: (z - y) ** 2),
    "huber": (options("regression", regression_loss="huber", huber_delta=0.7), huber_losses),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_follow_the_equation(name):
    config, losses = CASES[name]
    with jax.enable_x64(True):
        task_loss = make_task_loss(config)
        assert task_loss is not None
        arrays = [jnp.asarray(array) for array in (OUTPUTS, LABELS, WEIGHTS)]
        value, gradient = jax.value_and_grad(task_loss)(*arrays)
        plain = float(task_loss(*arrays[:2]))
        value, gradient = float(value), np.asarray(gradient)
    assert plain == pytest.approx(losses(OUTPUTS, LABELS).mean(), rel=1e-12)

    def expected(outputs):
        return np.mean(WEIGHTS * losses(outputs, LABELS).mean(axis=1))

    assert value == pytest.approx(expected(OUTPUTS), rel=1e-12)
    for place in np.ndindex(OUTPUTS.shape):
        step = np.zeros_like(OUTPUTS)
        step[place] = 1e-6
        slope = (expected(OUTPUTS + step) - expected(OUTPUTS - step)) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-8)


def test_several_labels_do_not_exclude_each_other():
    # A softmax over labels, the usual mistake, could not be sure of two of them.
    task_loss = make_task_loss(options("multi_label"))
    assert task_loss is not None
    both = jnp.asarray([[30.0, 30.0]]), jnp.asarray([[1.0, 1.0]])
    assert float(task_loss(*both)) < 1e-6
    assert float(task_loss(both[0] * 1e3, 1 - both[1])) == pytest.approx(3e4)


def test_far_off_values_pull_with_a_bounded_force_under_huber_alone():
    label = jnp.zeros((1, 1))
    slopes = {}
    for name in ("mse", "huber"):
        task_loss = make_task_loss(CASES[name][0])
        assert task_loss is not None
        slopes[name] = float(jax.grad(task_loss)(jnp.full((1, 1), 100.0), label)[0, 0])
    assert slopes == {"mse": pytest.approx(200), "huber": pytest.approx(0.7)}


def test_the_losses_of_heads_add_up_by_their_weights():
    heads = {
        "size": {"kind": "regression", "columns": (2,), "weight": 0.5},
        "group": {"kind": "multi_class", "columns": (0,), "weight": 2.0, "num_classes": 3},
        "marks": {"kind": "multi_label", "columns": (1, 0), "weight": 1.5},
    }
    task_loss = make_task_loss(options("multi_task", heads=heads))
    assert task_loss is not None
    outputs = DRAW.normal(size=(5, 6))
    size, group, marks = outputs[:, :1], outputs[:, 1:4], outputs[:, 4:]
    taken = np.log(np.exp(group).sum(1)) - group[np.arange(5), LABELS[:, 0].astype(int)]
    expected = 0.5 * np.mean((size - LABELS[:, 2:]) ** 2) + 2 * taken.mean()
    expected += 1.5 * binary_losses(marks, LABELS[:, [1, 0]]).mean()
    found = task_loss(jnp.asarray(outputs, jnp.float32), jnp.asarray(LABELS, jnp.float32))
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["multi_class", "binary"])
def test_classes_keep_the_cross_entropy_of_the_objective(kind):
    assert make_task_loss(options(kind)) is None


def test_the_cross_entropy_of_a_single_unit_is_the_binary_one():
    z, y = DRAW.normal(0, 3, 6).astype(np.float32), DRAW.integers(0, 2, 6)
    logits = jnp.stack([jnp.zeros(6), jnp.asarray(z)], axis=1)
    found = float(cross_entropy(logits, jnp.asarray(y)))
    assert found == pytest.approx(binary_losses(z.astype(float), y).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "ordinal"}, "config.task.kind is 'ordinal'"),
        ({"regression_loss": "l1"}, "config.task.regression_loss is 'l1'"),
        ({"huber_delta": 0.0}, "config.task.huber_delta is 0"),
        ({"huber_delta": -1.0}, "config.task.huber_delta"),
        ({"delta": 1.0}, "config.task"),
        ({"layer": "stage_0"}, "config.task.layer"),
        ({"heads": {"a": {}}}, "config.task.heads names a"),
    ],
)
def test_what_does_not_exist_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_task_loss({**options("regression"), **changes})
