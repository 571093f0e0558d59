"""Tests of what kinds of tasks are measured by, against scikit-learn."""

from typing import Any

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn import metrics

from common.evaluation.task_metric import METRICS, split_metrics

EXAMPLES, LABELS = 8, 3
MICRO: Any = {"average": "micro", "zero_division": 0}
WHOLE: Any = {"scale_by_half": False}
LOGITS = hnp.arrays(
    np.float32, (EXAMPLES, LABELS), elements=st.sampled_from([-2.0, -0.5, 0.0, 0.5, 2.0])
)
TRUTH = hnp.arrays(np.float32, (EXAMPLES, LABELS), elements=st.sampled_from([0.0, 1.0]))
summarize = {kind: jax.jit(own.summarize) for kind, own in METRICS.items()}


def in_the_loop(kind, outputs, labels):
    sums = summarize[kind](jnp.asarray(outputs), jnp.asarray(labels))
    return METRICS[kind].derive({name: np.asarray(value) for name, value in sums.items()})


@settings(max_examples=30, deadline=None)
@given(logits=LOGITS, truth=TRUTH)
def test_several_labels_are_measured_as_by_scikit_learn(logits, truth):
    looped = in_the_loop("multi_label", logits, truth)
    final = split_metrics(METRICS["multi_label"], logits, truth)
    predicted = (logits > 0).astype(int)
    for name in ("precision", "recall", "f1"):
        expected = getattr(metrics, f"{name}_score")(
            truth, predicted, average="macro", zero_division=0
        )
        assert looped[f"macro_{name}"] == pytest.approx(expected)
        assert final[f"macro_{name}"] == pytest.approx(expected)
    micro = metrics.f1_score(truth, predicted, **MICRO)
    assert looped["micro_f1"] == pytest.approx(micro)
    assert looped["accuracy"] == pytest.approx(1 - metrics.hamming_loss(truth, predicted))
    if truth.any(0).all() and not truth.all(0).any():
        assert final["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, logits))
        assert final["average_precision"] == pytest.approx(
            metrics.average_precision_score(truth, logits)
        )


@settings(max_examples=30, deadline=None)
@given(
    z=hnp.arrays(np.float32, EXAMPLES, elements=st.sampled_from([-2.0, -0.5, 0.5, 2.0])),
    labels=hnp.arrays(np.int32, EXAMPLES, elements=st.integers(0, 1)),
)
def test_two_classes_are_measured_as_by_scikit_learn(z, labels):
    logits = np.stack([np.zeros_like(z), z], axis=1)
    final = split_metrics(METRICS["binary"], logits, labels)
    for name in ("precision", "recall", "f1"):
        expected = getattr(metrics, f"{name}_score")(labels, z > 0, zero_division=0)
        assert final[name] == pytest.approx(expected)
    if 0 < labels.sum() < EXAMPLES:
        assert final["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, z))
        assert final["average_precision"] == pytest.approx(
            metrics.average_precision_score(labels, z)
        )
        brier = metrics.brier_score_loss(labels, expit(z.astype(float)), **WHOLE)
        assert final["brier_score"] == pytest.approx(brier)


def test_values_are_measured_alike_in_the_loop_and_at_the_end():
    draw = np.random.default_rng(0)
    outputs, labels = draw.normal(size=(2, 20, 2)).astype(np.float32)
    looped = in_the_loop("regression", outputs, labels)
    final = split_metrics(METRICS["regression"], outputs, labels)
    assert looped == {name: pytest.approx(final[name], rel=1e-5) for name in looped}
    assert final["mse"] == pytest.approx(metrics.mean_squared_error(labels, outputs))


@pytest.mark.parametrize("kind", METRICS)
def test_examples_without_a_label_do_not_count(kind):
    draw = np.random.default_rng(1)
    pixels = (2, 2) if kind == "segmentation" else ()
    outputs = draw.normal(size=(10, *pixels, 2)).astype(np.float32)
    is_class = kind in ("multi_class", "binary", "segmentation")
    labels = draw.integers(0, 2, (10, *pixels) if is_class else (10, 2))
    labels = labels.astype(np.int32 if is_class else np.float32)
    none = -1 if is_class else np.nan
    some = labels.copy()
    some[::3] = none
    kept = ~np.isin(np.arange(10), np.arange(0, 10, 3))
    metric = METRICS[kind]
    assert split_metrics(metric, outputs, some) == split_metrics(
        metric, outputs[kept], labels[kept]
    )
    jax.tree.map(
        lambda own, expected: np.testing.assert_allclose(own, expected, rtol=1e-6),
        *(in_the_loop(kind, *pair) for pair in ((outputs, some), (outputs[kept], labels[kept]))),
    )
    losses = [
        float(summarize[kind](jnp.asarray(own), jnp.asarray(truth))["loss"])
        for own, truth in ((outputs, some), (outputs[kept], labels[kept]))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert in_the_loop(kind, outputs, np.full_like(labels, none)) == {}
    assert split_metrics(metric, outputs, np.full_like(labels, none)) == {}


def test_outputs_that_are_not_finite_have_no_metrics():
    outputs = np.array([[0.0, np.inf]], np.float32)
    assert split_metrics(METRICS["multi_class"], outputs, np.array([1], np.int32)) == {}
