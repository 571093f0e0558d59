"""Soft neighbourhood density (SND): whether every prediction has many like it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.evaluation.evidence import Evidence

TEMPERATURE = 0.05


def soft_neighborhood_density(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores predictions by how many others each has for a neighbour, softly counted.

        S_ij = <p_i, p_j> / (|p_i| |p_j|) / T,   S_ii = -1 / T,   T = 0.05
        score = mean over i of H(softmax_j S_ij)

    Over the target's validation examples, p the softmax of their logits. Higher is better; it lies
    between 0 and log(n - 1) for n examples, so that runs are comparable at equal n alone.

    It assumes that a good network forms dense neighbourhoods, of equal classes. It cannot tell
    them from one neighbourhood of everything: a network that gives all examples the same prediction
    has the largest score there is, log(n - 1). Choose by it under a guard alone.

    Args:
        evidence: Outputs of a run.
        key: Unused.

    Returns:
        The score in nats. The authors' code adds 1e-5 within the logarithm, which lowers it by at
        most n times that.

    References:
        Saito et al., Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft
        Neighborhood Density, ICCV (2021), and its authors' code.
    """
    del key
    p = jax.nn.softmax(evidence.target_val.logits)
    p = p / jnp.linalg.norm(p, axis=-1, keepdims=True)
    similarities = jnp.where(jnp.eye(len(p), dtype=bool), -1.0, p @ p.T) / TEMPERATURE
    log_share = jax.nn.log_softmax(similarities)
    return -jnp.mean(jnp.sum(jnp.exp(log_share) * log_share, axis=-1))
