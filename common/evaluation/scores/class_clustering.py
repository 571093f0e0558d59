"""Class clustering: whether features lie in clusters that the predictions follow."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from common.evaluation.evidence import Evidence
from common.linear_algebra import squared_distances


def class_clustering(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores features by their mean silhouette with the predicted classes for clusters.

        silhouette_i = (b_i - a_i) / max(a_i, b_i)

    a_i the mean distance of example i's features to the others of its predicted class, b_i the
    least mean distance to those of another class; 0 for the only example of a class. Over the
    target's validation examples. Higher is better; it lies between -1 and 1.

    It assumes that classes are clusters of the features, of which the head cuts none. With one
    predicted class there is no other to compare with: that counts as the worst, -1. It says nothing
    of whether a cluster has the right name.

    Args:
        evidence: Outputs of a run.
        key: Unused.

    Returns:
        The score.

    References:
        Rousseeuw, Silhouettes: A Graphical Aid to the Interpretation and Validation of Cluster
        Analysis, Journal of Computational and Applied Mathematics 20 (1987); clusters of target
        features against predictions as a score: Musgrave et al., Three New Validators and a
        Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation, 2022 (arXiv 2208.07360).
    """
    del key
    features, logits = evidence.target_val.features, evidence.target_val.logits
    # Distances within rounding errors of the features are none.
    rounding = 10 * jnp.finfo(features.dtype).eps * jnp.mean(jnp.sum(features**2, axis=-1))
    features = features - features.mean(0)[None]
    squares = squared_distances(features, features)
    squares = jnp.where(jnp.eye(len(features), dtype=bool) | (squares < rounding), 0.0, squares)

    belongs = jnp.argmax(logits, axis=-1)[:, None] == jnp.arange(logits.shape[1])[None]
    to_class = jnp.sqrt(squares) @ belongs.astype(features.dtype)
    sizes = belongs.sum(0)
    own_size = belongs @ sizes
    within = jnp.sum(to_class * belongs, axis=1) / jnp.maximum(own_size - 1, 1)
    is_other = ~belongs & (sizes > 0)[None]
    between = jnp.min(jnp.where(is_other, to_class / jnp.maximum(sizes, 1)[None], jnp.inf), axis=1)
    larger = jnp.maximum(within, between)
    silhouettes = jnp.where(
        (own_size > 1) & (larger > 0), (between - within) / jnp.where(larger > 0, larger, 1.0), 0.0
    )
    return jnp.where(jnp.sum(sizes > 0) > 1, jnp.mean(silhouettes), -1.0)
