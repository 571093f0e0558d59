"""What a search maximizes: a score that reads no target label, at the step that a rule chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.evaluation.scores.score import SCORES
from common.experiment import folder
from common.experiment.selection import ORACLE, RULES
from common.legal import check_name

Config = Mapping[str, Any]

# Scores that take more than an evaluation, and what turns them on.
COSTLY = {
    "reverse_validation": "evaluation.reverse_validation",
    "cross_validation": "data.folds",
}
# Terms that maximize a score themselves, or what it is made of: it says little of such a row.
OPTIMIZED_BY = ("entropy", "information_maximization", "minimum_class_confusion", "nuclear_norm")


def check_objective(score: str, rule: str, config: Config) -> None:
    """Refuses an objective that reads target labels, or that runs do not have.

    Args:
        score: Name of the score.
        rule: Name of the rule that chooses the step.
        config: The resolved config of a run.

    Raises:
        ValueError: In one sentence.
    """
    for flag, name in (("score", score), ("selection", rule)):
        if name.startswith(ORACLE.rstrip("/")):
            raise ValueError(
                f"--{flag} is {name!r}, which reads target labels; a search may not, since its "
                "result would be chosen by what it is judged by"
            )
    check_name("--score", score, (*SCORES, *COSTLY))
    check_name("--selection", rule, RULES)
    if key := COSTLY.get(score):
        group, name = key.split(".")
        if not config[group][name]:
            raise ValueError(
                f"--score={score} needs config.{key}, which is {config[group][name]!r}"
            )
        if rule != "last":
            raise ValueError(f"--score={score} is that of the last step; use --selection=last")


def warnings_of(score: str, config: Config, keys: Sequence[str]) -> list[str]:
    """Says why the result of a search may mislead.

    Args:
        score: Name of the score.
        config: The resolved config of a run.
        keys: What the search changes.

    Returns:
        Sentences.
    """
    found = []
    terms = [name for name in config["alignment"] if name in OPTIMIZED_BY]
    if terms and score in SCORES:
        found.append(
            f"config.alignment.{terms[0]} raises the score {score} by itself, so that the score "
            "says little of how well a run does"
        )
    changed = [key for key in keys if key.startswith("objective.")]
    if changed and score in SCORES:
        found.append(
            f"config.{changed[0]} changes the logits of right and wrong predictions alike: scores "
            f"such as {score} cannot be compared between its values"
        )
    return found


def value_of(configs: Sequence[Config], score: str, rule: str) -> float | None:
    """Reads the objective of finished runs, which differ in their seed alone.

    Args:
        configs: The resolved configs.
        score: Name of the score.
        rule: Name of the rule that chooses the step.

    Returns:
        The mean over seeds; None where a run failed or has no such score.
    """
    values = []
    for config in configs:
        if not folder.is_done(config):
            return None
        result = folder.read_json(folder.run_folder(config) / "result.json")
        values.append(result["selections"].get(rule, {}).get(f"score/{score}"))
    known = [float(value) for value in values if value is not None]
    if len(known) < len(configs) or not np.isfinite(known).all():
        return None
    return float(np.mean(known))
