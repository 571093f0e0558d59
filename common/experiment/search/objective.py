"""What a search optimises: a score that reads no target label, at the step that a rule chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.evaluation.scores.fact import FACTS
from common.experiment import folder, json_file
from common.experiment.run_choice import SCALES_LOGITS, optimised_scores
from common.experiment.search.study import WORST
from common.experiment.selection import ORACLE, RULES
from common.experiment.selection_check import check_computed
from common.experiment.selection_rule import is_flagged, scores_of
from common.legal import check_name

Config = Mapping[str, Any]

# Scores that take more than an evaluation, and what turns them on.
COSTLY = {
    "reverse_validation": "evaluation.reverse_validation",
    "cross_validation": "data.folds",
}


def is_maximised(score: str) -> bool:
    """Says in which direction a search goes.

    Args:
        score: Name of the score.

    Returns:
        Whether more of it is better.
    """
    # What takes more than an evaluation is an accuracy.
    return score in COSTLY or FACTS[score].higher_is_better


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
    check_name("--score", score, (*FACTS, *COSTLY))
    check_name("--selection", rule, RULES)
    check_computed("--score", score, config)
    check_computed("--selection", rule, config)
    recorded = ("last", *config["evaluation"]["keep"])
    if score in FACTS and score not in scores_of(rule) and rule not in recorded:
        raise ValueError(
            f"--selection is {rule!r}, at whose step a run does not record the score {score}; it "
            f"does for {', '.join(recorded)}, of which all but last stand in config.evaluation.keep"
        )
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
    if score in COSTLY:
        return []
    found = []
    if optimised_scores(score, config):
        found.append(
            f"{config['method']} trains for the score {score}, which says little of how well such "
            "a run does"
        )
    changed = [key for key in keys if key.split(".")[0] in SCALES_LOGITS]
    if changed:
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
        The mean over seeds. `WORST` where the collapse guard flags what the rule chose in a run, or
        leaves it nothing to choose. None where a run failed or has no such score.
    """
    if not all(map(folder.is_done, configs)):
        return None
    chosen = [
        json_file.read_json(folder.run_folder(config) / "result.json")["selections"].get(rule)
        for config in configs
    ]
    if any(own is None or is_flagged(own) for own in chosen):
        return WORST
    values = [own.get(f"score/{score}") for own in chosen]
    known = [float(value) for value in values if value is not None]
    if len(known) < len(configs) or not np.isfinite(known).all():
        return None
    return float(np.mean(known))
