"""Tests of what a run reads: which rows see the target, and what evaluation sees."""

import functools

import jax
import numpy as np
import pytest

from configs.catalogue import METHODS, PLAIN, TERMS
from tests import tiny

ROWS = (*PLAIN, *TERMS, *METHODS)


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


@functools.cache
def run_of(row, **changes):
    return tiny.make_run(tiny.make_row_config(row, changes))


def assert_equal(tree, expected):
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


def leaves_of(state):
    return jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))


@pytest.mark.parametrize("row", ROWS)
def test_target_labels_reach_no_row_that_does_not_name_them(row):
    run = run_of(row)
    tables = {**run.tables, "target": dict(run.tables["target"])}
    tables["target"]["label"] = (tables["target"]["label"] + 1) % tiny.NUM_CLASSES
    before, after = (tiny.train(own, 5) for own in (run, run._replace(tables=tables)))
    same = all(map(np.array_equal, leaves_of(before), leaves_of(after)))
    assert same == ("target_labelled" not in run.method.needs)


@pytest.mark.parametrize("row", ROWS)
def test_target_pictures_reach_no_row_without_a_term_or_target_labels(row):
    # Under `group` no domain influences another, so passing them through the network is no reading.
    run = run_of(row)
    tables = {**run.tables, "target": dict(run.tables["target"])}
    tables["target"]["image"] = np.full_like(tables["target"]["image"], np.nan)
    before, after = (tiny.train(own, 5) for own in (run, run._replace(tables=tables)))
    same = all(map(np.array_equal, *(tiny.params_of(own).values() for own in (before, after))))
    # What a method knows of the target may be no parameter.
    states = [jax.tree.leaves(own.method_state) for own in (before, after)]
    same = same and all(map(np.array_equal, *states))
    assert same == (row in PLAIN and "target_labelled" not in run.method.needs)


def test_a_term_changes_the_first_weights_and_batches_of_no_other_part():
    plain = tiny.params_of(tiny.start(run_of("source_only")))
    for row in TERMS:
        with_term = tiny.params_of(tiny.start(run_of(row)))
        assert_equal({path: with_term[path] for path in plain}, plain)


def test_evaluation_reads_the_averages_where_there_are_some():
    run = run_of("source_only", **{"optimizer.ema_decay": 0.5})
    state = tiny.train(run, 5)
    expected = run.program.evaluate(state, run.tables)
    assert np.isfinite(expected["source_val"]["loss"]).all()
    ruined = jax.tree.map(lambda leaf: leaf * np.nan, state.params)
    assert_equal(run.program.evaluate(state._replace(params=ruined), run.tables), expected)
    averages = {**state.ema, "params": ruined}
    evaluation = run.program.evaluate(state._replace(ema=averages), run.tables)
    assert np.isnan(evaluation["source_val"]["loss"]).all()


def test_evaluation_counts_every_row_of_a_split_once():
    run = run_of("source_only")
    state = tiny.train(run, 5)
    evaluation = run.program.evaluate(state, run.tables)
    variables = {"params": jax.tree.map(lambda leaf: leaf[0], state.params), "batch_stats": {}}
    for role, split in (("source", "val"), ("target", "val"), ("target", "test")):
        table = run.tables[role]
        rows = table[split][0]
        outputs = run.method.predict(variables, jax.numpy.asarray(table["image"][rows] / 16), role)
        expected = np.zeros((tiny.NUM_CLASSES, tiny.NUM_CLASSES), int)
        np.add.at(expected, (table["label"][rows], np.argmax(outputs.logits, 1)), 1)
        own = evaluation[f"{role}_{split}"]
        np.testing.assert_array_equal(own["confusion"][0], expected)
        kept = run.program.outputs(state, run.tables, role, split)
        np.testing.assert_allclose(kept.logits[0], outputs.logits, 1e-5, 1e-6)
