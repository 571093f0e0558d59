"""Tests of the support vector machine in the place of the last layer."""

import json
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import model_selection

from common.data.task import load_task
from common.experiment import folder, result
from common.experiment.outcome import StopRequest
from common.experiment.retrained_head import PENALTIES, head_inputs, retrain_head
from common.experiment.run import train_population
from common.models.mlp import TaskHead
from common.models.mode import EVALUATION
from tests.tiny_run import make_method, tiny


@pytest.mark.parametrize(("hidden", "activation"), [((), "relu"), ((5,), "tanh"), ((5, 4), "relu")])
def test_the_last_layer_on_its_inputs_gives_the_logits(hidden, activation):
    head = TaskHead(3, hidden=hidden, activation=activation)
    features = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    given = jnp.asarray(features)
    params = head.init(jax.random.key(0), given, mode=EVALUATION)["params"]
    inputs = head_inputs(params, features, activation)
    assert inputs.shape == (7, hidden[-1] if hidden else 6)
    logits = nn.Dense(3).apply({"params": params["logits"]}, inputs)
    expected = head.apply({"params": params}, given, mode=EVALUATION)
    np.testing.assert_allclose(np.asarray(logits), np.asarray(expected), rtol=1e-5, atol=1e-6)


def make_parts(gap, seed=0):
    draw = np.random.default_rng(seed)
    labels = {part: draw.integers(0, 2, 60) for part in ("train", "val", "test")}
    inputs = {
        part: (4.0 * own[:, None] * [1, 0] + draw.normal(size=(60, 2))).astype(np.float32)
        for part, own in labels.items()
    }
    inputs["test"][:, 0] += gap
    return inputs, labels


def test_it_learns_the_source_and_tells_the_gap_of_the_target():
    near, far = (retrain_head(*make_parts(gap), 2, 0) for gap in (0.0, 4.0))
    assert near["source_val_accuracy"] > 0.9
    assert near["oracle/target_test_accuracy"] > 0.9
    assert far["oracle/target_test_accuracy"] < 0.7
    assert np.sum(far["oracle/target_test_confusion"]) == 60
    # Rows are true classes: a moved target is taken for the second class.
    assert far["oracle/target_test_confusion"][0][1] > far["oracle/target_test_confusion"][1][0]


def test_labels_of_the_target_change_nothing_but_their_own_metrics():
    inputs, labels = make_parts(1.0)
    flipped = {**labels, "test": 1 - labels["test"]}
    one, other = (retrain_head(inputs, own, 2, 0) for own in (labels, flipped))
    seen = [{k: v for k, v in own.items() if not k.startswith("oracle/")} for own in (one, other)]
    assert seen[0] == seen[1]
    accuracies = [own["oracle/target_test_accuracy"] for own in (one, other)]
    assert sum(accuracies) == pytest.approx(1)


def test_a_target_without_labels_has_no_metrics():
    inputs, labels = make_parts(0.0)
    scored = retrain_head(inputs, {**labels, "test": np.full(60, -1)}, 2, 0)
    assert set(scored) == {"source_val_accuracy", "penalty"}


@pytest.mark.parametrize(
    ("counts", "folds"), [((40, 20), 3), ((40, 2), 2), ((40, 1), None), ((1, 1), None)]
)
def test_the_smallest_class_says_how_the_penalty_is_chosen(counts, folds, monkeypatch):
    seen = []

    class Search(model_selection.GridSearchCV):
        def __init__(self, estimator, param_grid, *, cv=None):
            super().__init__(estimator, param_grid, cv=cv)
            seen.append(cv)

    monkeypatch.setattr(model_selection, "GridSearchCV", Search)
    inputs, labels = make_parts(0.0)
    labels["train"] = np.repeat([0, 1], counts)
    inputs["train"] = np.random.default_rng(1).normal(size=(sum(counts), 2)).astype(np.float32)
    with warnings.catch_warnings():
        # scikit-learn warns of folds without some class.
        warnings.simplefilter("error")
        scored = retrain_head(inputs, labels, 2, 0)
    assert seen == [folds] * (folds is not None)
    assert scored["penalty"] in (PENALTIES if folds else PENALTIES[:1])


def test_a_run_under_a_budget_of_one_label_a_class_has_it(tmp_path):
    changes = {"data.target_labels_per_class": 1, "evaluation.retrained_head": True}
    config = tiny(tmp_path, "train_on_target", **changes, num_steps=20)
    train_population([config], make_method, StopRequest())
    result = json.loads((folder.run_folder(config) / "result.json").read_text())
    assert result["selections"]["retrained_head"]["penalty"] == PENALTIES[0]


def test_a_run_has_it_as_a_selection_of_its_own(tmp_path):
    digests = []
    for asked in (True, False):
        config = tiny(tmp_path, **{"evaluation.retrained_head": asked, "num_steps": 20})
        train_population([config], make_method, StopRequest())
        result = json.loads((folder.run_folder(config) / "result.json").read_text())
        digests.append(result["params_sha256"])
        assert ("retrained_head" in result["selections"]) == asked
        if asked:
            own = result["selections"]["retrained_head"]
            assert own["step"] == 20
            assert 0 <= own["oracle/target_test_accuracy"] <= 1
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("method", "learned"),
    [
        ("source_only", ["source"]),
        ("dann", ["source"]),
        ("train_on_target", ["target"]),
        ("train_on_both", ["source", "target"]),
    ],
)
def test_the_machine_learns_from_what_the_head_learned_from(tmp_path, monkeypatch, method, learned):
    seen = {}

    def remember(inputs, labels, num_classes, seed):
        seen.update(labels)
        return {"source_val_accuracy": 1.0}

    monkeypatch.setattr(result, "retrain_head", remember)
    changes = {"evaluation.retrained_head": True, "num_steps": 20}
    config = tiny(tmp_path, method, **changes)
    train_population([config], make_method, StopRequest())
    task = load_task(config)
    labels = [task[role].examples.labels[task[role].splits["train"]] for role in learned]
    np.testing.assert_array_equal(seen["train"], np.concatenate(labels))
