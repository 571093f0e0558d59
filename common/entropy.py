"""Entropies of predictions, which terms minimise and scores compare."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def entropies(
    logits: Float[Array, "batch class"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Computes how unsure predictions are, and how different from each other.

    Args:
        logits: Unnormalised log-probabilities.

    Returns:
        The mean entropy of the predictions, and the entropy of their mean, in nats.
    """
    log_p = jax.nn.log_softmax(logits)
    # The mean of a class that nothing is taken for may underflow; its logarithm must not.
    log_mean = jax.nn.logsumexp(log_p, axis=0) - jnp.log(log_p.shape[0])
    unsure = -jnp.mean(jnp.sum(jnp.exp(log_p) * log_p, axis=-1))
    return unsure, -jnp.sum(jnp.exp(log_mean) * log_mean)
