"""Tests of the linear probe on stored features."""

import jax
import numpy as np
import pytest

from common.method import CACHE
from common.training.optimizer import paths_of
from common.training.state import evaluated_variables_of, variables_of
from finetune.freezing import make_plan
from finetune.method import make_method
from tests import tiny

# Both the extractor and the head drop units; the extractor has batch statistics.
CHANGES = {
    "model.options": {"hidden": (8, 6), "dropout": 0.3},
    "model.task_head": {"hidden": (8,), "dropout": 0.5},
    "model.normalization": "joint",
    "optimizer.name": "adamw",
    "optimizer.weight_decay": 0.1,
    "optimizer.ema_decay": 0.9,
    "data.batch_sizes": {"target_labelled": 6},
}
NUM_STEPS = 4


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


def train(**options):
    """Trains two members of a probe in double precision, in two chunks."""
    changes = {f"transfer.{name}": value for name, value in options.items()}
    run = tiny.make_run(tiny.make_config("linear_probe", CHANGES | changes), num_members=2)
    state = tiny.start(run)
    with jax.enable_x64(True):
        state, tables = tiny.to_float64(state), tiny.to_float64(run.tables)
        # Trained statistics are not those of a fresh network.
        moved, again = (
            jax.tree.map(lambda leaf: 0.5 * leaf - 0.2, state.batch_stats) for _ in range(2)
        )
        state = state._replace(batch_stats=moved, ema=state.ema | {"batch_stats": again})
        start = jax.tree.map(np.asarray, (state.frozen, state.batch_stats))
        if run.program.refresh_every:
            assert run.program.refresh_every == run.config["num_steps"]
            state = run.program.refresh(state, tables)
        metrics = []
        for first in (0, 2):
            state, own = run.program.chunk(state, tables, first, 2)
            metrics.append(own["loss"])
        state = state._replace(key=())
        return run, start, jax.tree.map(np.asarray, state), np.concatenate(metrics, axis=1)


def assert_close(tree, expected):
    jax.tree.map(
        lambda own, other: np.testing.assert_allclose(own, other, 1e-9, 1e-9), tree, expected
    )


def test_a_probe_on_stored_features_is_the_one_that_pushes_pictures_through():
    run, start, state, losses = train()
    assert run.method.needs == {"target_labelled": ("image", "label", "index")}
    assert state.method_state[CACHE]["target_labelled"].shape == (2, 20, 6)
    plain, _, pushed, other_losses = train(cache_features=False)
    assert plain.method.needs == {"target_labelled": ("image", "label")}
    np.testing.assert_allclose(losses, other_losses, 1e-9)
    for name in ("params", "frozen", "batch_stats", "ema", "optimizer"):
        assert_close(getattr(state, name), getattr(pushed, name))
    # Frozen parameters and statistics have every bit that they had.
    jax.tree.map(np.testing.assert_array_equal, (state.frozen, state.batch_stats), start)
    assert set(state.params) == {"task_head"} and set(state.optimizer) == {"task_head"}
    moved = paths_of(state.params)
    assert all((leaf[0] != leaf[1]).any() for leaf in moved.values())
    # Predictions are of pictures.
    variables = jax.tree.map(
        lambda leaf: np.asarray(leaf[0], np.float32), evaluated_variables_of(state)
    )
    outputs = jax.eval_shape(
        lambda variables, images: run.method.predict(variables, images, "target"),
        *(variables, np.ones((3, 4, 4, 1), np.float32)),
    )
    assert outputs.logits.shape == (3, tiny.NUM_CLASSES)
    # What is kept for a rule, and is saved when the run has finished, holds no features.
    assert state.best["source_val"]["variables"]["method_state"] == {}
    assert CACHE in variables_of(state)["method_state"]

    # Folk version: a frozen extractor in training mode drops units and normalises by the batch.
    _, start, folk, folk_losses = train(frozen_statistics="updated")
    assert abs(folk_losses - losses).max() > 1e-2
    jax.tree.map(np.testing.assert_array_equal, folk.frozen, start[0])
    before, after = map(paths_of, (start[1], folk.batch_stats))
    assert all((before[path] != after[path]).any() for path in before)


def test_features_are_not_stored_where_they_would_change_or_do_not_suffice():
    def caches(row="linear_probe", changes=None):
        config = tiny.make_config(row, changes)
        made = make_method(config, tiny.NUM_CLASSES)
        assert (made.refresh is not None) == make_plan(config).caches
        return make_plan(config).caches

    assert caches()
    assert not caches("fine_tune") and not caches("source_only")
    assert caches("fine_tune", {"transfer.freeze": "all_but_head"})
    assert not caches("fine_tune", {"transfer.freeze": "last_1_stages"})
    assert not caches(changes={"transfer.cache_features": False})
    assert not caches(changes={"transfer.frozen_statistics": "updated"})
    shift = {"shift": {"pixels": 1, "probability": 1.0}}
    assert not caches(changes={"data.augment": shift})
