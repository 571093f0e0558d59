"""Tests of batch spectral shrinkage against eigenvalues of a Gram matrix."""

import numpy as np
import pytest

from configs.catalogue import REGULARIZERS
from finetune.regularizers.bss import bss
from tests.derivation import assert_close, differences
from tests.finetune.view import numbers, outputs, see, slopes


def evaluate(features, number):
    return slopes(
        bss({**REGULARIZERS["bss"], "number": number}),
        lambda given: see(outputs(given, given[:, :2])),
        {},
        features,
        state=None,
    )


def by_hand(features, number):
    """The smallest eigenvalues of the smaller Gram matrix are the squares."""
    rows, units = features.shape
    gram = features @ features.T if rows < units else features.T @ features
    return np.linalg.eigvalsh(gram)[:number].sum()


@pytest.mark.parametrize(("rows", "units", "number"), [(4, 6, 1), (6, 4, 2), (5, 5, 5)])
def test_value_and_gradient_are_those_of_the_gram_matrix(rows, units, number):
    features = numbers(rows, units)
    value, metrics, (_, gradient) = evaluate(features, number)
    assert value == pytest.approx(by_hand(features, number), rel=1e-6)
    assert_close(gradient, differences(lambda own: by_hand(own, number), features))
    assert metrics["smallest"] ** 2 == pytest.approx(by_hand(features, 1), rel=1e-6)
    if number == min(rows, units):
        # All of them: that is the features' squared norm.
        assert value == pytest.approx((features**2).sum(), rel=1e-6)
        assert_close(gradient, 2 * features)


def test_shrinking_the_largest_ones_would_be_seen():
    features = numbers(4, 6)
    assert evaluate(features, 1)[0] < 0.2 * np.linalg.svd(features)[1][0] ** 2


def test_equal_and_vanishing_singular_values_have_finite_gradients():
    equal = np.eye(4)
    value, _, (_, gradient) = evaluate(equal, 1)
    assert value == 1 and np.linalg.norm(gradient) == pytest.approx(2)
    twice = numbers(4, 6)
    twice[1] = twice[0]
    value, _, (_, gradient) = evaluate(twice, 1)
    # A batch that holds an example twice is left alone.
    assert value < 1e-20 and np.abs(gradient).max() < 1e-10
    assert np.isfinite(evaluate(np.zeros((4, 6)), 2)[2][1]).all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"k": 1}, "k is unknown; legal are weight, number"),
        ({"number": 0}, "number is 0; it must be a whole number of at least 1"),
        ({"weight": -1.0}, "weight is -1.0; it must be"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.regularization.bss.{sentence}"):
        bss({**REGULARIZERS["bss"], **changes})


def test_more_singular_values_than_there_are_are_refused():
    own = {"target_labelled": outputs(numbers(4, 6), numbers(4, 2))}
    regularizer = bss({**REGULARIZERS["bss"], "number": 5})
    with pytest.raises(ValueError, match="4 examples of target_labelled with 6 features has 4"):
        regularizer.init({}, own)
