"""Tests of the distance from the starting weights against sums by hand."""

import jax
import numpy as np
import pytest

from configs.catalogue import REGULARIZERS
from finetune.regularizers.l2_sp import l2_sp
from tests.derivation import assert_close, differences
from tests.finetune.view import numbers, outputs, see, slopes

FACTOR = 0.3


def layer(seed):
    return {"kernel": numbers(3, 2, seed=seed), "bias": numbers(2, seed=seed + 1)}


def make_params(seed):
    return {
        "feature_extractor": {"dense": layer(seed), "scale": {"scale": numbers(2, seed=seed + 2)}},
        "task_head": {"logits": layer(seed + 3)},
    }


NOW, START = make_params(0), make_params(10)
NOTHING = outputs(numbers(2, 2), numbers(2, 2))


def options(**changes):
    return {**REGULARIZERS["l2_sp"], **changes}


def evaluate(now=NOW, **changes):
    regularizer = l2_sp(options(**changes))
    return slopes(
        *(regularizer, lambda given: see(NOTHING, params=START), now, {}),
        state=None,
        head_factor=FACTOR,
    )


def by_hand(now, *, head="zero", everything=False):
    extractor, start = now["feature_extractor"], START["feature_extractor"]
    total = ((extractor["dense"]["kernel"] - start["dense"]["kernel"]) ** 2).sum()
    if everything:
        total += ((extractor["dense"]["bias"] - start["dense"]["bias"]) ** 2).sum()
        total += ((extractor["scale"]["scale"] - start["scale"]["scale"]) ** 2).sum()
    own = now["task_head"]["logits"]
    origin = jax.tree.map(lambda leaf: leaf * (head == "start"), START["task_head"]["logits"])
    of_head = ((own["kernel"] - origin["kernel"]) ** 2).sum()
    if everything:
        of_head += ((own["bias"] - origin["bias"]) ** 2).sum()
    return 0.5 * total + FACTOR * 0.5 * of_head


@pytest.mark.parametrize("head", ["zero", "start"])
@pytest.mark.parametrize("everything", [False, True])
def test_value_and_gradients_are_those_of_the_sums(head, everything):
    changes = {"head": head} | ({"parameters": ".*"} if everything else {})
    value, metrics, (gradient, _) = evaluate(**changes)
    assert value == pytest.approx(by_hand(NOW, head=head, everything=everything), rel=1e-6)
    expected = differences(lambda own: by_hand(own, head=head, everything=everything), NOW)
    assert_close(gradient, expected)
    if not everything:
        assert (gradient["task_head"]["logits"]["bias"] == 0).all()
        gap = NOW["feature_extractor"]["dense"]["kernel"]
        gap = gap - START["feature_extractor"]["dense"]["kernel"]
        assert metrics["distance"] == pytest.approx(np.linalg.norm(gap), rel=1e-6)


def test_a_mean_in_the_place_of_the_sum_would_be_seen():
    value, _, (gradient, _) = evaluate()
    kernels = [NOW["feature_extractor"]["dense"]["kernel"].size, 6]
    assert abs(value - by_hand(NOW) / kernels[0]) > 0.1
    # Weight decay, which pulls to zero, points elsewhere.
    kernel = NOW["feature_extractor"]["dense"]["kernel"]
    assert np.abs(gradient["feature_extractor"]["dense"]["kernel"] - kernel).max() > 0.1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"alpha": 1.0}, "alpha is unknown; legal are weight, head_factor, head, parameters"),
        ({"head_factor": -1.0}, "head_factor is -1.0; it must be a finite number of at least 0"),
        ({"head": "starts"}, "head is 'starts'; did you mean 'start'?"),
        ({"parameters": "("}, r"parameters is '\(', which is no regular expression"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.regularization.l2_sp.{sentence}"):
        l2_sp(options(**changes))


def test_a_pattern_that_holds_nothing_is_refused():
    with pytest.raises(ValueError, match="'kernels' matches no parameter of the feature extractor"):
        l2_sp(options(parameters="kernels")).init(NOW, {})
    assert l2_sp(options()).init(NOW, {}) == {}
