"""Tests of what evaluation reads; what rows see of the target is in dann/contract_test.py."""

import functools

import jax
import numpy as np

from tests import tiny


@functools.cache
def run_of(**changes):
    return tiny.make_run(tiny.make_config("source_only", changes))


def assert_equal(tree, expected):
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


def test_evaluation_reads_the_averages_where_there_are_some():
    run = run_of(**{"optimizer.ema_decay": 0.5})
    state = tiny.train(run, 5)
    expected = run.program.evaluate(state, run.tables)
    assert np.isfinite(expected["source_val"]["loss"]).all()
    ruined = jax.tree.map(lambda leaf: leaf * np.nan, state.params)
    assert_equal(run.program.evaluate(state._replace(params=ruined), run.tables), expected)
    averages = {**state.ema, "params": ruined}
    evaluation = run.program.evaluate(state._replace(ema=averages), run.tables)
    assert np.isnan(evaluation["source_val"]["loss"]).all()


def test_evaluation_counts_every_row_of_a_split_once():
    run = run_of()
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
