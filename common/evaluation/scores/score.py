"""All label-free scores by name, with their directions and the methods that optimise them."""

from __future__ import annotations

from typing import NamedTuple

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


class Score(NamedTuple):
    """One label-free score.

    Attributes:
        compute: From evidence and a key to the score of one run at one step.
        higher_is_better: Its direction.
        optimised_by: Alignment terms and whole methods whose loss is made of the same quantity, by
            the names of `dann.method`. A run with one of them has a good score whether or not it
            predicts well, so the score must not choose between it and others.
        reference: Where it was proposed, in short; its function's docstring says more.
    """

    compute: Scorer
    higher_is_better: bool
    optimised_by: tuple[str, ...]
    reference: str


# Entropy minimisers; those that train on their own predictions as labels are such, too.
SURE = (
    *("entropy", "information_maximization", "minimum_class_confusion", "nuclear_norm"),
    *("fixmatch", "adamatch", "shot", "tent"),
)
DIVERSE = ("information_maximization", "nuclear_norm", "shot")
DISCREPANT = ("mmd", "joint_mmd")
ADVERSARIAL = (
    *("domain_adversarial", "conditional_adversarial", "multi_source_adversarial"),
    "partial_adversarial",
)

SCORES: dict[str, Score] = {
    "entropy": Score(entropy, False, SURE, "Morerio et al., ICLR 2018"),
    "information_maximization": Score(
        information_maximization, True, SURE, "Bridle et al., NIPS 1991"
    ),
    "diversity": Score(diversity, True, DIVERSE, "Bridle et al., NIPS 1991"),
    "soft_neighborhood_density": Score(
        soft_neighborhood_density, True, (), "Saito et al., SND, ICCV 2021"
    ),
    "nuclear_norm": Score(nuclear_norm, True, SURE, "Cui et al., BNM, CVPR 2020"),
    "mmd": Score(mmd, False, DISCREPANT, "Gretton et al., JMLR 2012"),
    "proxy_a_distance": Score(proxy_a_distance, False, ADVERSARIAL, "Ben-David et al., NIPS 2006"),
    "importance_weighted_validation": Score(
        importance_weighted_validation, False, (), "Sugiyama et al., IWCV, JMLR 2007"
    ),
    "deep_embedded_validation": Score(
        deep_embedded_validation, False, (), "You et al., DEV, ICML 2019"
    ),
    "deep_embedded_validation_uncontrolled": Score(
        deep_embedded_validation_uncontrolled, False, (), "You et al., DEV, ICML 2019"
    ),
    "class_clustering": Score(
        class_clustering, True, ("shot",), "Musgrave et al., arXiv 2208.07360"
    ),
    "rank_me": Score(rank_me, True, (), "Garrido et al., RankMe, ICML 2023"),
    "mixval": Score(mixval, True, (), "Hu et al., MixVal, NeurIPS 2023"),
}


def compute_scores(evidence: Evidence, key: Key[Array, ""]) -> dict[str, Float[Array, ""]]:
    """Computes all scores of one run.

    Args:
        evidence: Its outputs; what the scores share is fitted here.
        key: Draws whatever is random; each score has its own part of it.

    Returns:
        The scores by name.
    """
    evidence = complete(evidence, fold_in_name(key, "domain_classifier"))
    return {
        name: score.compute(evidence, fold_in_name(key, name)) for name, score in SCORES.items()
    }
