"""Tests of RankMe."""

import numpy as np
import pytest

from tests.made_up_evidence import NUM_FEATURES, collapse, make_parts, score

NAME = "rank_me"


def by_hand(features):
    values = np.linalg.svd(features, compute_uv=False)
    share = values / values.sum() + 1e-7
    return np.exp(-sum(share * np.log(share)))


@pytest.mark.parametrize("noise", [0.01, 0.25, 2.0])
def test_it_is_the_exponential_of_the_singular_values_entropy(noise):
    parts = make_parts(noise=noise)
    found = score(parts)[NAME]
    assert found == pytest.approx(by_hand(parts["target_val"]["features"]), rel=1e-3)


def test_it_counts_directions():
    parts = make_parts()
    assert score(collapse(parts))[NAME] == pytest.approx(1, abs=1e-4)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(40, NUM_FEATURES)))[0]
    parts["target_val"]["features"] = basis
    assert score(parts)[NAME] == pytest.approx(NUM_FEATURES, rel=1e-4)
    basis[:, 2:] = 0
    assert score(parts)[NAME] == pytest.approx(2, rel=1e-4)
