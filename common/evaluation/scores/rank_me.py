"""RankMe: in how many directions features vary."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from common.evaluation.evidence import Evidence
from common.linear_algebra import singular_values

# Added to each share, as in the paper.
SMALLEST_SHARE = 1e-7


def rank_me(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores features by their effective rank.

        score = exp(-sum_k p_k log p_k),   p_k = s_k / sum_i s_i + 1e-7

    with s the singular values of the features of the target's validation examples, a row each, not
    centred. Higher is better; it lies between 1, where all features are multiples of one another,
    and the smaller of their number and the number of examples.

    It assumes that collapse is what makes features bad, and was made for self-supervised training,
    to compare runs of one method. Supervised training gathers each class at a point, which lowers
    the rank of good features too. Runs are comparable within one network and number of examples.

    Args:
        evidence: Outputs of a run.
        key: Unused.

    Returns:
        The score, in directions.

    References:
        Garrido et al., RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised
        Representations by Their Rank, ICML (2023), equation 1; the paper takes source features.
    """
    del key
    values = singular_values(evidence.target_val.features)
    total = jnp.sum(values)
    share = values / jnp.where(total > 0, total, 1.0) + SMALLEST_SHARE
    return jnp.exp(-jnp.sum(share * jnp.log(share)))
