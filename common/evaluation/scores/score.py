"""All label-free scores by name."""

from __future__ import annotations

from collections.abc import Collection

from jaxtyping import Array, Float, Key

from common.evaluation.evidence import Evidence, Scorer, complete
from common.evaluation.scores.class_clustering import class_clustering
from common.evaluation.scores.deep_embedded_validation import (
    deep_embedded_validation,
    deep_embedded_validation_uncontrolled,
)
from common.evaluation.scores.diversity import diversity
from common.evaluation.scores.entropy import entropy
from common.evaluation.scores.importance_weighted_validation import importance_weighted_validation
from common.evaluation.scores.information_maximization import information_maximization
from common.evaluation.scores.mixval import mixval
from common.evaluation.scores.mmd import mmd
from common.evaluation.scores.nuclear_norm import nuclear_norm
from common.evaluation.scores.proxy_a_distance import proxy_a_distance
from common.evaluation.scores.rank_me import rank_me
from common.evaluation.scores.soft_neighborhood_density import soft_neighborhood_density
from common.method import fold_in_name

COMPUTE: tuple[Scorer, ...] = (
    entropy,
    information_maximization,
    diversity,
    soft_neighborhood_density,
    nuclear_norm,
    mmd,
    proxy_a_distance,
    importance_weighted_validation,
    deep_embedded_validation,
    deep_embedded_validation_uncontrolled,
    class_clustering,
    rank_me,
    mixval,
)
# What else is known of them stands in `FACTS`, which is read without loading JAX.
SCORES: dict[str, Scorer] = {compute.__name__: compute for compute in COMPUTE}


# Those that read the evidence's domain classifier, those that read outputs on the training parts,
# which it is fitted on, and those that read pictures; the others read the validation parts alone.
WEIGHED = (
    *("proxy_a_distance", "importance_weighted_validation", "deep_embedded_validation"),
    "deep_embedded_validation_uncontrolled",
)
OF_TRAINING = ("mmd", *WEIGHED)
OF_PICTURES = ("mixval",)


def compute_scores(
    evidence: Evidence, key: Key[Array, ""], names: Collection[str] = tuple(SCORES)
) -> dict[str, Float[Array, ""]]:
    """Computes scores of one run.

    Args:
        evidence: Its outputs; what the scores share is fitted here.
        key: Draws whatever is random; each score has its own part of it.
        names: Which scores.

    Returns:
        The scores by name.
    """
    if set(names) & set(WEIGHED):
        evidence = complete(evidence, fold_in_name(key, "domain_classifier"))
    return {name: SCORES[name](evidence, fold_in_name(key, name)) for name in names}
