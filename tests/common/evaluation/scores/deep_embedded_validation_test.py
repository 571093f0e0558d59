"""Tests of deep embedded validation, with and without control of its variance."""

import jax.numpy as jnp
import numpy as np
import pytest

from common.evaluation.scores.deep_embedded_validation import controlled
from tests.common.evaluation.scores.importance_weighted_validation_test import shifted
from tests.made_up_evidence import collapse, make_parts, score

NAME = "deep_embedded_validation"


def risk(weights, losses):
    """Follows the authors' code."""
    weighted = weights * losses
    covariance = np.cov(np.stack([weighted, weights]))[0, 1]
    eta = -covariance / np.var(weights, ddof=1)
    return np.mean(weighted) + eta * np.mean(weights) - eta


@pytest.mark.parametrize("seed", [0, 1])
def test_both_are_the_authors_risk_of_the_cross_entropy(seed):
    parts, _ = shifted(seed)
    logits, labels = parts["source_val"]["logits"], parts["source_val_label"]
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(80), labels]
    found = score(parts)
    weights = np.exp(found["log_ratio"]["source_val"].astype(float))
    assert found[NAME] == pytest.approx(risk(weights, losses), rel=1e-3)
    assert found[f"{NAME}_uncontrolled"] == pytest.approx(np.mean(weights * losses), rel=1e-4)
    assert abs(found[NAME] - found[f"{NAME}_uncontrolled"]) > 1e-3


def test_control_lowers_the_variance_and_keeps_the_expectation():
    """Of exact ratios of two normal features and a loss that is 1 in the target's expectation."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(300, 200))
    weights = np.exp(0.8 * values - 0.32)
    losses = 1 + 0.1 * draw.normal(size=values.shape)
    plain = (weights * losses).mean(1)
    own = [
        float(controlled(jnp.asarray(w), jnp.asarray(w * loss)))
        for w, loss in zip(weights[:40], losses[:40], strict=True)
    ]
    assert np.mean(own) == pytest.approx(1, abs=0.01)
    assert np.std(own) < 0.3 * np.std(plain)


def test_equal_weights_leave_the_mean_loss():
    """As of a network whose features are all the same: the classifier knows nothing."""
    found = score(collapse(make_parts()))
    assert found[NAME] == pytest.approx(0.75 * 20, rel=1e-3)
    assert found[f"{NAME}_uncontrolled"] == pytest.approx(0.75 * 20, rel=1e-3)


def test_a_network_that_errs_on_the_source_is_worse():
    good, bad = make_parts(shift=0.2), make_parts(shift=0.2)
    bad["source_val"]["logits"] = bad["source_val"]["logits"][:, [1, 2, 3, 0]]
    for name in (NAME, f"{NAME}_uncontrolled"):
        assert score(good)[name] < score(bad)[name]
