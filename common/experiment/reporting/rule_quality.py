"""How good the choices of label-free rules are: what they cost against the oracle's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from common.evaluation.scores.fact import FACTS
from common.experiment import statistics
from common.experiment.reporting.collapse import COLLAPSE, has_collapsed
from common.experiment.reporting.grouping import method_of
from common.experiment.reporting.rule_pool import (
    VALIDATION,
    Candidate,
    Pool,
    candidates_of,
    pools_of,
)
from common.experiment.reporting.run_record import ACCURACY, RunsBySeed, is_number
from common.experiment.run_choice import optimised_scores, rank_runs
from common.experiment.selection_rule import (
    DEFAULT_RULE,
    RULES,
    UNGUARDED,
    rank_average,
    scores_of,
    values_of,
)

# A score of whole runs, which chooses no step.
REVERSE_VALIDATION = "reverse_validation"
# Rules that compare no runs: the first has nothing to compare, and the second takes the settings
# that fit the source best, which are those that align least.
OF_STEPS_ALONE = ("last", "source_val")
# What chooses for comparison.
BY_LOT, BY_TEST, BY_VALIDATION = "by_lot", "oracle_test", "oracle"
COMPARISONS = (BY_VALIDATION, BY_TEST, BY_LOT)


class Choice(NamedTuple):
    """What a rule chose once.

    Attributes:
        seed: The seed of the runs that it chose from.
        regret: Test accuracy of the oracle's choice minus that of the rule's choice.
        collapsed: Whether the chosen weights had collapsed, as a share where there are several.
        biased: Whether one of the runs that it chose from trains for what the rule reads.
    """

    seed: int
    regret: float
    collapsed: float | None
    biased: bool


def judge_rules(members: Mapping[str, RunsBySeed]) -> dict[str, Any] | None:
    """Judges every rule by the target's labels.

    Args:
        members: Runs of one task by seed, by row.

    Returns:
        An entry of `rules` in `summary.json` without its task: the `default` rule; by rule the
        methods that are `trained_for` what it reads; and under `oracle` the `margin` below
        source_only that counts as collapsed, `scopes` with what the choices cost, and the
        `rank_correlation` of scores with accuracies. None where no run was scored.
    """
    candidates = candidates_of(members)
    if not candidates:
        return None
    rules = [rule for rule in RULES if _is_known(rule, candidates)]
    between = [rule for rule in rules if rule not in OF_STEPS_ALONE]
    whole = [REVERSE_VALIDATION] if _is_known(REVERSE_VALIDATION, candidates) else []
    scopes = {"step": _judge_steps(candidates, rules)}
    for scope, across in (("settings", False), ("methods", True)):
        pools = pools_of(candidates, across_methods=across)
        scopes[f"{scope}_at_last"] = _judge_pools(pools, [*between, *whole], at_last=True)
        scopes[scope] = _judge_pools(pools, between, at_last=False)
    configs = {method_of(own.name): own.run.config for own in candidates}
    return {
        "default": DEFAULT_RULE,
        "trained_for": {
            rule: [name for name, config in configs.items() if optimised_scores(rule, config)]
            for rule in between
        },
        "oracle": {
            "margin": COLLAPSE,
            "scopes": {name: scope for name, scope in scopes.items() if scope},
            "rank_correlation": {
                rule: _correlate(rule, candidates) for rule in (*rules, *whole) if rule != "last"
            },
        },
    }


def _is_known(rule: str, candidates: Sequence[Candidate]) -> bool:
    """Says whether some run has what a rule reads."""
    if rule in OF_STEPS_ALONE:
        return True
    keys = [f"score/{name}" for name in scores_of(rule) or (rule,)]
    return any(all(is_number(own.evaluations[-1].get(key)) for key in keys) for own in candidates)


def _has_collapsed(candidate: Candidate, accuracy: float) -> bool | None:
    return None if candidate.plain is None else has_collapsed(accuracy, candidate.plain)


def _judge_steps(candidates: Sequence[Candidate], rules: Sequence[str]) -> dict[str, Any]:
    """Judges the choice of the step within each run, as the runs made it when they were trained."""
    choices: dict[str, list[Choice]] = {rule: [] for rule in (*rules, *COMPARISONS)}
    for own in candidates:
        chosen = {
            rule: float(selection[ACCURACY])
            for rule, selection in own.run.result["selections"].items()
            if is_number(selection.get(ACCURACY))
        }
        best, seed = chosen.get(BY_VALIDATION), own.run.result["seed"]
        if best is None:
            continue
        tested = [record[ACCURACY] for record in own.evaluations]
        chosen[BY_TEST] = max(tested)
        for rule in (*rules, BY_VALIDATION, BY_TEST):
            if rule in chosen:
                bad = _has_collapsed(own, chosen[rule])
                biased = bool(optimised_scores(rule, own.run.config))
                choices[rule].append(Choice(seed, best - chosen[rule], bad, biased))
        choices[BY_LOT].append(_by_lot(seed, best, [(own, accuracy) for accuracy in tested]))
    return _sum_up(choices)


def _judge_pools(pools: Sequence[Pool], rules: Sequence[str], *, at_last: bool) -> dict[str, Any]:
    """Judges the choice between runs: at the last step of each, or with the step."""
    choices: dict[str, list[Choice]] = {rule: [] for rule in (*rules, *COMPARISONS)}
    for pool in pools:
        seed = next(iter(pool.values())).run.result["seed"]
        tried = [
            (own, record)
            for own in pool.values()
            for record in (own.evaluations[-1:] if at_last else own.evaluations)
        ]
        best = _best(tried, VALIDATION)[1][ACCURACY]
        chosen = {BY_VALIDATION: _best(tried, VALIDATION), BY_TEST: _best(tried, ACCURACY)}
        for rule in rules:
            if found := _choose(pool, rule, at_last=at_last):
                chosen[rule] = pool[found[0]], pool[found[0]].evaluations[found[1]]
        for rule, (own, record) in chosen.items():
            biased = any(optimised_scores(rule, other.run.config) for other in pool.values())
            bad = _has_collapsed(own, record[ACCURACY])
            choices[rule].append(Choice(seed, best - record[ACCURACY], bad, biased))
        accuracies = [(own, record[ACCURACY]) for own, record in tried]
        choices[BY_LOT].append(_by_lot(seed, best, accuracies))
    return _sum_up(choices) if pools else {}


def _best(tried: Sequence[tuple[Candidate, dict[str, Any]]], key: str) -> tuple[Candidate, Any]:
    return max(tried, key=lambda pair: pair[1][key])


def _by_lot(seed: int, best: float, tried: Sequence[tuple[Candidate, float]]) -> Choice:
    """Returns what a choice by lot costs on average."""
    bad = [_has_collapsed(own, accuracy) for own, accuracy in tried]
    known = [own for own in bad if own is not None]
    regret = best - float(np.mean([accuracy for _, accuracy in tried]))
    return Choice(seed, regret, float(np.mean(known)) if known else None, False)


def _choose(pool: Pool, rule: str, *, at_last: bool) -> tuple[str, int] | None:
    """Returns the row that a rule chooses, and the index of the evaluation; None without one."""
    records = {name: own.evaluations for name, own in pool.items()}
    if rule == REVERSE_VALIDATION:
        key = f"score/{rule}"
        scores = {
            name: own[-1][key] for name, own in records.items() if is_number(own[-1].get(key))
        }
        return (max(scores, key=scores.__getitem__), -1) if scores else None
    # It is judged even where it refuses to choose, to show whether that is wise.
    ranked = rank_runs(
        records, rule, configs={}, num_source_val=1, step_rule="last" if at_last else None
    )
    return (ranked[0].name, ranked[0].index) if ranked else None


def _sum_up(choices: Mapping[str, Sequence[Choice]]) -> dict[str, Any]:
    """Averages the choices of each rule.

    Choices of one seed share their data and their source_only, so the interval is that of the mean
    over seeds of the seeds' own means.
    """
    return {
        "choices": len(choices[BY_LOT]),
        "silent": [rule for rule, own in choices.items() if not own],
        "rules": {
            rule: {
                "n": len(own),
                "regret": _mean_over_seeds(own),
                "worst": max(choice.regret for choice in own),
                "collapsed": _share(choice.collapsed for choice in own),
                "biased": sum(choice.biased for choice in own),
            }
            for rule, own in choices.items()
            if own
        },
    }


def _mean_over_seeds(choices: Sequence[Choice]) -> dict[str, Any]:
    by_seed: dict[int, list[float]] = {}
    for choice in choices:
        by_seed.setdefault(choice.seed, []).append(choice.regret)
    means = [float(np.mean(own)) for own in by_seed.values()]
    return {
        "mean": float(np.mean([choice.regret for choice in choices])),
        "ci95": statistics.confidence_interval(means),
    }


def _share(collapsed: Iterable[float | None]) -> float | None:
    """Returns the share of collapsed choices; None where nothing is known of any."""
    known = [float(own) for own in collapsed if own is not None]
    return float(np.mean(known)) if known else None


def _correlate(rule: str, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Correlates what a rule reads with the accuracy on the target's test examples."""
    within = [_correlation(rule, own.evaluations) for own in candidates]
    known = [own for own in within if own is not None]
    return {
        "within_run": float(np.mean(known)) if known else None,
        "checkpoints": _correlation(
            rule, [record for own in candidates for record in own.evaluations]
        ),
        "runs": _correlation(rule, [own.evaluations[-1] for own in candidates]),
    }


def _correlation(rule: str, records: Sequence[Mapping[str, Any]]) -> float | None:
    guarded = not rule.endswith(UNGUARDED)
    read = [
        values_of(records, f"score/{name}", FACTS[name].higher_is_better, guarded=guarded)
        for name in scores_of(rule)
    ]
    if rule == "source_val":
        read = [values_of(records, "source_val/accuracy", True)]
    elif rule == REVERSE_VALIDATION:
        read = [values_of(records, f"score/{rule}", True)]
    values = rank_average(read) if len(read) > 1 else read[0]
    accuracies = [records[index][ACCURACY] for index in values]
    return statistics.rank_correlation(list(values.values()), accuracies)
