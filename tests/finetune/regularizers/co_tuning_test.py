"""Tests of Co-Tuning against sums by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.catalogue import REGULARIZERS
from finetune.regularizers.co_tuning import ROOT, co_tuning, relate
from tests.derivation import assert_close, differences
from tests.finetune.view import DOMAIN, numbers, outputs, see
from tests.finetune.view import slopes as slopes_of

UNITS, CLASSES = 4, 3
FEATURES, LABELS = numbers(5, UNITS), np.array([0, 2, 2, 0, 2])
OLD = {"logits": {"kernel": numbers(UNITS, CLASSES, seed=1), "bias": numbers(CLASSES, seed=2)}}
CHANGE = {ROOT: jax.tree.map(lambda leaf: numbers(*leaf.shape, seed=3), OLD)}
RELATION = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 0.0], [0.1, 0.2, 0.7]])
TEMPERATURE = 1.5


def softmax(row):
    return np.exp(row) / np.exp(row).sum()


def by_hand(change, features, *, labels_as_classes=False):
    own = jax.tree.map(lambda one, other: one + other, OLD, change[ROOT])["logits"]
    total = 0.0
    for feature, label in zip(features, LABELS, strict=True):
        classes = np.eye(CLASSES)[label] if labels_as_classes else RELATION[label]
        total -= (classes * np.log(softmax(feature @ own["kernel"] + own["bias"]))).sum()
    return total / len(features)


def evaluate():
    def head(params, features):
        return features @ params["logits"]["kernel"] + params["logits"]["bias"][None]

    def view(features):
        own = outputs(features, features)
        return see(own, params={"task_head": OLD}, labels=LABELS, head=head)

    state = {"relation": jnp.asarray(RELATION)}
    regularizer = co_tuning(REGULARIZERS["co_tuning"])
    return slopes_of(regularizer, view, CHANGE, FEATURES, state=state)


def test_value_and_gradients_are_those_of_the_sums():
    value, _, gradients = evaluate()
    assert value == pytest.approx(by_hand(CHANGE, FEATURES), rel=1e-6)
    assert_close(gradients[0], differences(lambda own: by_hand(own, FEATURES), CHANGE))
    assert_close(gradients[1], differences(lambda own: by_hand(CHANGE, own), FEATURES))
    # The old head goes on learning.
    assert np.abs(gradients[0][ROOT]["logits"]["kernel"]).max() > 1e-2


def test_hard_labels_in_the_place_of_the_relation_would_be_seen():
    folk = by_hand(CHANGE, FEATURES, labels_as_classes=True)
    assert abs(folk - evaluate()[0]) > 0.05


def test_the_relation_is_the_mean_prediction_of_each_class_before_training():
    logits, labels = 3 * numbers(6, CLASSES), np.array([0, 0, 2, 2, 2, 0])
    own = {"logits": jnp.asarray(logits), "label": jnp.asarray(labels)}
    hparams = {"temperature": jnp.asarray(TEMPERATURE)}
    regularizer = co_tuning(REGULARIZERS["co_tuning"])
    assert regularizer.prepare is not None
    # Unlabelled target pictures have no part in it.
    others = {"target": {"logits": jnp.asarray(100 * logits)}, DOMAIN: own}
    found = regularizer.prepare(see(outputs(logits, logits)).start, others, hparams)["relation"]
    expected = np.zeros((CLASSES, CLASSES))
    for label in (0, 2):
        rows = [softmax(row / TEMPERATURE) for row in logits[labels == label]]
        expected[label] = sum(rows) / len(rows)
    np.testing.assert_allclose(found, expected, 1e-5)
    # The mean of the predictions, not the prediction of the mean logits.
    folk = softmax(logits[labels == 0].mean(0) / TEMPERATURE)
    assert np.abs(folk - np.asarray(found)[0]).max() > 0.01


def test_a_class_without_examples_has_a_row_of_zeros():
    found = relate(jnp.ones((2, 3)), jnp.array([1, 1]), 3, jnp.float32(1))
    np.testing.assert_allclose(found, [[0, 0, 0], [1 / 3] * 3, [0, 0, 0]], 1e-6)


def test_the_old_head_starts_as_the_start_has_it():
    drawn = co_tuning(REGULARIZERS["co_tuning"]).init({"task_head": OLD}, {})
    assert jax.tree.map(np.shape, drawn[ROOT]) == jax.tree.map(np.shape, OLD)
    assert not any(leaf.any() for leaf in jax.tree.leaves(drawn))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trade_off": 2.3}, "trade_off is unknown; legal are weight, temperature"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be a finite number of at least 0.001"),
        ({"weight": -1.0}, "weight is -1.0; it must be"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.regularization.co_tuning.{sentence}"):
        co_tuning({**REGULARIZERS["co_tuning"], **changes})
