"""What selection rules and reports must know of the scores; it is read without loading JAX."""

from typing import NamedTuple


class Fact(NamedTuple):
    """What is known of a score.

    Attributes:
        higher_is_better: Its direction.
        optimised_by: Alignment terms and whole methods whose loss is made of the same quantity, by
            the names of `dann.method`. A run with one of them has a good score whether or not it
            predicts well, so the score must not choose between it and others.
        reference: Where it was proposed, in short; its function's docstring says more.
    """

    higher_is_better: bool
    optimised_by: tuple[str, ...]
    reference: str


# Entropy minimisers; those that train on their own predictions as labels are such, too.
SURE = (
    *("entropy", "information_maximization", "minimum_class_confusion", "nuclear_norm"),
    *("fixmatch", "mean_teacher", "adamatch", "shot", "tent"),
)
DIVERSE = ("information_maximization", "nuclear_norm", "shot")
DISCREPANT = ("mmd", "joint_mmd")
ADVERSARIAL = (
    *("domain_adversarial", "conditional_adversarial", "multi_source_adversarial"),
    "partial_adversarial",
)
WEIGHTED = ("importance_weighting",)

FACTS: dict[str, Fact] = {
    "entropy": Fact(False, SURE, "Morerio et al., ICLR 2018"),
    "information_maximization": Fact(True, SURE, "Bridle et al., NIPS 1991"),
    "diversity": Fact(True, DIVERSE, "Bridle et al., NIPS 1991"),
    "soft_neighborhood_density": Fact(True, (), "Saito et al., SND, ICCV 2021"),
    "nuclear_norm": Fact(True, SURE, "Cui et al., BNM, CVPR 2020"),
    "mmd": Fact(False, DISCREPANT, "Gretton et al., JMLR 2012"),
    "proxy_a_distance": Fact(False, ADVERSARIAL, "Ben-David et al., NIPS 2006"),
    "importance_weighted_validation": Fact(False, WEIGHTED, "Sugiyama et al., IWCV, JMLR 2007"),
    "deep_embedded_validation": Fact(False, WEIGHTED, "You et al., DEV, ICML 2019"),
    "deep_embedded_validation_uncontrolled": Fact(False, WEIGHTED, "You et al., DEV, ICML 2019"),
    "class_clustering": Fact(True, ("shot",), "Musgrave et al., arXiv 2208.07360"),
    "rank_me": Fact(True, (), "Garrido et al., RankMe, ICML 2023"),
    "mixval": Fact(True, (), "Hu et al., MixVal, NeurIPS 2023"),
}
