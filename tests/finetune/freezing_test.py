"""Tests of what is fine-tuned, when, and how fast."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.models.network import make_network
from common.models.normalization import forward, initialize
from common.training.optimizer import paths_of
from finetune.freezing import make_plan
from finetune.method import make_method
from tests import tiny

# Three stages, each a dense layer and its batch normalisation.
CHANGES = {
    "model.options": {"hidden": (8, 6, 5)},
    "model.normalization": "joint",
    "optimizer.name": "adamw",
    "optimizer.weight_decay": 0.1,
    "optimizer.decay": ".*",
    "optimizer.ema_decay": 0.9,
    "optimizer.max_norm": 0.5,
    "num_steps": 8,
}


@pytest.fixture(autouse=True, scope="module")
def quick():
    # Bits are compared between steps of one program.
    with tiny.quick_compilation():
        yield


def make_run(row="fine_tune", changes=None, num_members=1):
    return tiny.make_run(tiny.make_config(row, CHANGES | (changes or {})), num_members=num_members)


def stage_of(path):
    """The stage of a parameter or statistic, counted from 0; 3 is the head."""
    number = re.search(r"_(\d)/", path)
    return int(number[1]) if "feature_extractor" in path and number else 3


def host(state):
    return jax.tree.map(np.asarray, state._replace(key=jax.random.key_data(state.key)))


def by_path(state):
    """Parameters, their averages, and both kinds of statistics."""
    flat = {f"param/{path}": leaf for path, leaf in tiny.params_of(state).items()}
    flat |= {f"statistic/{path}": leaf for path, leaf in paths_of(state.batch_stats).items()}
    return flat | {f"average/{path}": leaf for path, leaf in paths_of(state.ema).items()}


def changed(before, after):
    """The stages that changed in any member, by kind; all of a stage, or none of it."""
    moved = {}
    for path, old in by_path(before).items():
        kind = "statistic" if "batch_stats" in path or path.startswith("statistic") else "param"
        moved.setdefault((kind, stage_of(path)), set()).add((old != by_path(after)[path]).any())
    assert all(len(said) == 1 for said in moved.values()), moved
    return {
        kind: {own[1] for own, said in moved.items() if own[0] == kind and True in said}
        for kind in ("param", "statistic")
    }


def test_stages_never_change_by_a_bit_or_thaw_one_by_one_with_a_state_that_begins_then():
    changes = {"transfer.freeze": "last_2_stages", "transfer.unfreeze_until": 0.5}
    run = make_run("gradual_unfreezing", changes, num_members=2)
    state = tiny.start(run)
    assert {stage_of(path) for path in paths_of(state.frozen)} == {0}
    kernels = {leaf.shape[1:] for leaf in jax.tree.leaves(state.optimizer) if leaf.ndim == 3}
    assert kernels == {(8, 6), (6, 5), (5, 3)}
    # Of 8 steps, the head takes all, stage 2 those from step 2 and stage 1 those from step 4 on.
    for step, trained in enumerate([{3}, {2, 3}, {1, 2, 3}]):
        before = host(state)
        state, metrics = run.program.chunk(state, run.tables, 2 * step, 2)
        after = host(state)
        assert changed(before, after) == {"param": trained, "statistic": trained - {3}}
        counts = [leaf for leaf in jax.tree.leaves(after.optimizer) if leaf.dtype == np.int32]
        assert sorted(count[1] for count in counts) == [
            max(0, 2 * step + 2 - start) for start in (4, 2, 0)
        ]
    assert np.isfinite(np.asarray(metrics["loss"])).all()


def test_a_rate_decays_from_stage_to_stage_and_is_traced():
    group = {"pattern": "feature_extractor/dense_1/.*", "learning_rate_factor": 3.0}
    plain = {"optimizer.name": "sgd", "optimizer.weight_decay": 0.0, "optimizer.max_norm": 0.0}
    config = tiny.make_config("fine_tune", CHANGES | plain | {"optimizer.groups": {"own": group}})
    tables = tiny.take_members(tiny.make_tables(), [0, 0])
    run = tiny.make_run(config, num_members=2, tables=tables)
    decays = {"transfer.layer_decay": [1.0, 0.5], "seed": [4, 4]}
    before = tiny.params_of(tiny.start(run, decays))
    state, _ = run.program.chunk(tiny.start(run, decays), run.tables, 0, 1)
    for path, leaf in tiny.params_of(state).items():
        full, slow = leaf - before[path]
        factor = 0.5 ** (3 - stage_of(path))
        np.testing.assert_allclose(slow, factor * full, 1e-3, 1e-6, err_msg=path)


@functools.cache
def passed(policy, statistics, freeze="last_1_stages", regex=()):
    """Outputs and statistics of a pass in training mode, before and after it."""
    changes = {
        "model.normalization": policy,
        "transfer.freeze": freeze,
        "transfer.frozen_statistics": statistics,
        "optimizer.freeze": regex,
    }
    config = tiny.make_config("fine_tune", CHANGES | changes)
    network = make_network(config["model"], 3)._replace(evaluates=make_plan(config).evaluates)
    draw = np.random.default_rng(0)
    images = {
        domain: jnp.asarray(draw.normal(size=(6, 4, 4, 1)), jnp.float32)
        for domain in ("source", "target", "target_labelled")
    }

    @jax.jit
    def run(key):
        params, stats = initialize(network, key, images)
        stats = jax.tree.map(lambda leaf: leaf + 0.3, stats)
        variables = {"params": params, "batch_stats": stats}
        return stats, forward(network, variables, images, key=key, progress=0.5)[1]

    stats, after = run(jax.random.key(0))
    return paths_of(stats), paths_of(after)


@pytest.mark.parametrize("policy", ["joint", "separate", "per_domain"])
def test_statistics_of_frozen_layers_are_kept_bit_for_bit_or_updated(policy):
    for statistics, kept in (("kept", {0, 1}), ("updated", set()))[: 2 if policy == "joint" else 1]:
        before, after = passed(policy, statistics)
        assert set(before) == set(after)
        for path in before:
            same = np.array_equal(before[path], after[path])
            assert same == (stage_of(path) in kept), (statistics, path)


def test_layers_frozen_by_a_pattern_of_the_optimizer_keep_their_statistics_too():
    for name, kept in ((".*", {1}), ("scale", set())):
        regex = (rf"feature_extractor/normalization_1/.*/{name}",)
        before, after = passed("joint", "kept", "none", regex)
        same = {stage_of(path) for path in before if np.array_equal(before[path], after[path])}
        assert same == kept


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("freeze", "head", "config.transfer.freeze is 'head'; legal are none, all_but_head and"),
        ("freeze", "last_0_stages", "last_<k>_stages, k from 1 to 3, the stages of mlp"),
        ("freeze", "last_4_stages", "k from 1 to 3"),
        ("freeze", 2, "config.transfer.freeze is 2; legal are"),
        ("unfreeze_until", 1.0, r"config.transfer.unfreeze_until is 1.0; it must lie in \[0, 1\)"),
        ("layer_decay", 1.5, r"config.transfer.layer_decay is 1.5; it must lie in \[0, 1\]"),
        ("frozen_statistics", "keep", "did you mean 'kept'"),
        ("cache_features", 1, "config.transfer.cache_features is 1; it must be a bool"),
        ("frozen", 1, "config.transfer.frozen is unknown"),
    ],
)
def test_what_cannot_be_is_refused(key, value, message):
    config = tiny.make_config("fine_tune", CHANGES)
    config["transfer"][key] = value
    with pytest.raises(ValueError, match=message):
        make_method(config, 3)


def test_nothing_can_thaw_where_only_the_head_is_trained_and_no_option_may_be_missing():
    config = tiny.make_config("linear_probe", CHANGES | {"transfer.unfreeze_until": 0.5})
    with pytest.raises(ValueError, match="leaves no stage to thaw; set unfreeze_until to 0"):
        make_method(config, 3)
    del config["transfer"]["freeze"]
    with pytest.raises(ValueError, match="config.transfer.freeze is missing"):
        make_method(config, 3)
