"""Tests of soft neighbourhood density, one of them of where it fails."""

import numpy as np
import pytest

from tests.made_up_evidence import collapse, make_parts, score

NAME = "soft_neighborhood_density"


def by_hand(logits):
    """Follows the authors' code example by example; the diagonal is left out, not set to -1."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    total = 0.0
    for i, own in enumerate(p):
        others = np.delete(p, i, axis=0)
        cosine = [own @ other / np.sqrt((own @ own) * (other @ other)) for other in others]
        weight = np.exp(np.array(cosine) / 0.05)
        share = weight / weight.sum()
        total -= sum(share * np.log(share))
    return total / len(p)


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_it_is_the_authors_formula(scale):
    parts = make_parts(noise=0.6)
    parts["target_val"]["logits"] *= scale
    expected = by_hand(parts["target_val"]["logits"])
    assert score(parts)[NAME] == pytest.approx(expected, rel=1e-4)


def test_dense_neighbourhoods_are_better_than_scattered_predictions():
    good, scattered = make_parts(), make_parts()
    draw = np.random.default_rng(1)
    scattered["target_val"]["logits"] = 3 * draw.normal(size=(40, 4))
    assert score(good)[NAME] > score(scattered)[NAME]
    # Ten examples a class: nine neighbours each.
    assert score(good)[NAME] == pytest.approx(np.log(9), abs=0.05)


def test_total_collapse_has_the_largest_score():
    good = make_parts()
    collapsed = score(collapse(good))[NAME]
    assert collapsed == pytest.approx(np.log(39), rel=1e-5)
    assert collapsed > score(good)[NAME] + 1
