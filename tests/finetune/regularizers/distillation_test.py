"""Tests of the divergence from the start's predictions against sums by hand."""

import numpy as np
import pytest

from configs.catalogue import REGULARIZERS
from finetune.regularizers.distillation import distillation
from tests.derivation import assert_close, differences
from tests.finetune.view import numbers, outputs, see, slopes

OLD, NEW = numbers(5, 3, seed=1), numbers(5, 3, seed=2)
TEMPERATURE = 2.0


def evaluate(new=NEW, temperature=TEMPERATURE):
    return slopes(
        distillation(REGULARIZERS["distillation"]),
        lambda given: see(outputs(given, given), before=outputs(OLD, OLD)),
        {},
        new,
        state=None,
        temperature=temperature,
    )


def softmax(row):
    return np.exp(row) / np.exp(row).sum()


def by_hand(new, *, temperature=TEMPERATURE, backwards=False):
    total = 0.0
    for old, own in zip(OLD, new, strict=True):
        pair = softmax(old / temperature), softmax(own / temperature)
        one, other = pair[::-1] if backwards else pair
        total += (one * np.log(one / other)).sum()
    return temperature**2 * total / len(new)


def test_value_and_gradient_are_those_of_the_sums():
    value, metrics, (_, gradient) = evaluate()
    assert value == pytest.approx(by_hand(NEW), rel=1e-6)
    assert_close(gradient, differences(by_hand, NEW))
    assert metrics["agreement"] == (OLD.argmax(1) == NEW.argmax(1)).mean()
    assert evaluate(OLD)[0] == pytest.approx(0, abs=1e-12)


def test_the_other_direction_would_be_seen():
    assert abs(by_hand(NEW) - by_hand(NEW, backwards=True)) > 0.005


def test_the_factor_keeps_the_gradient_over_temperatures():
    # High above the logits, the gradient goes to that of half the squared distance a class.
    old, new = (rows - rows.mean(1, keepdims=True) for rows in (OLD, NEW))
    _, _, (_, gradient) = evaluate(temperature=1e3)
    np.testing.assert_allclose(gradient, (new - old) / 3 / len(new), 5e-3, 1e-4)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"T": 2.0}, "T is unknown; legal are weight, temperature"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be a finite number of at least 0.001"),
        ({"weight": float("inf")}, "weight is inf; it must be"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.regularization.distillation.{sentence}"):
        distillation({**REGULARIZERS["distillation"], **changes})
