"""What a config may ask of scores, the guard and selection rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.data.reader import is_text
from common.evaluation.scores.score import OF_PICTURES, SCORES
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
    asked = {"keep": evaluation["keep"]} if has_classes else {}
    if evaluation["patience"]:
        asked["stop_by"] = [evaluation["stop_by"]]
    for key, rules in asked.items():
        for rule in rules:
            check_computed(f"config.evaluation.{key}", rule, config)


def check_computed(place: str, rule: str, config: Mapping[str, Any]) -> None:
    """Refuses a rule, or a score, that reads what a run does not compute.

    Args:
        place: Where it is named.
        rule: Its name.
        config: The resolved config of the run.

    Raises:
        ValueError: With the key that would have to change.
    """
    computed = score_names(config)
    missing = [name for name in scores_of(rule) if name not in computed]
    if not missing:
        return
    if config["task"]["kind"] not in OF_CLASSES:
        reason = f"config.task.kind is {config['task']['kind']!r}, and scores are about classes"
    elif not config["evaluation"]["score_examples"]:
        reason = "config.evaluation.score_examples is 0; set it"
    elif missing[0] in OF_PICTURES and is_text(config["source"]):
        reason = "config.source is of texts, which it cannot mix"
    else:
        reason = "add it to config.evaluation.scores"
    raise ValueError(
        f"{place} names {rule!r}, but this run does not compute the score {missing[0]}: {reason}, "
        "or name another"
    )
