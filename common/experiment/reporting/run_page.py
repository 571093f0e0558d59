"""A page of each run: what it was, what each rule chose in it, and what it warned of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.experiment.reporting.cell import escape, markdown_table, write_percent
from common.experiment.reporting.grouping import group_by_task, rows_of
from common.experiment.reporting.run_record import (
    Run,
    flags_of,
    is_number,
    part_of,
    primary_of,
)
from common.experiment.reporting.summary import hardware_of, warnings_of

# A run that is done under these states says so in one word.
FINISHED = {"done": "done", "measured": "done", "unlabelled": "done, no target labels"}
HEADER = ("run", "experiment", "row", "seed", "state", "target test at the last step", "warnings")
CHOICE_HEADER = ("rule", "step", "target test", "source validation")
EXPLANATION = (
    "One line a run folder. What stands under target test was computed from target labels and "
    "chose nothing. The settings of a run are those of its row; where it differs from the row's "
    "first run, its page says in what."
)


def describe_runs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Says of each run what its page shows.

    Args:
        runs: All runs, finished or not.

    Returns:
        An entry a run, by experiment, task, row and seed; those without a row last.
    """
    entries, placed = [], set()
    for state in FINISHED:
        for group in group_by_task(runs, state).values():
            for row, members in rows_of(group)[0].items():
                first = next(iter(members.values()))
                for _, run in sorted(members.items()):
                    entries.append(_describe(run, row, first))
                    placed.add(run.folder)
    others = [run for run in runs if run.folder not in placed]
    return entries + [_describe(run, None, run) for run in others]


def _describe(run: Run, row: str | None, first: Run) -> dict[str, Any]:
    own, reference = _flatten(run.config), _flatten(first.config)
    starts = [start for start in part_of(run.about, "starts", list) if isinstance(start, dict)]
    metric = primary_of(run.result)
    chosen = {
        str(rule): {
            "step": values.get("step"),
            "target_test": values.get(f"oracle/target_test_{metric}"),
            "source_val": values.get(f"source_val_{metric}"),
        }
        for rule, values in part_of(run.result, "selections", dict).items()
        if isinstance(values, dict)
    }
    config = {name: run.config.get(name) for name in ("method", "seed", "source", "target")}
    return {
        "run": run.name,
        "experiment": str(run.result.get("experiment", run.folder.parent.name)),
        "task": str(run.result.get("task", f"{config['source']}>{config['target']}")),
        "row": row,
        "method": run.result.get("method", config["method"]),
        "seed": run.result.get("seed", config["seed"]),
        "state": FINISHED.get(run.state, run.state),
        "reason": run.reason,
        "metric": metric,
        "steps": run.result.get("steps"),
        "differs": {
            key: own.get(key) for key in own | reference if own.get(key) != reference.get(key)
        },
        "selections": chosen,
        "warnings": warnings_of(run),
        "flags": flags_of(run.records),
        "notes": list(run.notes),
        "commit": run.about.get("git_commit"),
        "hardware": list(dict.fromkeys(map(hardware_of, starts))),
        "versions": part_of(run.about, "versions", dict),
    }


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns every setting but where and how fast it was computed."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= {} if prefix + key == "runtime" else _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def write_runs(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Writes a table of all runs and a page of each.

    Args:
        entries: From `describe_runs`.

    Returns:
        Lines of Markdown; none without a run.
    """
    if not entries:
        return []
    table = markdown_table(HEADER, map(_cells, entries))
    pages = []
    for index, own in enumerate(entries):
        name = escape(own["run"])
        table[index + 3] = table[index + 3].replace(f"| {name} |", f"| [{name}](#run_{index}) |", 1)
        pages += _page(own, f"run_{index}")
    return ["## Runs", *table, EXPLANATION, "", *pages]


def _cells(own: Mapping[str, Any]) -> list[str]:
    last = own["selections"].get("last", {})
    value = _write_metric(last.get("target_test"), own["metric"])
    row = own["row"] or own["method"] or "-"
    line = [own["run"], own["experiment"], row, own["seed"], own["state"], value]
    return ["-" if cell is None else str(cell) for cell in [*line, len(own["warnings"])]]


def _write_metric(value: Any, metric: str) -> str:
    if not is_number(value):
        return "-"
    return write_percent(value) if metric == "accuracy" else f"{value:.4g}"


def _page(own: Mapping[str, Any], anchor: str) -> list[str]:
    lines = [f'<a id="{anchor}"></a>', ""]
    lines += [f"<details><summary>{' '.join(str(own['run']).split())}</summary>", ""]
    said = {
        "Task": own["task"],
        "Row": own["row"] or f"{own['method'] or 'unknown'} (in no table)",
        "Seed": own["seed"],
        "State": own["state"] + (f": {own['reason']}" if own["reason"] else ""),
        "Steps": own["steps"],
        "Commit": own["commit"],
        "Hardware": "; ".join(own["hardware"]),
        "Versions": ", ".join(f"{name} {version}" for name, version in own["versions"].items()),
        "Differs from the row's first run in": ", ".join(
            f"{key}={json.dumps(value)}" for key, value in own["differs"].items()
        ),
    }
    lines += [
        f"- {name}: {escape(value) if value not in (None, '') else 'unknown'}"
        for name, value in said.items()
        if value not in (None, "") or name in ("Commit", "Hardware", "Seed")
    ]
    lines += [f"- Warning: {escape(text)}" for text in own["warnings"]]
    lines += [
        f"- Flagged: {escape(flag)}, at {_list_steps(steps)}"
        for flag, steps in own["flags"].items()
    ]
    lines += [f"- Note: {escape(text)}" for text in own["notes"]]
    if own["selections"]:
        cells = [
            [rule, "-" if values["step"] is None else str(values["step"])]
            + [_write_metric(values[key], own["metric"]) for key in ("target_test", "source_val")]
            for rule, values in own["selections"].items()
        ]
        lines += markdown_table(CHOICE_HEADER, cells)
    return [*lines, "", "</details>", ""]


def _list_steps(steps: Sequence[int]) -> str:
    if len(steps) == 1:
        return f"step {steps[0]}"
    return f"{len(steps)} evaluations from step {steps[0]} to step {steps[-1]}"


def count_planned(runs: Iterable[Run]) -> dict[str, tuple[int, int]]:
    """Counts the runs of each experiment.

    Args:
        runs: All runs, those that a sweep planned and did not begin among them.

    Returns:
        By the experiment's folder name, how many runs are done, and how many there should be.
    """
    counts: dict[str, tuple[int, int]] = {}
    for run in runs:
        folder = Path(run.folder).parent.name
        done, planned = counts.get(folder, (0, 0))
        counts[folder] = (done + (run.state in FINISHED), planned + 1)
    return counts
