"""Choosing between runs, such as hyper-parameters, by the rules that choose a step within one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from common.evaluation.scores.fact import FACTS
from common.experiment.selection import visible
from common.experiment.selection_rule import (
    ACCURACY,
    RULES,
    UNGUARDED,
    Primary,
    Record,
    is_flagged,
    rank_average,
    scores_of,
)
from common.legal import check_name

# What trades the fit to the source against alignment: source accuracy cannot weigh it.
TRADED = ("method", "domains", "alignment", "adaptation")
# What changes what a value of a score means.
SCALES_LOGITS = ("objective",)


class RankedRun(NamedTuple):
    """A run and what a rule thinks of it.

    Attributes:
        name: The run.
        index: Which of its records the rule chose.
        value: What runs are ordered by, higher is better: of `consensus` the mean rank.
    """

    name: str
    index: int
    value: float


def rank_runs(
    records_by_run: Mapping[str, Sequence[Record]],
    rule: str,
    *,
    configs: Mapping[str, Mapping[str, Any]],
    num_source_val: int,
    step_rule: str | None = None,
    primary: Primary = ACCURACY,
) -> list[RankedRun]:
    """Orders runs by what a rule reads of the evaluation that it chooses in each.

    Args:
        records_by_run: Evaluation records by run, each in the order of their steps.
        rule: A key of `RULES`, but `last`, which compares nothing.
        configs: Their resolved configs.
        num_source_val: Size of the source's validation split.
        step_rule: Another rule that chooses the evaluations, such as `last`.
        primary: The metric that the rules may read.

    Returns:
        The runs, the best first, and of equal ones the first given first. Runs in which the rule
        chooses nothing are left out, and so are runs that a guarded rule finds flagged.

    Raises:
        ValueError: The rule must not choose between these runs.
    """
    check_name("rule", rule, tuple(name for name in RULES if name != "last"))
    check_name("step_rule", step_rule or rule, RULES)
    refuse(rule, configs)
    chosen = {}
    for name, records in records_by_run.items():
        stripped = visible(records)
        index = RULES[step_rule or rule](stripped, num_source_val=num_source_val, primary=primary)
        is_guarded = rule != "source_val" and not rule.endswith(UNGUARDED)
        if index is not None and not (is_guarded and is_flagged(stripped[index])):
            chosen[name] = index, stripped[index]

    if rule == "source_val":
        keys = [(f"source_val/{primary.name}", primary.higher_is_better)]
    else:
        keys = [(f"score/{name}", FACTS[name].higher_is_better) for name in scores_of(rule)]
    table = [
        {
            name: float(record[key]) * (1 if higher_is_better else -1)
            for name, (_, record) in chosen.items()
            if record.get(key) is not None
        }
        for key, higher_is_better in keys
    ]
    values = rank_average(table) if rule == "consensus" else table[0]
    ranked = [RankedRun(name, chosen[name][0], value) for name, value in values.items()]
    return sorted(ranked, key=lambda run: -run.value)


def refuse(rule: str, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses a choice that would be no fair one.

    Args:
        rule: A key of `RULES`.
        configs: The resolved configs of the runs.

    Raises:
        ValueError: With the reason.
    """
    if rule == "source_val":
        if key := _differing(configs, TRADED):
            raise ValueError(
                f"the rule source_val cannot choose between runs that differ in config.{key}: "
                "source accuracy falls as the domains are aligned; choose by a label-free score"
            )
        return
    for name, config in configs.items():
        if biased := optimised_scores(rule, config):
            raise ValueError(
                f"the rule {rule} cannot choose between runs of which {name} trains for "
                f"{', '.join(biased)}; choose by a score that none of them optimises"
            )
    if key := _differing(configs, SCALES_LOGITS):
        raise ValueError(
            f"the rule {rule} cannot choose between runs that differ in config.{key}, which "
            "changes how sure predictions are at the same accuracy"
        )


def optimised_scores(rule: str, config: Mapping[str, Any]) -> list[str]:
    """Names the scores of a rule that a run trains for, which flatters it.

    Args:
        rule: A rule; one that reads no score has none.
        config: The resolved config of the run.

    Returns:
        Names of scores.
    """
    trained = {*config.get("alignment", {}), *str(config.get("method", "")).split("+")}
    return [name for name in scores_of(rule) if trained & set(FACTS[name].optimised_by)]


def _differing(configs: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> str | None:
    """Names the first of some parts of a config that is not the same in all runs."""
    for key in keys:
        parts = [config.get(key) for config in configs.values()]
        if any(part != parts[0] for part in parts):
            return key
    return None
