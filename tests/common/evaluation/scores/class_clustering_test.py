"""Tests of the silhouette of predicted classes."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from tests.made_up_evidence import collapse, make_parts, score

NAME = "class_clustering"


@pytest.mark.parametrize("noise", [0.25, 2.0])
@pytest.mark.parametrize("num_single", [0, 1, 3])
def test_it_is_scikit_learns_silhouette(noise, num_single):
    """Also with classes of one example, whose silhouette is 0, and classes that nothing has."""
    parts = make_parts(noise=noise)
    features, logits = (parts["target_val"][name] for name in ("features", "logits"))
    if num_single:
        # The first examples have a class of their own, the others the last of the classes.
        logits[:] = 0
        logits[np.arange(40), np.where(np.arange(40) < num_single, np.arange(40), 3)] = 1
    expected = silhouette_score(features, logits.argmax(1))
    assert score(parts)[NAME] == pytest.approx(expected, abs=1e-4)


def test_predictions_that_cut_clusters_or_collapse_are_worse():
    good, cut = make_parts(), make_parts()
    cut["target_val"]["logits"] = np.random.default_rng(0).permutation(cut["target_val"]["logits"])
    assert score(good)[NAME] > 0.5 > 0.1 > score(cut)[NAME]
    assert score(collapse(good))[NAME] == -1
