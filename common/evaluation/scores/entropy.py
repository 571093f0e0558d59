"""Entropy: how unsure predictions are."""

from __future__ import annotations

from jaxtyping import Array, Float

from common.entropy import entropies
from common.evaluation.evidence import Evidence


def entropy(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores predictions by their mean entropy: `mean H(p)`, `H(p) = -sum_k p_k log p_k`.

    Over the target's validation examples, p the softmax of their logits. Lower is better; it lies
    between 0 and the logarithm of the number of classes.

    It assumes that a network is sure where it is right. One that takes everything for the same
    class, surely, has the best entropy of all: choose by it under a guard alone. Runs are
    comparable only where the same loss acts on their logits: label smoothing raises it.

    Args:
        evidence: Outputs of a run.
        key: Unused.

    Returns:
        The score in nats.

    References:
        Morerio et al., Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain
        Adaptation, ICLR (2018).
    """
    del key
    return entropies(evidence.target_val.logits)[0]
