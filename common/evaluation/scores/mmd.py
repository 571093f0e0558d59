"""Maximum mean discrepancy: how far the domains' features are from each other."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from common.evaluation.evidence import Evidence
from common.linear_algebra import squared_distances

# Pairs are many: of each domain at most so many examples are taken, evenly from the whole part.
EXAMPLES = 250
# Of the mean squared distance, the widest kernel's width; each of the others has half the last.
WIDEST, KERNELS = 4.0, 5


def mmd(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores features by the squared distance between the domains' mean embeddings.

        k(x, y) = sum over u in {1/4, 1/2, 1, 2, 4} of exp(-|x - y|^2 / (u m))
        score = mean_{i != j} k(s_i, s_j) + mean_{i != j} k(t_i, t_j) - 2 mean_{i, j} k(s_i, t_j)

    over features s of the source's and t of the target's training examples, of each at most 250,
    m the mean of |x - y|^2 over all pairs of different ones. Lower is better; between equal domains
    it is 0 on average, so it may be negative. The term of the same name minimises the same on its
    batches.

    It assumes that what brings the domains together keeps the classes apart. Features that are all
    the same have no distance: choose by it under a guard alone.

    Args:
        evidence: Outputs of a run.
        key: Unused.

    Returns:
        The score, the unbiased estimate. 0 where a part has a single example.

    References:
        Gretton et al., A Kernel Two-Sample Test, JMLR 13 (2012), lemma 6; the kernels of Long et
        al., Learning Transferable Features with Deep Adaptation Networks (DAN), ICML (2015).
    """
    del key
    source, target = (
        part.features[:: -(-len(part.features) // EXAMPLES)]
        for part in (evidence.source_train, evidence.target_train)
    )
    if min(len(source), len(target)) < 2:
        return jnp.zeros((), source.dtype)
    both = jnp.concatenate([source, target])
    # Distances within rounding errors of the features are none.
    precision = jnp.finfo(both.dtype)
    rounding = 10 * precision.eps * jnp.mean(jnp.sum(both**2, axis=-1)) + precision.tiny
    # Of centred values, whose squares are the smallest, so that rounding errors are too.
    center = both.mean(0)[None]
    source, target = source - center, target - center
    within = [_different(squared_distances(own, own)) for own in (source, target)]
    between = squared_distances(source, target)
    total = sum(jnp.sum(distances) for distances in within) + 2 * jnp.sum(between)
    width = WIDEST * jnp.maximum(total / (len(both) * (len(both) - 1)), rounding)
    inside = sum(
        jnp.sum(_different(_kernel(own, width))) / (len(own) * (len(own) - 1)) for own in within
    )
    return inside - 2 * jnp.mean(_kernel(between, width))


def _different(pairs: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Sets what an example has with itself to 0."""
    return jnp.where(jnp.eye(len(pairs), dtype=bool), 0.0, pairs)


def _kernel(distances: Float[Array, "left right"], width: Array) -> Float[Array, "left right"]:
    """Sums the kernels. Half the width is the square, which costs less than an exponential."""
    kernel = jnp.exp(-distances / width)
    total = kernel
    for _ in range(KERNELS - 1):
        kernel = kernel * kernel
        total = total + kernel
    return total
