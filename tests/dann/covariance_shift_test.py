"""A shift made for the discrepancies: two of four inputs stop telling the classes in the target.

The others tell them as before, less clearly. Plain training leans on what is clearest in the
source. A loss that makes the domains alike must make the network turn to what they share.
"""

import functools

import jax
import numpy as np
import pytest

from tests import tiny

NUM_MEMBERS, NUM_STEPS = 3, 600
CHANGES = {
    "optimizer.name": "adam",
    "optimizer.learning_rate": 3e-3,
    "optimizer.ema_decay": 0.99,
    "model.options": {"hidden": (32,)},
    "model.normalization": "none",
    "data.batch_size": 64,
    "data.strong_augment": {},
    "num_steps": NUM_STEPS,
}


def make_tables():
    tables = {}
    for seed, role in enumerate(("source", "target")):
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, tiny.NUM_CLASSES, 600).astype(np.int32)
        angles = 2 * np.pi * labels / tiny.NUM_CLASSES
        centers = np.stack([np.cos(angles), np.sin(angles)], 1)
        shared = centers + 0.35 * draw.normal(size=(600, 2))
        broken = 2 * centers + 0.35 * draw.normal(size=(600, 2))
        if role == "target":
            broken = 4 * draw.normal(size=(600, 2))
        splits = [np.random.default_rng(member).permutation(600) for member in range(NUM_MEMBERS)]
        rows = np.stack(splits).astype(np.int32)
        tables[role] = {
            "image": np.concatenate([shared, broken], 1).astype(np.float32),
            "label": labels,
            "maximum": np.float32(1),
            "train": rows[:, :400],
            "val": rows[:, 400:500],
            "test": rows[:, 500:],
        }
    tables["source"]["mean"] = np.zeros((NUM_MEMBERS, 1, 1), np.float32)
    return tables


@functools.cache
def accuracies(row):
    config = tiny.make_config(row, CHANGES)
    run = tiny.make_run(config, num_members=NUM_MEMBERS, tables=make_tables())
    state, _ = run.program.chunk(tiny.start(run), run.tables, 0, NUM_STEPS)
    evaluation = jax.tree.map(np.asarray, run.program.evaluate(state, run.tables))
    return [
        np.trace(own["confusion"], axis1=1, axis2=2) / own["confusion"].sum((1, 2))
        for own in (evaluation["source_val"], evaluation["target_test"])
    ]


def test_plain_training_leans_on_the_inputs_that_break():
    source, target = accuracies("source_only")
    assert (source > 0.97).all() and (target < 0.5).all()


@pytest.mark.parametrize(
    ("row", "gain"),
    [
        ("coral", 0.08),
        ("mmd", 0.25),
        pytest.param("joint_mmd", 0.25, marks=pytest.mark.matrix),
    ],
)
def test_a_discrepancy_turns_the_network_to_what_the_domains_share(row, gain):
    source, target = accuracies(row)
    assert (source > 0.95).all()
    assert (target - accuracies("source_only")[1] > gain).all(), target
