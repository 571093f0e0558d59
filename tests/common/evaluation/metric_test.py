"""Tests of the metrics against scikit-learn."""

import json
from typing import Any

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from common.evaluation.metric import (
    classification_metrics,
    confusion_matrix,
    intersection_over_union,
    mean_loss,
)

CLASSES = range(5)
# Some cases hold few of the classes, so that some never occur or are never predicted.
LABELS = st.integers(1, 5).flatmap(
    lambda count: hnp.arrays(np.int32, 12, elements=st.integers(0, count - 1))
)
SHUFFLED = st.tuples(LABELS, st.permutations(CLASSES)).map(
    lambda pair: np.asarray(pair[1])[pair[0]]
)

jitted_confusion = jax.jit(confusion_matrix)


def logits_for(predictions):
    """Logits of any size, the largest of them at the prediction."""
    logits = np.random.default_rng(0).normal(-20, 9, (len(predictions), len(CLASSES)))
    logits[np.arange(len(predictions)), predictions] = logits.max(1) + 0.5
    return jnp.asarray(logits, jnp.float32)


@given(labels=SHUFFLED, predictions=SHUFFLED)
def test_every_metric_equals_that_of_scikit_learn(labels, predictions):
    confusion = np.asarray(
        jitted_confusion(logits_for(predictions), jnp.asarray(labels, jnp.int32))
    )
    np.testing.assert_array_equal(
        confusion, metrics.confusion_matrix(labels, predictions, labels=CLASSES)
    )
    derived = classification_metrics(confusion)
    expected: dict[str, Any] = {"accuracy": metrics.accuracy_score(labels, predictions)}
    for name in ("precision", "recall", "f1"):
        score = getattr(metrics, f"{name}_score")
        expected[f"macro_{name}"] = score(labels, predictions, average="macro", zero_division=0)
        expected[f"micro_{name}"] = score(labels, predictions, average="micro", zero_division=0)
        expected[f"per_class_{name}"] = score(
            labels, predictions, labels=CLASSES, average=None, zero_division=0
        )
    assert derived["accuracy"] == pytest.approx(expected["accuracy"])
    # Written out, for scikit-learn warns of classes that never occur and of a single one.
    occurring = np.unique(labels)
    macro: Any = {"average": "macro", "zero_division": 0}
    recall = metrics.recall_score(labels, predictions, labels=occurring, **macro)
    assert derived["balanced_accuracy"] == pytest.approx(recall)
    if len(occurring) > 1 and np.isin(predictions, occurring).all():
        expected["balanced_accuracy"] = metrics.balanced_accuracy_score(labels, predictions)
        assert derived["balanced_accuracy"] == pytest.approx(expected["balanced_accuracy"])
    assert intersection_over_union(confusion) == pytest.approx(
        metrics.jaccard_score(labels, predictions, **macro)
    )
    for name in ("macro_precision", "macro_recall", "macro_f1", "micro_f1"):
        assert derived[name] == pytest.approx(expected[name])
    for name in ("per_class_precision", "per_class_f1"):
        np.testing.assert_allclose(derived[name], expected[name])
    # As the docstring says, all micro averages are the accuracy.
    assert expected["micro_precision"] == expected["micro_recall"] == expected["accuracy"]
    for number, accuracy in enumerate(derived["per_class_accuracy"]):
        if number in labels:
            assert accuracy == pytest.approx(expected["per_class_recall"][number])
        else:
            assert accuracy is None
    assert derived["confusion"] == confusion.tolist()


def test_the_row_is_the_true_class():
    logits = jnp.asarray([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    confusion = jitted_confusion(logits, jnp.asarray([0, 2]))
    np.testing.assert_array_equal(confusion, [[0, 1, 0], [0, 0, 0], [0, 1, 0]])


def test_metrics_can_be_written_as_json():
    derived = classification_metrics(np.array([[2, 1], [0, 0]], np.int32))
    assert json.loads(json.dumps(derived)) == derived
    assert derived["per_class_accuracy"] == [pytest.approx(2 / 3), None]


@pytest.mark.parametrize("scale", [1, 10])
def test_the_mean_loss_is_the_log_loss(scale):
    generator = np.random.default_rng(0)
    logits, labels = scale * generator.normal(size=(30, 4)), generator.integers(0, 4, 30)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = metrics.log_loss(labels, probabilities, labels=range(4))
    actual = mean_loss(jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
    assert float(actual) == pytest.approx(expected, rel=1e-5)


def test_the_mean_loss_stays_finite_for_large_logits():
    logits = jnp.asarray([[1e4, -1e4], [-1e4, 1e4]])
    assert float(mean_loss(logits, jnp.asarray([0, 0]))) == pytest.approx(1e4)
