"""Several tasks of one experiment together: averages, and comparisons over tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from common.experiment import statistics
from common.experiment.reporting.grouping import BASELINES, LAST_METHODS, method_of
from common.experiment.reporting.published import average_of_published
from common.experiment.reporting.row import Row
from common.experiment.statistics import MIN_TASKS

# From this number of tasks on, the sections of single tasks are short.
MANY_TASKS = 5
# What every other row is compared with, where the rows are there.
REFERENCES = ("source_only", "linear_svm")

# Ends the name of a row that is made of the rows which reverse validation chose.
CHOSEN = ", chosen"

Table = dict[str, dict[str, Row]]  # by task, by name


def compare_across(
    rows: Sequence[Row], choices: Sequence[Mapping[str, Any]], experiment: str
) -> dict[str, Any] | None:
    """Averages and compares the rows of an experiment over its tasks.

    Where settings of a method were chosen task by task, the chosen rows make one row, in the place
    of those that they were chosen from. A task in which the method has a single row needs no
    choice.

    Args:
        rows: Rows of `summary.json`; those at the last step are read.
        choices: `choices` of `summary.json`.
        experiment: Which experiment.

    Returns:
        An entry of `across` in `summary.json`, or None for fewer than two tasks.
    """
    by_task: Table = {}
    for row in rows:
        if row["experiment"] == experiment and row["selection"] == "last":
            by_task.setdefault(row["task"], {})[row["name"]] = row
    if len(by_task) < 2:
        return None
    own_choices = [choice for choice in choices if choice["experiment"] == experiment]
    by_task = _add_chosen(by_task, own_choices)
    every = list(dict.fromkeys(name for own in by_task.values() for name in own))
    missing = {name: [task for task in by_task if name not in by_task[task]] for name in every}
    names = [name for name in every if not missing[name]]
    accuracy = {
        name: [own[name]["target_accuracy"]["mean"] for own in by_task.values()] for name in names
    }
    comparisons, refused = _compare(by_task, accuracy)
    return {
        "experiment": experiment,
        "tasks": list(by_task),
        "rows": names,
        "left_out": {name: tasks for name, tasks in missing.items() if tasks},
        "accuracy": accuracy,
        "average": {name: float(np.mean(values)) for name, values in accuracy.items()},
        "published_average": average_of_published(by_task),
        "comparisons": comparisons,
        "superiority": {} if refused else _superiority(by_task, names),
        "ranks": _rank(accuracy),
        "refused": refused,
    }


def _add_chosen(by_task: Table, choices: Sequence[Mapping[str, Any]]) -> Table:
    """Puts the rows that were chosen in the place of those that they were chosen from."""
    for method in dict.fromkeys(choice["method"] for choice in choices):
        chosen = {choice["task"]: choice["row"] for choice in choices if choice["method"] == method}
        for task, own in by_task.items():
            rows = [name for name in own if method_of(name) == method]
            if task not in chosen and len(rows) == 1:
                chosen[task] = rows[0]
        if all(chosen.get(task) in own for task, own in by_task.items()):
            by_task = {
                task: {
                    f"{method}{CHOSEN}" if name == chosen[task] else name: row
                    for name, row in own.items()
                    if method_of(name) != method or name == chosen[task]
                }
                for task, own in by_task.items()
            }
    return by_task


def _compare(
    by_task: Table, accuracy: Mapping[str, Sequence[float]]
) -> tuple[list[dict[str, Any]], str | None]:
    """Compares rows with their references over tasks; says why where that is refused."""
    count = len(by_task)
    refused = None
    if count < MIN_TASKS:
        refused = (
            f"No interval and no test over tasks: there are {count}, and {MIN_TASKS} are needed. "
            f"Even if a row were better in all {count}, the smallest p value of a signed-rank test "
            f"would be {2 / 2**count:.2g}."
        )
    comparisons = []
    for method in REFERENCES:
        entries = []
        for name in accuracy:
            base = _reference(name, method, list(accuracy))
            if base is None or method_of(name) in BASELINES:
                continue
            pairs = [_differences(own[name], own[base]) for own in by_task.values()]
            if not all(pairs):
                continue
            # Equal means whose seeds were added in another order are no win.
            values = np.round([np.mean(own) for own in pairs], statistics.RANK_DECIMALS).tolist()
            entries.append(
                {
                    "row": name,
                    "against": base,
                    "n": count,
                    "mean": float(np.mean(values)),
                    "values": values,
                    "wins": sum(value > 0 for value in values),
                    **({} if refused else _test(values)),
                }
            )
        if not refused:
            corrected = statistics.correct_by_holm(
                {entry["row"]: entry["signed_rank_p_value"] for entry in entries}
            )
            for entry in entries:
                entry["holm_p_value"] = corrected[entry["row"]]
                entry["superiority"] = _superior(by_task, entry["row"], entry["against"])
        comparisons += entries
    return comparisons, refused


def _rank(accuracy: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Ranks the rows that train on no target label, or says why that is refused."""
    values = {name: own for name, own in accuracy.items() if method_of(name) not in LAST_METHODS}
    refused = statistics.refuse_ranks(values)
    return {"refused": refused} if refused else statistics.critical_difference(values)._asdict()


def _test(differences: Sequence[float]) -> dict[str, Any]:
    return {
        "ci95": statistics.confidence_interval(differences),
        "p_value": statistics.t_test(differences),
        "signed_rank_p_value": statistics.signed_rank_test(differences),
    }


def _reference(name: str, method: str, names: Sequence[str]) -> str | None:
    """Names the row of a method that another is compared with: the only one, or of its settings."""
    rows = [row for row in names if method_of(row) == method and method_of(name) != method]
    if len(rows) > 1:
        rows = [row for row in rows if row.partition(",")[2] == name.partition(",")[2]]
    return rows[0] if len(rows) == 1 else None


def _differences(row: Row, other: Row) -> list[float]:
    """Subtracts the accuracies of another row, over the seeds that share their data."""
    values, base = (
        {
            (seed, data): value
            for seed, data, value in zip(
                *(own["target_accuracy"][key] for key in ("seeds", "data", "values")), strict=True
            )
        }
        for own in (row, other)
    )
    return [values[key] - base[key] for key in values if key in base]


def _superior(by_task: Table, row: str, other: str) -> float | None:
    """Returns the probability that a row is superior; None where a task has too few seeds."""
    chances = [
        statistics.win_probability(_differences(own[row], own[other])) for own in by_task.values()
    ]
    known = [chance for chance in chances if chance is not None]
    return statistics.probability_of_superiority(known) if len(known) == len(chances) else None


def _superiority(by_task: Table, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Compares each pair of rows; those that train on target labels are left out."""
    rows = [name for name in names if method_of(name) not in LAST_METHODS]
    return {
        row: {other: _superior(by_task, row, other) for other in rows if other != row}
        for row in rows
    }


def with_many_tasks(across: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names the experiments that have so many tasks that the single ones are told in short.

    Args:
        across: `across` of `summary.json`.

    Returns:
        Names of experiments.
    """
    return {entry["experiment"] for entry in across if len(entry["tasks"]) >= MANY_TASKS}
