"""Importance-weighted validation (IWCV): source errors, counted as the target would."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from common.evaluation.domain_classifier import importance
from common.evaluation.evidence import Evidence, classifier_of


def importance_weighted_validation(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores a network by its weighted error on the source's validation examples.

        score = mean over i of w_i l_i,   w = p_target / p_source,   l_i = 1 for an error, else 0

    w is the ratio that the domain classifier, fitted on features of the training parts, gives to
    features of validation examples. Lower is better.

    It assumes covariate shift in the features: that examples with equal features have equal labels
    in both domains, and that the source covers the target. A network that makes no error on the
    source has score 0 whatever it does on the target: later steps of a run hardly differ.

    Args:
        evidence: Completed outputs of a run.
        key: Unused.

    Returns:
        The score, an estimate of the target's error, not bounded by 1.

    Raises:
        ValueError: The evidence is without its domain classifier.

    References:
        Sugiyama, Krauledat and Müller, Covariate Shift Adaptation by Importance Weighted Cross
        Validation, JMLR 8 (2007), with one fold, and weights from features.
    """
    del key
    wrong = jnp.argmax(evidence.source_val.logits, axis=-1) != evidence.source_val_label
    return jnp.mean(importance(classifier_of(evidence), evidence.source_val.features) * wrong)
