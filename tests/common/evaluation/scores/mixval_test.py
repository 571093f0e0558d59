"""Tests of MixVal."""

import jax
import numpy as np
import pytest

from tests.made_up_evidence import collapse, key_of, make_parts, score

NAME = "mixval"


def by_hand(parts):
    """Mixes pair by pair, and averages the right ones of equal and of different classes."""
    images, head = parts["target_val_image"], parts["head"]
    classes = parts["target_val"]["logits"].argmax(1)
    order = np.asarray(jax.random.permutation(key_of(NAME), len(images)))
    right = {True: [], False: []}
    for place, own in enumerate(order):
        other = order[place - 1]
        assert own != other
        predicted = ((0.55 * images[own] + 0.45 * images[other]) @ head).argmax()
        right[classes[own] == classes[other]].append(predicted == classes[own])
    assert all(right.values())
    return float(np.mean([np.mean(kind) for kind in right.values()]))


@pytest.mark.parametrize("noise", [0.25, 1.0])
def test_it_is_the_mean_share_of_both_kinds_of_pairs(noise):
    parts = make_parts(noise=noise)
    assert score(parts)[NAME] == pytest.approx(by_hand(parts), abs=1e-6)


def test_clusters_with_a_border_midway_are_best_and_collapse_has_half():
    tight = score(make_parts(noise=0.01))[NAME]
    assert tight == 1
    assert score(collapse(make_parts()))[NAME] == 0.5
    # A border at one of the two: the smaller part of a mixture decides where it should not.
    biased = make_parts(noise=0.01)
    biased["head"] = biased["head"] * np.array([3, 1, 1, 1])[None]
    assert score(biased)[NAME] < 0.95
