"""Tests of the domain classifier that scores share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from common.density_ratio import fit_classifier, log_ratio
from common.evaluation import domain_classifier
from common.evaluation.domain_classifier import PENALTIES, fit_domain_classifier, importance

fit = jax.jit(fit_domain_classifier)
KEY = jax.random.key(3)


def draw(seed, sizes=(400, 300), shift=0.0, width=16):
    random = np.random.default_rng(seed)
    source, target = (random.normal(size=(size, width)).astype(np.float32) for size in sizes)
    target[:, 0] += np.float32(shift)
    return jnp.asarray(source), jnp.asarray(target)


def by_hand(source, target):
    """Fits each penalty by another solver and chooses on what was held out."""
    keys = jax.random.split(KEY)
    (source, held_source), (target, held_target) = (
        map(np.asarray, domain_classifier._split(part, key))
        for part, key in zip((source, target), keys, strict=True)
    )
    both = np.concatenate([source, target]).astype(float)
    center, scale = both.mean(0), both.std(0)
    is_target = np.arange(len(both)) >= len(source)
    balance = np.log(len(source) / len(target))
    found = []
    for penalty in PENALTIES:
        own = LogisticRegression(C=1 / (penalty * len(both)), tol=1e-8)
        own.fit((both - center) / scale, is_target)

        def ratio(values, own=own):
            return own.decision_function((values - center) / scale) + balance

        loss = np.log1p(np.exp(ratio(held_source))).mean()
        loss += np.log1p(np.exp(-ratio(held_target))).mean()
        found.append((loss, penalty, ratio))
    return min(found, key=lambda own: own[0])


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_it_is_that_of_another_solver_whose_penalty_is_chosen_on_held_out_examples(shift):
    source, target = draw(0, shift=shift)
    _, penalty, ratio = by_hand(source, target)
    assert (penalty == PENALTIES[0]) == (shift == 0)
    fresh, _ = draw(1)
    found = log_ratio(fit(source, target, KEY), fresh)
    # A hundred steps come that near to the minimum.
    np.testing.assert_allclose(found, ratio(np.asarray(fresh)), 0.02, 0.02)


def test_random_features_have_weights_near_one():
    source, target = draw(0)
    fresh, _ = draw(1)
    weights = np.asarray(importance(fit(source, target, KEY), fresh))
    assert 0.7 < weights.min() and weights.max() < 1.4
    assert weights.mean() == pytest.approx(1, abs=0.05)
    # Without the held-out part a small decay would have fitted the noise.
    over_fitted = fit_classifier(source, target, penalty=PENALTIES[-1], iterations=100)
    assert np.std(importance(over_fitted, fresh)) > 2 * np.std(weights)


def test_the_number_of_examples_is_no_evidence():
    """With three times as many of the target, an example is not likelier to be one."""
    source, target = draw(0, sizes=(100, 300))
    weights = np.asarray(importance(fit(source, target, KEY), draw(1)[0]))
    assert weights.mean() == pytest.approx(1, abs=0.2)


def test_ratios_of_separate_domains_are_bounded():
    source, target = draw(0, shift=1e6)
    for part, bound in ((source, 1.0), (target, np.exp(20.0))):
        weights = np.asarray(importance(fit(source, target, KEY), part))
        assert np.isfinite(weights**2).all() and weights.max() <= bound * 1.001
