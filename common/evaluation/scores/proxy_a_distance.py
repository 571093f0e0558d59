"""Proxy A-distance: how well a fresh classifier tells the domains apart."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from common.density_ratio import log_ratio
from common.evaluation.evidence import Evidence, classifier_of


def proxy_a_distance(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores features by `max(0, 2 (1 - 2 e))`, e the error of a fresh domain classifier.

    A logistic regression is fitted on the features of both training parts, its decay chosen on an
    inner part of them. e is its error on the validation parts, each domain counting one half, an
    example on the border one half of a mistake. Lower is better; it lies between 0, where nothing
    tells the domains apart, and 2. The discriminator that a method trains says nothing of this: it
    may have been beaten by the network without the domains being alike.

    It assumes that what brings the domains together keeps the classes apart. Features that are all
    the same have distance 0: choose by it under a guard alone.

    Args:
        evidence: Completed outputs of a run.
        key: Unused.

    Returns:
        The score.

    Raises:
        ValueError: The evidence is without its domain classifier.

    References:
        Ben-David et al., Analysis of Representations for Domain Adaptation, NIPS (2006); Ganin et
        al., Domain-Adversarial Training of Neural Networks, JMLR 17 (2016), sections 3.2 and 5.1.5,
        with a linear support vector machine.
    """
    del key
    classifier = classifier_of(evidence)
    # Of the source +1 where it is taken for the target, -1 where for itself.
    for_target, for_itself = (
        jnp.mean(jnp.sign(log_ratio(classifier, part.features)))
        for part in (evidence.source_val, evidence.target_val)
    )
    error = (2 + for_target - for_itself) / 4
    return jnp.maximum(2 * (1 - 2 * error), 0.0)
