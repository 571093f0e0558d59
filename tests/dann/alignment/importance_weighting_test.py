"""Tests of importance weighting as a term; its estimates: `density_ratio_test.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.density_ratio import match_kernel_means, ratio_by_classifier
from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment import importance_weighting as module
from dann.alignment.importance_weighting import importance_weighting
from dann.method import make_method
from tests import tiny

DRAW = np.random.default_rng(0)
ROWS = {"source": 30, "target": 20}
# Pictures and features move in opposite directions.
IMAGES = {
    name: (DRAW.random((rows, 2, 2, 1)) + 0.2 * (name == "target")).astype(np.float32)
    for name, rows in ROWS.items()
}
FEATURES = {
    name: (DRAW.normal(size=(rows, 3)) - (name == "target")).astype(np.float32)
    for name, rows in ROWS.items()
}
OUTPUTS = {
    name: {"image": jnp.asarray(IMAGES[name]), "features": jnp.asarray(FEATURES[name])}
    for name in ROWS
}


def options(**changes):
    return {**TERMS["importance_weighting"][1], "iterations": 50, **changes}


def refreshed(weight=1.0, **changes):
    term = importance_weighting(options(**changes))
    assert term.refresh is not None
    return np.asarray(term.refresh({}, OUTPUTS, {"weight": jnp.float32(weight)})["weights"])


@pytest.mark.parametrize("on", ["inputs", "features"])
@pytest.mark.parametrize("estimator", ["classifier", "kernel_mean_matching"])
def test_weights_are_the_estimate_over_its_mean(estimator, on):
    weights = refreshed(estimator=estimator, on=on)
    values = [
        jnp.asarray(own[name].reshape(ROWS[name], -1))
        for own in ({"inputs": IMAGES, "features": FEATURES}[on],)
        for name in ROWS
    ]
    if estimator == "classifier":
        ratio = ratio_by_classifier(*values, penalty=0.01, iterations=50)
    else:
        ratio = match_kernel_means(*values, bound=1000.0, iterations=50)
    np.testing.assert_allclose(weights, ratio / np.mean(ratio), 1e-5, 1e-6)
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    # Examples that lie where the target does count more; a reversed ratio would do the opposite.
    towards = values[0] @ (values[1].mean(0) - values[0].mean(0))
    assert np.corrcoef(weights, towards)[0, 1] > 0.3


def test_the_weight_of_the_term_leads_from_plain_training_to_the_ratio():
    full = refreshed()
    np.testing.assert_array_equal(refreshed(weight=0.0), 1)
    np.testing.assert_allclose(refreshed(weight=0.3), 0.7 + 0.3 * full, 1e-5)


def test_weights_go_by_index_and_metrics_count_effective_examples():
    term = importance_weighting(options())
    state = {"weights": jnp.array([2.0, 0.0, 1.0, 1.0])}
    outputs = Outputs(jnp.zeros((3, 2)), jnp.zeros((3, 2)))
    batch = {"source": {"index": jnp.array([3, 0, 1], jnp.int32)}}
    view = View(outputs, outputs, batch, lambda *_: outputs)
    assert term.source_weight is not None and term.needs == {"source": ("index",)}
    np.testing.assert_array_equal(term.source_weight(state, view), [1, 2, 0])
    value, after, metrics = term.loss(
        {}, state, view, key=jax.random.key(0), progress=jnp.float32(0), hparams={}
    )
    assert value == 0 and after is state
    assert metrics["effective_examples"] == pytest.approx(4**2 / 6)
    assert metrics["largest_weight"] == 2


@functools.cache
def train(row, weight=1.0, num_members=1):
    config = tiny.make_config(row)
    run = tiny.make_run(
        config, num_members=num_members, method=make_method(config, tiny.NUM_CLASSES)
    )
    key = "alignment.importance_weighting.weight"
    changes = {key: [weight] * num_members} if row != "statistics_only" else None
    with tiny.quick_compilation():
        state = tiny.train(run, 5, changes)
    return tiny.params_of(state), state.method_state, run


def test_a_run_weighs_its_losses_by_the_ratio_of_its_own_split():
    plain, _, _ = train("statistics_only")
    unweighted, _, _ = train("importance_weighting", 0.0)
    weighted, state, run = train("importance_weighting")
    for path, value in plain.items():
        np.testing.assert_allclose(unweighted[path], value, 1e-5, 1e-6)
        assert np.abs(weighted[path] - value).max() > 1e-5
    assert_weights(state, run)


def assert_weights(state, run):
    weights = np.asarray(state["importance_weighting"]["weights"])
    for member, own in enumerate(weights):
        images = [
            jnp.asarray(table["image"][table["train"][member]] / 16, jnp.float32).reshape(20, -1)
            for table in run.tables.values()
        ]
        ratio = np.asarray(ratio_by_classifier(*images, penalty=0.01, iterations=1000))
        np.testing.assert_allclose(own, ratio / ratio.mean(), 1e-3, 1e-4)


def test_every_member_of_a_population_has_weights_of_its_own_split():
    _, state, run = train("importance_weighting", num_members=2)
    weights = state["importance_weighting"]["weights"]
    assert weights.shape == (2, 20)
    assert np.abs(weights[0] - weights[1]).max() > 0.1
    assert_weights(state, run)


def test_too_large_a_source_is_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(module, "MOST_MATCHED", 19)
    key = "alignment.importance_weighting.estimator"
    config = tiny.make_config("importance_weighting", {key: "kernel_mean_matching"})
    with pytest.raises(ValueError, match="at most 19 source examples; this source trains on 20"):
        tiny.make_run(config, method=make_method(config, tiny.NUM_CLASSES))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"estimator": "kmm"}, "estimator is 'kmm'; "),
        ({"on": "logits"}, "on is 'logits'; legal are inputs, features"),
        ({"weight": 1.5}, r"weight is 1.5; it must lie in \[0, 1\]"),
        ({"penalty": 0.0}, "penalty is 0.0; it must be a finite number of at least 1e-06"),
        ({"bound": 0.5}, "bound is 0.5; it must be a finite number of at least 1"),
        ({"iterations": 0}, "iterations is 0; it must be a whole number of at least 1"),
        ({"refresh_every": -1}, "refresh_every is -1; it must be a whole number of at least 0"),
        ({"steps": 3}, "steps is unknown"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.alignment.importance_weighting.{sentence}"):
        importance_weighting(options(**changes))
