"""MixVal: whether predictions of mixed pictures are those of their larger part."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.evaluation.evidence import Evidence

LARGER_SHARE = 0.55


def mixval(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores a network by what it makes of mixed pictures of the target.

        x = .55 a + .45 b,   right where the class predicted of x is that predicted of a
        score = (share right of pairs of one predicted class + share of pairs of two) / 2

    Every validation picture of the target is mixed once, as a, with another, b. Pairs of one
    predicted class probe how dense its neighbourhood is, pairs of two where the border between them
    lies. Higher is better; it lies between 0 and 1. A kind of which there is no pair counts as 0,
    so that a network which predicts one class alone has at most 1/2.

    It assumes that pictures may be mixed, and that the border between good clusters lies midway.
    The paper ranks the models that it compares by each share and averages the ranks; a score of one
    run must be a number, and averages the shares.

    Args:
        evidence: Outputs of a run.
        key: Draws the pairs. The same key for all evaluations and runs keeps the pairs the same.

    Returns:
        The score. It takes a forward pass of the validation part.

    References:
        Hu et al., Mixed Samples as Probes for Unsupervised Model Selection in Domain Adaptation,
        NeurIPS (2023), algorithm 1 and its authors' code, for the share of .55.
    """
    images, classes = evidence.target_val_image, jnp.argmax(evidence.target_val.logits, axis=-1)
    # Neighbours in a random order: a permutation might mix pictures with themselves.
    order = jax.random.permutation(key, len(images))
    images, other = images[order], images[jnp.roll(order, 1)]
    own, of_other = classes[order], classes[jnp.roll(order, 1)]
    mixed = LARGER_SHARE * images + (1 - LARGER_SHARE) * other
    is_right = jnp.argmax(evidence.predict(mixed).logits, axis=-1) == own

    def share(pairs):
        return jnp.sum(is_right & pairs) / jnp.maximum(jnp.sum(pairs), 1)

    return (share(own == of_other) + share(own != of_other)) / 2
