"""Tests of the head, the loss and the metrics of labels at every pixel."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn import metrics

from common.evaluation.segmentation import pixel_confusion, segmentation_metrics
from common.models.mode import EVALUATION
from common.models.segmentation import SegmentationHead
from common.training.task_loss import pixel_cross_entropy

DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(0, 2, (3, 4, 5, 3))
LABELS = DRAW.integers(-1, 3, (3, 4, 5))
LABELS[1] = -1  # a picture without any label


def interpolate(values, size):
    """Interpolates along the first axis, between the centres of places."""
    centres = (np.arange(size) + 0.5) * len(values) / size - 0.5
    low = np.floor(centres).astype(int)
    share = (centres - low).reshape(-1, *[1] * (values.ndim - 1))
    first, second = (np.clip(own, 0, len(values) - 1) for own in (low, low + 1))
    return (1 - share) * values[first] + share * values[second]


def test_scores_are_interpolated_between_the_centres_of_places():
    maps = DRAW.normal(size=(2, 3, 2, 4)).astype(np.float32)
    head, how = SegmentationHead(num_classes=3), {"mode": EVALUATION, "size": (7, 8)}
    variables = head.init(jax.random.key(0), jnp.asarray(maps), **how)
    found = np.asarray(head.apply(variables, jnp.asarray(maps), **how))
    layer = {name: np.asarray(own) for name, own in variables["params"]["logits"].items()}
    scores = maps @ layer["kernel"] + layer["bias"]
    rows = np.moveaxis(interpolate(np.moveaxis(scores, 1, 0), 7), 0, 1)
    expected = np.moveaxis(interpolate(np.moveaxis(rows, 2, 0), 8), 0, 2)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Stretching corner to corner, the other habit, is something else.
    corner = scores[:, -1, -1] - found[:, -2, -2]
    assert abs(corner).max() > 1e-2


def pixel_loss(logits, weights):
    """Averages over the pixels with a label, one after the other."""
    total, count = 0.0, 0
    for place in np.ndindex(LABELS.shape):
        if LABELS[place] >= 0:
            total -= weights[place[0]] * log_softmax(logits[place])[LABELS[place]]
            count += 1
    return total / count


def test_pixels_without_a_label_neither_count_nor_pull():
    weights = DRAW.uniform(size=3)
    with jax.enable_x64(True):
        arguments = jnp.asarray(LOGITS), jnp.asarray(LABELS)
        plain = float(pixel_cross_entropy(*arguments))
        value, gradient = jax.value_and_grad(pixel_cross_entropy)(*arguments, jnp.asarray(weights))
        none = jax.grad(pixel_cross_entropy)(arguments[0], jnp.full(LABELS.shape, -1))
        value, gradient, none = float(value), np.asarray(gradient), np.asarray(none)
    assert plain == pytest.approx(pixel_loss(LOGITS, np.ones(3)), rel=1e-12)
    assert value == pytest.approx(pixel_loss(LOGITS, weights), rel=1e-12)
    assert (gradient[LABELS < 0] == 0).all() and (none == 0).all()
    for place in [(0, 1, 2, 0), (2, 3, 4, 2), (0, 0, 0, 1)]:
        step = np.zeros_like(LOGITS)
        step[place] = 1e-6
        slope = pixel_loss(LOGITS + step, weights) - pixel_loss(LOGITS - step, weights)
        assert gradient[place] == pytest.approx(slope / 2e-6, abs=1e-8)


def test_metrics_of_pixels_equal_those_of_scikit_learn():
    confusion = np.asarray(pixel_confusion(jnp.asarray(LOGITS), jnp.asarray(LABELS)))
    known = LABELS >= 0
    truth, predicted = LABELS[known], LOGITS.argmax(-1)[known]
    np.testing.assert_array_equal(confusion, metrics.confusion_matrix(truth, predicted))
    derived, each = segmentation_metrics(confusion), cast(Any, {"average": None})
    assert derived["pixel_accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert derived["mean_iou"] == pytest.approx(
        metrics.jaccard_score(truth, predicted, average="macro")
    )
    assert derived["per_class_iou"] == pytest.approx(
        metrics.jaccard_score(truth, predicted, **each)
    )
    absent = np.pad(confusion, [(0, 1), (0, 1)])
    assert segmentation_metrics(absent)["per_class_iou"][-1] is None
    assert segmentation_metrics(absent)["mean_iou"] == derived["mean_iou"]
