"""Diversity: whether predictions use every class."""

from __future__ import annotations

from jaxtyping import Array, Float

from common.entropy import entropies
from common.evaluation.evidence import Evidence


def diversity(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores predictions by the entropy of their mean: `H(mean p)`, `H(p) = -sum_k p_k log p_k`.

    Over the target's validation examples, p the softmax of their logits. Higher is better; it lies
    between 0, where all are taken for one class, and the logarithm of the number of classes.

    It assumes that classes are about equally frequent in the target. Alone it is a guard against
    collapse and not a measure of accuracy: an untrained network, unsure of everything, has nearly
    the largest.

    Args:
        evidence: Outputs of a run.
        key: Unused.

    Returns:
        The score in nats.

    References:
        Bridle, Heading and MacKay, Unsupervised Classifiers, Mutual Information and 'Phantom
        Targets', NIPS (1991), of which it is one part.
    """
    del key
    return entropies(evidence.target_val.logits)[1]
