"""Nuclear norm (BNM): predictions that are sure and of high rank."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.evaluation.evidence import Evidence
from common.linear_algebra import singular_values


def nuclear_norm(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores predictions by `||P||_* / n`, the sum of P's singular values over the examples.

    P holds the softmax of the logits of the n validation examples of the target, a row each. Higher
    is better; at most sqrt(K / n) for K classes, where predictions are sure and use the classes
    alike. Sure predictions of one class have 1 / sqrt(n), and unsure ones 1 / sqrt(K n). Runs are
    comparable at equal n alone.

    It assumes that classes are about equally frequent in the target, and that the same loss acts on
    the logits of the runs that are compared.

    Args:
        evidence: Outputs of a run.
        key: Unused.

    Returns:
        The score.

    References:
        Cui et al., Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under
        Label Insufficient Situations, CVPR (2020); as a score, Musgrave et al., Three New
        Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation, 2022
        (arXiv 2208.07360).
    """
    del key
    p = jax.nn.softmax(evidence.target_val.logits)
    return jnp.sum(singular_values(p)) / len(p)
