"""What a label-free score may see of a run: everything but target labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float, Int, Key, Num

from common.density_ratio import DomainClassifier
from common.evaluation.domain_classifier import fit_domain_classifier
from common.method import Outputs


class Evidence(NamedTuple):
    """Outputs of one run's evaluated weights on parts of both domains.

    Source examples come with labels, target examples never do. Each part is a subsample that is
    the same for all scores, all evaluations of a run and all of its selection rules. Density
    ratios and domain classifiers are fitted on the training parts and judged on the validation
    parts, since a ratio fitted on the examples that it weighs is over-fitted.

    Attributes:
        source_train: Features and logits of source training examples, not augmented.
        source_train_label: Their classes.
        source_val: Features and logits of the source's validation examples.
        source_val_label: Their classes.
        target_train: Features and logits of unlabelled target training examples.
        target_val: Features and logits of the target's validation examples.
        target_val_image: Those examples as the network reads them.
        predict: From such images of the target to features and logits.
        domain_classifier: Tells the domains' features apart; `complete` fits it, once for all
            scores.
    """

    source_train: Outputs
    source_train_label: Int[Array, "source_train"]
    source_val: Outputs
    source_val_label: Int[Array, "source_val"]
    target_train: Outputs
    target_val: Outputs
    target_val_image: Num[Array, "target_val ..."]
    predict: Callable[[Num[Array, "example ..."]], Outputs]
    domain_classifier: DomainClassifier | None = None


# Returns one number of a run; a score's key draws whatever is random in it.
Scorer = Callable[[Evidence, Array], Float[Array, ""]]


def complete(evidence: Evidence, key: Key[Array, ""]) -> Evidence:
    """Fits what scores share.

    Args:
        evidence: Outputs of a run.
        key: Draws what the fit holds out. The same key at all evaluations of a run, and in all runs
            that are compared, keeps their difference free of the draw.

    Returns:
        The evidence with its domain classifier, fitted on the features of the training parts.
    """
    fitted = fit_domain_classifier(
        evidence.source_train.features, evidence.target_train.features, key
    )
    return evidence._replace(domain_classifier=fitted)


def classifier_of(evidence: Evidence) -> DomainClassifier:
    """Returns the domain classifier.

    Args:
        evidence: Completed evidence.

    Returns:
        Its classifier.

    Raises:
        ValueError: `complete` has not been called.
    """
    if evidence.domain_classifier is None:
        raise ValueError(
            "this score weighs examples by the evidence's domain classifier, which is not fitted; "
            "pass the evidence through common.evaluation.evidence.complete first"
        )
    return evidence.domain_classifier
