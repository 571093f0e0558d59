"""Tests of what scores share."""

import jax
import pytest

from common.evaluation.evidence import Evidence, classifier_of, complete
from tests.made_up_evidence import NUM_FEATURES, evidence_of, make_parts, on_device


def test_a_score_that_weighs_examples_says_what_it_lacks():
    evidence = evidence_of(on_device(make_parts()))
    with pytest.raises(ValueError, match="not fitted; pass the evidence through .*complete first"):
        classifier_of(evidence)


def test_completing_adds_the_classifier_and_changes_nothing_else():
    evidence = evidence_of(on_device(make_parts()))

    def check():
        after = complete(evidence, jax.random.key(0))
        assert classifier_of(after) is after.domain_classifier
        for name in set(Evidence._fields) - {"domain_classifier"}:
            assert getattr(after, name) is getattr(evidence, name)
        return after.domain_classifier

    assert jax.eval_shape(check).weights.shape == (NUM_FEATURES + 1,)
