"""A shift made for importance weighting: inputs of other frequencies, classes as before.

Two inputs, of which the first is more often low in the source and more often high in the target;
wherever one has examples, the other has some. In both domains the class is whether the second
input lies above a bend over the first, with the same noise. A linear model cannot follow the bend,
so the best one is another where inputs are low than where they are high.
"""

import functools

import numpy as np
import pytest

from tests import tiny

NUM_MEMBERS, NUM_STEPS, SHIFT = 3, 200, 0.6
CHANGES = {
    "optimizer.name": "adam",
    "optimizer.learning_rate": 0.03,
    "optimizer.ema_decay": 0.98,
    # No hidden layer: the features are the inputs, and the head is a linear model of them.
    "model.options": {"hidden": ()},
    "model.normalization": "none",
    "data.batch_size": 64,
    "data.strong_augment": {},
    "num_steps": NUM_STEPS,
    "runtime.evaluation_batch_size": 250,
}
ESTIMATOR = "alignment.importance_weighting.estimator"
ITERATIONS = "alignment.importance_weighting.iterations"
ESTIMATORS = ("classifier", "kernel_mean_matching")


def make_tables(shift):
    tables = {}
    for seed, (role, sign) in enumerate((("source", -1), ("target", 1))):
        draw = np.random.default_rng(seed)
        first = sign * shift + draw.normal(size=1200)
        second = draw.normal(size=1200)
        noise = 0.2 * draw.normal(size=1200)
        splits = [np.random.default_rng(member).permutation(1200) for member in range(NUM_MEMBERS)]
        rows = np.stack(splits).astype(np.int32)
        tables[role] = {
            "image": np.stack([first, second], 1).astype(np.float32),
            "label": (second > 1.5 * np.abs(first) - 1 + noise).astype(np.int32),
            "maximum": np.float32(1),
            "train": rows[:, :600],
            "val": rows[:, 600:700],
            "test": rows[:, 700:],
        }
    tables["source"]["mean"] = np.zeros((NUM_MEMBERS, 1, 1), np.float32)
    return tables


@functools.cache
def run_of(estimator):
    """The program of a row, which takes the tables of any shift."""
    row = "importance_weighting" if estimator else "source_only"
    changes = {ESTIMATOR: estimator, ITERATIONS: 300} if estimator else {}
    config = tiny.make_config(row, {**CHANGES, **changes})
    return tiny.make_run(config, num_members=NUM_MEMBERS, tables=make_tables(SHIFT))


@functools.cache
def accuracies(shift, estimator=None):
    """Accuracies on the target's test split, by member; without an estimator by plain training."""
    run = run_of(estimator)._replace(tables=make_tables(shift))
    state = tiny.train(run, NUM_STEPS)
    confusion = np.asarray(run.program.evaluate(state, run.tables)["target_test"]["confusion"])
    return np.trace(confusion, axis1=1, axis2=2) / confusion.sum((1, 2))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_under_a_covariate_shift_the_weights_help(estimator):
    gains = accuracies(SHIFT, estimator) - accuracies(SHIFT)
    assert (gains > 0.12).all(), gains


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_a_shift_the_weights_gain_nothing(estimator):
    gains = accuracies(0.0, estimator) - accuracies(0.0)
    assert (np.abs(gains) < 0.03).all(), gains
