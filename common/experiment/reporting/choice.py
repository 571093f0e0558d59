"""Which settings of a method a label-free score chooses, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.experiment import statistics
from common.experiment.reporting.cell import escape, markdown_table, write_percent
from common.experiment.reporting.grouping import differing_keys, method_of, settings_of
from common.experiment.reporting.row import values_of
from common.experiment.reporting.run_record import Run, RunsBySeed, is_number
from common.experiment.selection import visible

SELECTION = "last"
SCORE = "score/reverse_validation"  # higher is better
VALIDATION = "oracle/target_val_accuracy"
# Scores that differ by less are equal.
DECIMALS = 12

HEADER = (
    *("task", "chosen row", "seeds", "score", "accuracy"),
    *("best row by target labels", "its accuracy", "regret", "rank correlation"),
)
EXPLANATION = (
    "Of the rows of one method, the one with the highest mean score of reverse validation is "
    "chosen: the accuracy on the source's validation examples after training back from the "
    "target's predicted labels. Of equal scores the first row in the order of the tables is taken. "
    "The columns from accuracy on read target labels and chose nothing; accuracies are those on "
    "the target's test examples at the last step, in percent. Regret is the accuracy of the row "
    "that the target's validation labels choose (its test labels, where runs lack the former) "
    "minus that of the chosen one, in points. Rank correlation is Spearman's, of mean score and "
    "mean accuracy over the rows."
)


def choose_settings(members: Mapping[str, RunsBySeed]) -> list[dict[str, Any]]:
    """Chooses a row of each method that has several, by reverse validation.

    Args:
        members: Runs of one task by seed, by row.

    Returns:
        An entry of `choices` in `summary.json`, without its task, for each method of which at
        least two rows have scores.
    """
    choices = []
    for method in dict.fromkeys(map(method_of, members)):
        rows = {name: runs for name, runs in members.items() if method_of(name) == method}
        scores = {name: own for name, runs in rows.items() if (own := _scores(runs))}
        if len(scores) < 2:
            continue
        means = {name: _mean(own) for name, own in scores.items()}
        row, tied = _pick(means)
        settings = {name: settings_of(rows[name]) for name in scores}
        judged = _judge(row, {name: rows[name] for name in scores}, means)
        choices.append(
            {
                "method": method,
                "row": row,
                "settings": {
                    key: settings[row].get(key) for key in differing_keys(settings.values())
                },
                "score": means[row],
                "n": len(scores[row]),
                "scores": means,
                "tied": tied,
                "same_seeds": len({tuple(own) for own in scores.values()}) == 1,
                "without_score": [name for name in rows if name not in scores],
                **judged,
            }
        )
    return choices


def _scores(runs: RunsBySeed) -> dict[int, float]:
    """Returns the score of each seed; what was computed from target labels is taken away first."""
    found = {seed: _without_labels(run).get(SCORE) for seed, run in sorted(runs.items())}
    return {seed: float(score or 0) for seed, score in found.items() if is_number(score)}


def _without_labels(run: Run) -> dict[str, Any]:
    return visible([run.result["selections"].get(SELECTION, {})])[0]


def _mean(values: Mapping[int, float]) -> float:
    return float(np.mean(list(values.values())))


def _pick(scores: Mapping[str, float]) -> tuple[str, list[str]]:
    """Takes the highest score, the first of equal ones; returns also the rows that are equal."""
    rounded = {name: round(score, DECIMALS) for name, score in scores.items()}
    highest = [name for name, score in rounded.items() if score == max(rounded.values())]
    return highest[0], highest if len(highest) > 1 else []


def _judge(row: str, rows: Mapping[str, RunsBySeed], scores: Mapping[str, float]) -> dict[str, Any]:
    """Says how good a choice was, by target labels."""
    validation, test = (
        {name: _mean(own) for name in rows if (own := values_of(rows[name], SELECTION, *key))}
        for key in ((VALIDATION,), ())
    )
    if row not in test:
        return {"regret": None, "oracle": None}
    split = "target_val" if len(validation) == len(rows) else "target_test"
    by = validation if split == "target_val" else test
    best = max((name for name in by if name in test), key=by.__getitem__)
    common = [name for name in rows if name in test]
    return {
        "regret": test[best] - test[row],
        "oracle": {
            "accuracy": test[row],
            "accuracies": test,
            "row": best,
            "row_accuracy": test[best],
            "chosen_by": split,
            "rank_correlation": statistics.rank_correlation(
                [scores[name] for name in common], [test[name] for name in common]
            ),
        },
    }


def write_choices(choices: Sequence[Mapping[str, Any]]) -> list[str]:
    """Writes the section of the choices.

    Args:
        choices: `choices` of `summary.json`.

    Returns:
        Lines of Markdown; none without a choice.
    """
    if not choices:
        return []
    lines = ["## Chosen without target labels", *markdown_table(HEADER, map(choice_cells, choices))]
    lines += [f"{escape(remark)}  " for remark in remarks_on_choices(choices)]
    return [*lines, "", escape(EXPLANATION), ""]


def choice_cells(choice: Mapping[str, Any]) -> list[str]:
    """Writes a choice.

    Args:
        choice: One of `choices`.

    Returns:
        One text for each column of `HEADER`.
    """
    oracle = choice["oracle"] or {}
    correlation = oracle.get("rank_correlation")
    return [
        choice["task"],
        choice["row"],
        str(choice["n"]),
        f"{choice['score']:.3f}",
        write_percent(oracle.get("accuracy")),
        oracle.get("row", "-"),
        write_percent(oracle.get("row_accuracy")),
        write_percent(choice["regret"], "+"),
        "-" if correlation is None else f"{correlation:+.2f}",
    ]


def _one_for_all(experiment: str, choices: Sequence[Mapping[str, Any]]) -> list[str]:
    """Says which row of a method has the highest mean score over tasks that have the same rows."""
    rows = list(choices[0]["scores"])
    if any(set(choice["scores"]) != set(rows) for choice in choices):
        return []
    means = {row: float(np.mean([choice["scores"][row] for choice in choices])) for row in rows}
    row, _ = _pick(means)
    right = [choice["oracle"]["accuracies"].get(row) for choice in choices]
    if None in right:
        return []
    listed = ", ".join(f"{name} {score:.4f}" for name, score in means.items())
    return [
        f"{experiment}: one row for all tasks would be {row}, by the mean score ({listed}); it is "
        f"right on {write_percent(float(np.mean(right)))} % on average."
    ]


def remarks_on_choices(choices: Sequence[Mapping[str, Any]]) -> list[str]:
    """Says what must be known beside the choices.

    Args:
        choices: `choices` of `summary.json`.

    Returns:
        Sentences: averages over tasks, the best row for all tasks, ties, rows without a score, and
        unequal seeds.
    """
    remarks = []
    for experiment, method in dict.fromkeys((c["experiment"], c["method"]) for c in choices):
        own = [
            choice
            for choice in choices
            if (choice["experiment"], choice["method"]) == (experiment, method) and choice["oracle"]
        ]
        if len(own) > 1:
            chosen, best = (
                write_percent(float(np.mean([choice["oracle"][key] for choice in own])))
                for key in ("accuracy", "row_accuracy")
            )
            remarks.append(
                f"{experiment}: the chosen rows of {method} are right on {chosen} % on average "
                f"over {len(own)} tasks, those that target labels choose on {best} %."
            )
            remarks += _one_for_all(experiment, own)
    for choice in choices:
        place = f"{choice['task']}, {choice['method']}"
        if choice["tied"]:
            remarks.append(
                f"{place}: equal scores, the first is taken: {'; '.join(choice['tied'])}."
            )
        if choice["without_score"]:
            remarks.append(
                f"{place}: no score, not chosen from: {'; '.join(choice['without_score'])}."
            )
        if not choice["same_seeds"]:
            remarks.append(f"{place}: the rows have scores of different seeds.")
    return remarks
