"""Information maximization: confident predictions that use every class."""

from __future__ import annotations

from jaxtyping import Array, Float

from common.entropy import entropies
from common.evaluation.evidence import Evidence


def mutual_information(logits: Float[Array, "example class"]) -> Float[Array, ""]:
    """Returns `H(mean p) - mean H(p)`, p the softmax of the logits, in nats."""
    unsure, diverse = entropies(logits)
    return diverse - unsure


def information_maximization(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores predictions by `H(mean p) - mean H(p)`, `H(p) = -sum_k p_k log p_k`.

    Over the target's validation examples, p the softmax of their logits. This is the mutual
    information between example and prediction. Higher is better; it lies between 0, also for a
    collapsed network, and the logarithm of the number of classes.

    It assumes that classes are about equally frequent in the target, and that the same loss acts on
    the logits of the runs that are compared: label smoothing lowers it.

    Args:
        evidence: Outputs of a run.
        key: Unused.

    Returns:
        The score in nats.

    References:
        Bridle, Heading and MacKay, Unsupervised Classifiers, Mutual Information and 'Phantom
        Targets', NIPS (1991); used to choose adapted models in Musgrave et al., Three New
        Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation, 2022
        (arXiv 2208.07360).
    """
    del key
    return mutual_information(evidence.target_val.logits)
