"""Tests of the entropy score."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from tests.made_up_evidence import collapse, make_parts, score


def test_it_is_the_mean_entropy_of_the_targets_predictions():
    parts = make_parts()
    parts["target_val"]["logits"] *= 0.1
    p = softmax(parts["target_val"]["logits"], axis=1)
    assert score(parts)["entropy"] == pytest.approx(entropy(p, axis=1).mean(), rel=1e-4)


def test_it_rewards_collapse():
    """As its docstring warns: a collapsed network is the surest."""
    good = make_parts()
    assert score(collapse(good))["entropy"] < score(good)["entropy"] < 0.1
    good["target_val"]["logits"] = np.zeros_like(good["target_val"]["logits"])
    assert score(good)["entropy"] == pytest.approx(np.log(4), rel=1e-5)
