"""Tests of the replacement of batch statistics, against a derivation by hand."""

import functools

import jax
import numpy as np
import pytest

from dann.method import make_method
from tests import tiny

ROW = "adapt_batch_norm"
TWO_LAYERS = {"model.options": {"hidden": (8, 4)}, "optimizer.weight_decay": 0.1}


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


@functools.cache
def run_of(policy="separate", num_members=1):
    config = tiny.make_config(ROW, {**TWO_LAYERS, "model.normalization": policy})
    return tiny.make_run(config, num_members=num_members)


def refreshed(run):
    return run.program.refresh(tiny.start(run), run.tables)


def pictures(run, role, split, member=0):
    table = run.tables[role]
    return table["image"][table[split][member]].reshape(-1, 16) / 16


def by_hand(params, images, statistics=None):
    """Logits, and the moments by layer of what reaches it, or with the statistics given."""
    extractor, value, moments = params["feature_extractor"], images.astype(np.float64), []
    for layer in range(2):
        dense = extractor[f"dense_{layer}"]
        value = value @ dense["kernel"] + dense["bias"]
        mean, var = statistics[layer] if statistics else (value.mean(0), value.var(0))
        moments.append((mean, var))
        own = extractor[f"normalization_{layer}"]["BatchNorm_0"]
        value = (value - mean) / np.sqrt(var + 1e-5) * own["scale"] + own["bias"]
        value = np.maximum(value, 0)
    head = params["task_head"]["logits"]
    return value @ head["kernel"] + head["bias"], moments


def moments_of(statistics, member=0):
    layers = [
        statistics["feature_extractor"][f"normalization_{layer}"]["BatchNorm_0"]
        for layer in range(2)
    ]
    return [(np.asarray(own["mean"])[member], np.asarray(own["var"])[member]) for own in layers]


def alone(tree, member=0):
    return jax.tree.map(lambda leaf: np.asarray(leaf[member]), tree)


@pytest.mark.parametrize("num_members", [1, 2])
def test_statistics_are_the_moments_of_the_whole_target_layer_by_layer(num_members):
    run = run_of(num_members=num_members)
    state = refreshed(run)
    for member in range(num_members):
        params = alone(tiny.merge(state.params, state.frozen), member)
        images = pictures(run, "target", "train", member)
        _, expected = by_hand(params, images)
        found = moments_of(state.method_state["batch_stats"], member)
        np.testing.assert_allclose(np.ravel(found[0]), np.ravel(expected[0]), 1e-4, 1e-6)
        np.testing.assert_allclose(np.ravel(found[1]), np.ravel(expected[1]), 1e-4, 1e-6)
        # The second layer fed with the first one's old statistics would have other moments.
        old = moments_of(state.batch_stats, member)
        value = by_hand(params, images, [old[0], expected[1]])
        assert not np.allclose(value[0], by_hand(params, images)[0], atol=1e-2)


def test_the_target_is_predicted_with_them_and_the_source_as_before():
    run = run_of()
    state = refreshed(run)
    params = alone(tiny.merge(state.params, state.frozen))
    new, old = (moments_of(own) for own in (state.method_state["batch_stats"], state.batch_stats))
    for role, own, other in (("target", new, old), ("source", old, new)):
        logits = run.program.outputs(state, run.tables, role, "test").logits[0]
        expected, _ = by_hand(params, pictures(run, role, "test"), own)
        np.testing.assert_allclose(logits, expected, 1e-4, 1e-4)
        wrong, _ = by_hand(params, pictures(run, role, "test"), other)
        assert np.abs(logits - wrong).max() > 1e-2


def test_training_changes_no_bit_of_parameters_or_of_the_sources_statistics():
    config = tiny.make_row_config(ROW, {**TWO_LAYERS, "optimizer.ema_decay": 0.9})
    run = tiny.make_run(config)
    before, after = refreshed(run), tiny.train(run, 10)
    for name in ("frozen", "batch_stats", "method_state", "ema"):
        jax.tree.map(np.testing.assert_array_equal, getattr(before, name), getattr(after, name))
    assert before.params == after.params == {}
    assert int(after.step[0]) == 10


def test_under_per_domain_the_targets_statistics_are_replaced_alone():
    run = run_of("per_domain")
    state = refreshed(run)
    new, old = state.method_state["batch_stats"], state.batch_stats
    jax.tree.map(np.testing.assert_array_equal, new["source"], old["source"])
    params = alone(tiny.merge(state.params, state.frozen))
    expected = by_hand(params, pictures(run, "target", "train"))[1]
    np.testing.assert_allclose(
        np.ravel(moments_of(new["target"])[1]), np.ravel(expected[1]), 1e-4, 1e-6
    )


def test_a_running_mean_would_be_seen():
    # One update of the running statistics stays near what they were; the exact ones do not.
    run = run_of()
    state = refreshed(run)
    var = moments_of(state.method_state["batch_stats"])[0][1]
    running = 0.9 * moments_of(state.batch_stats)[0][1] + 0.1 * var
    assert np.abs(running - var).min() > 0.1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model.normalization": "group"}, "is 'group', but adapt_batch_norm replaces batch stat"),
        ({"model.normalization": "none"}, "is 'none', but .* legal are joint, separate, per_dom"),
        ({"domains": ("source", "target")}, r"sees target pictures alone, so it must be \('target"),
        ({"init_from.method": ""}, "adapts a trained network; name its row by config.init_from"),
        ({"adaptation": {"weight": 1.0}}, "config.adaptation.weight is unknown"),
        ({"alignment": {"coral": {}}}, "config.alignment has coral, which compares source and"),
    ],
)
def test_what_does_not_fit_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_method(tiny.make_config(ROW, changes), tiny.NUM_CLASSES)


@pytest.mark.parametrize("row", [ROW, "tent"])
def test_a_network_without_such_layers_is_refused(row):
    options = {"blocks": 1, "width": 6, "heads": 2, "hidden": 8, "patch": 2, "picture_size": 4}
    changes = {"model.name": "vit_s16", "model.options": options}
    config = tiny.make_config(row, {**changes, "model.normalization": "separate"})
    batch = {"target": {"image": jax.ShapeDtypeStruct((2, 4, 4, 1), np.float32)}}
    method = make_method(config, tiny.NUM_CLASSES)
    with pytest.raises(ValueError, match="'vit_s16'.* ha.*; choose another network or row"):
        jax.eval_shape(method.init, jax.random.key(0), batch)
