"""Tests of the proxy A-distance."""

import numpy as np
import pytest

from tests.made_up_evidence import collapse, make_parts, score

NAME = "proxy_a_distance"


@pytest.mark.parametrize("shift", [0.2, 0.5])
def test_it_is_that_of_the_held_out_examples_that_are_taken_for_the_other_domain(shift):
    found = score(make_parts(shift=shift))
    source, target = found["log_ratio"]["source_val"], found["log_ratio"]["target_val"]
    error = (np.mean(source > 0) + np.mean(target < 0)) / 2
    assert 0.02 < error < 0.48
    assert found[NAME] == pytest.approx(2 * (1 - 2 * error), abs=1e-6)


def test_separate_domains_have_two_and_equal_ones_none():
    assert score(make_parts(shift=5.0))[NAME] == 2
    assert score(make_parts(shift=0.0))[NAME] < 0.5
    # As its docstring warns.
    assert score(collapse(make_parts()))[NAME] == 0


def test_what_the_classifier_has_learned_by_heart_does_not_count():
    """Noise of training examples tells the domains apart, but not those of validation."""
    parts = make_parts(shift=0.0)
    for name in ("source_val", "target_val"):
        # A distance taken on the training parts would not change.
        parts[name]["features"] = parts[name]["features"] * 0
    assert score(parts)[NAME] == 0
