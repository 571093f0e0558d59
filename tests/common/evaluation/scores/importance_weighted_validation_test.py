"""Tests of importance-weighted validation."""

import numpy as np
import pytest

from tests.made_up_evidence import make_parts, score

NAME = "importance_weighted_validation"


def shifted(seed=0):
    """Makes a covariate shift: one feature is larger in the target, and large means an error."""
    parts = make_parts(seed, shift=0.0)
    draw = np.random.default_rng(seed)
    for name, center in (("source_train", 0), ("source_val", 0), ("target_train", 1)):
        parts[name]["features"][:, -1] = center + draw.normal(size=len(parts[name]["features"]))
    is_wrong = parts["source_val"]["features"][:, -1] > 1
    labels = parts["source_val_label"]
    parts["source_val"]["logits"] = 5.0 * np.eye(4)[(labels + is_wrong) % 4]
    return parts, is_wrong


def test_it_is_the_mean_of_weighted_errors():
    parts, is_wrong = shifted()
    found = score(parts)
    expected = np.mean(np.exp(found["log_ratio"]["source_val"]) * is_wrong)
    assert 0 < found[NAME] == pytest.approx(expected, rel=1e-5)


def test_it_estimates_the_targets_error_and_not_the_sources():
    """In the source 16 % of a normal feature are above 1, in the target half are."""
    found, sources = zip(
        *((score(parts)[NAME], is_wrong.mean()) for parts, is_wrong in map(shifted, range(8))),
        strict=True,
    )
    assert np.mean(sources) < 0.25
    assert 0.35 < np.mean(found) < 0.65


def test_a_network_that_has_learned_the_source_has_none():
    assert score(make_parts())[NAME] == 0
