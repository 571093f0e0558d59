"""What a config may ask of scores, the guard and selection rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.evaluation.scores.score import SCORES
from common.experiment.guard import SHARES
from common.experiment.selection_rule import KEPT_AS_IT_GOES, RULES, scores_of
from common.legal import check_name, check_number
from common.task_kind import OF_CLASSES
from common.training.evaluation import score_names

# `last` is never better than what comes after it.
STOPPING_RULES = tuple(rule for rule in RULES if rule != "last")


def check_selection(config: Mapping[str, Any]) -> None:
    """Refuses scores, rules and bounds of the guard that cannot be.

    Args:
        config: The resolved config.

    Raises:
        ValueError: With the key, the value and what would be right.
    """
    evaluation, has_classes = config["evaluation"], config["task"]["kind"] in OF_CLASSES
    check_name("config.evaluation.stop_by", evaluation["stop_by"], STOPPING_RULES)
    for index, name in enumerate(evaluation["scores"]):
        check_name(f"config.evaluation.scores[{index}]", name, SCORES)
    for index, rule in enumerate(evaluation["keep"]):
        if rule == "consensus":
            raise ValueError(
                f"config.evaluation.keep[{index}] is 'consensus', whose choice among earlier "
                "evaluations changes with every later one, when their weights are gone; leave it "
                "out"
            )
        check_name(f"config.evaluation.keep[{index}]", rule, KEPT_AS_IT_GOES)
    for name, bound in evaluation["guard"].items():
        most = {"most": 1.0} if name in SHARES else {}
        check_number(f"config.evaluation.guard.{name}", bound, **most)
    computed = score_names(config)
    asked = {"keep": evaluation["keep"]} if has_classes else {}
    if evaluation["patience"]:
        asked["stop_by"] = [evaluation["stop_by"]]
    for key, rules in asked.items():
        for rule in rules:
            missing = [name for name in scores_of(rule) if name not in computed]
            if missing:
                raise ValueError(
                    f"config.evaluation.{key} names {rule!r}, but this run does not compute the "
                    f"score {missing[0]}: add it to config.evaluation.scores, with examples in "
                    "config.evaluation.score_examples and classes as its task, or name another rule"
                )
