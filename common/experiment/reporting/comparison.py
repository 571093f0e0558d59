"""Two sets of runs, such as those of two commits or two configs, row by row and seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.experiment import statistics
from common.experiment.json_file import as_json
from common.experiment.reporting.grouping import (
    differing_keys,
    group_by_task,
    method_of,
    rows_of,
    settings_of,
    with_same_data,
)
from common.experiment.reporting.row import values_of
from common.experiment.reporting.run_record import Run, RunsBySeed, part_of, primary_of
from common.experiment.reporting.summary import hardware_of
from common.experiment.selection import DEFAULT_RULE, ORACLES

# By task, by row, runs by seed.
Tasks = dict[str, dict[str, RunsBySeed]]


def compare_runs(first: Sequence[Run], second: Sequence[Run]) -> dict[str, Any]:
    """Compares the rows that two sets of runs have in common.

    Rows are the same if they have the same task and name; if a method is one row in both, it is the
    same row whatever its settings. The names of the experiments do not count.

    Args:
        first: Runs of the one set.
        second: Runs of the other.

    Returns:
        The content of `comparison.json`: `rows` with the paired difference second minus first of
        each rule that both have, the settings in which they differ, and the seeds that could not
        be paired; `only_in_first`, `only_in_second`, `settings` that differ in every row alike, and
        `origins`, the commits, versions, hardware and unfinished runs of both.
    """
    tasks = [_tasks_of(runs) for runs in (first, second)]
    rows, matched = [], ({}, {})
    for task in (name for name in tasks[0] if name in tasks[1]):
        for one, two in _match(tasks[0][task], tasks[1][task]):
            rows += _compare_row(task, one, two, tasks[0][task][one], tasks[1][task][two])
            matched[0][task, one] = matched[1][task, two] = True
    only_in_first, only_in_second = (
        [
            {"task": task, "row": row, "seeds": sorted(members)}
            for task, own in tasks[side].items()
            for row, members in own.items()
            if (task, row) not in matched[side]
        ]
        for side in (0, 1)
    )
    rows.sort(key=lambda row: _place(row["rule"]))
    return as_json(
        {
            "rows": rows,
            "settings": _shared_differences(rows),
            "only_in_first": only_in_first,
            "only_in_second": only_in_second,
            "origins": [_describe_origin(runs) for runs in (first, second)],
        }
    )


def _place(rule: str) -> int:
    """Puts the default rule first and the oracles last; all others keep their order."""
    return 0 if rule == DEFAULT_RULE else 2 if rule in ORACLES else 1


def _tasks_of(runs: Sequence[Run]) -> Tasks:
    """Sorts runs into rows; tasks of several experiments are told apart by the experiment."""
    tasks: Tasks = {}
    for state in ("done", "measured"):
        groups = group_by_task(runs, state)
        names = [task for _, task in groups]
        for (experiment, task), group in groups.items():
            name = task if names.count(task) == 1 else f"{experiment}: {task}"
            tasks[name] = dict(rows_of(group)[0])
    return tasks


def _match(first: Mapping[str, RunsBySeed], second: Mapping[str, RunsBySeed]):
    """Pairs the names of rows that are the same row."""
    pairs = [(name, name) for name in first if name in second]
    left = [
        {
            method: [row for row in own if method_of(row) == method]
            for method in dict.fromkeys(map(method_of, own))
        }
        for own in (first, second)
    ]
    for method, rows in left[0].items():
        others = left[1].get(method, [])
        if len(rows) == len(others) == 1 and rows != others:
            pairs.append((rows[0], others[0]))
    return pairs


def _compare_row(
    task: str, one: str, two: str, first: RunsBySeed, second: RunsBySeed
) -> list[dict[str, Any]]:
    """Compares a row under each rule that both sets have."""
    metric = primary_of(next(iter(first.values())).result)
    settings = [settings_of(first), settings_of(second)]
    differing = {
        key: [own.get(key) for own in settings] for key in differing_keys(settings) if key != "task"
    }
    paired = with_same_data(first, second)
    rules = [
        dict.fromkeys(rule for run in runs.values() for rule in run.result["selections"])
        for runs in (first, second)
    ]
    entries = []
    for rule in (name for name in rules[0] if name in rules[1]):
        key = f"oracle/target_test_{metric}"
        values = [values_of(runs, rule, key) for runs in (first, second)]
        common = {seed: value for seed, value in values[0].items() if seed in paired}
        difference = statistics.paired_difference(values[1], common)
        entries.append(
            {
                "task": task,
                "row": one if one == two else f"{one} / {two}",
                "rule": rule,
                "metric": metric,
                "first": _mean(values[0], difference),
                "second": _mean(values[1], difference),
                "difference": difference and difference._asdict(),
                "other_data": sorted(values[0].keys() & values[1].keys() - paired.keys()),
                "only_in_first": sorted(values[0].keys() - values[1].keys()),
                "only_in_second": sorted(values[1].keys() - values[0].keys()),
                "settings": differing,
            }
        )
    return entries


def _mean(values: Mapping[int, float], difference: statistics.Difference | None) -> float | None:
    """Averages over the shared seeds; over all where there is none."""
    seeds = list(values) if difference is None else difference.seeds
    return sum(values[seed] for seed in seeds) / len(seeds) if seeds else None


def _shared_differences(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Returns the settings that differ in the same way in every row."""
    if not rows:
        return {}
    return {
        key: values
        for key, values in rows[0]["settings"].items()
        if all(row["settings"].get(key) == values for row in rows)
    }


def _describe_origin(runs: Sequence[Run]) -> dict[str, Any]:
    """Says where a set of runs comes from, and what is missing in it."""
    begun = [run for run in runs if run.about]
    versions = [part_of(run.about, "versions", dict) for run in begun]
    starts = [start for run in runs for start in part_of(run.about, "starts", list)]
    return {
        "runs": len(runs),
        "commits": sorted({str(run.about.get("git_commit", "unknown")) for run in begun}),
        "versions": sorted({f"{name} {own[name]}" for own in versions for name in own}),
        "hardware": sorted({hardware_of(start) for start in starts if isinstance(start, dict)}),
        "unfinished": [
            {"run": run.name, "experiment": run.folder.parent.name, "reason": run.reason}
            for run in runs
            if run.state in ("failed", "incomplete")
        ],
    }
