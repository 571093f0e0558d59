"""Tests of the diversity score."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from tests.made_up_evidence import collapse, make_parts, score


def test_it_is_the_entropy_of_the_mean_prediction():
    parts = make_parts()
    parts["target_val"]["logits"][:, 1] += 2
    p = softmax(parts["target_val"]["logits"], axis=1)
    assert score(parts)["diversity"] == pytest.approx(entropy(p.mean(0)), rel=1e-4)


def test_it_falls_as_classes_are_lost():
    good = make_parts()
    assert score(good)["diversity"] == pytest.approx(np.log(4), rel=1e-2)
    half = make_parts()
    half["target_val"]["logits"] = 20 * np.eye(4)[np.arange(40) % 2]
    assert score(half)["diversity"] == pytest.approx(np.log(2), rel=1e-4)
    assert score(collapse(good))["diversity"] == pytest.approx(0, abs=1e-6)
