"""The comparison as a table for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.experiment.reporting.row import BASELINES, Row

SELECTION_TITLES = {
    "last": "the weights after the last step",
    "source_val": "best source validation accuracy, the latest of equal ones",
    "oracle": "uses target labels; for comparison only",
}


HEADER = ("method", "seeds", "target accuracy", "sd", "minus source_only", "gap covered")


def format_table(summary: Mapping[str, Any]) -> str:
    """Writes the comparison for a terminal.

    Args:
        summary: What `summarize` returns.

    Returns:
        Plain text, at most 100 columns wide: by task and selection a table in percent and points,
        then what failed or is missing.
    """
    lines = [] if summary["rows"] else ["no finished runs"]
    for task in summary["tasks"]:
        lines += [f"{task['experiment']}: {task['task']}", ""]
        for selection, rows in sections_of(summary, task).items():
            lines += [selection_title(selection), *_align([HEADER, *map(row_cells, rows)])]
            lines += [*remarks_on(rows), ""]
    lines += wrong_with(summary)
    printable = ["".join(c if c.isprintable() else " " for c in line) for line in lines]
    folded = [textwrap.wrap(line, 100) if len(line) > 100 else [line] for line in printable]
    return "\n".join(part for parts in folded for part in parts).rstrip()


def wrong_with(summary: Mapping[str, Any]) -> list[str]:
    """Lists what failed, is missing, or is odd.

    Args:
        summary: What `summarize` returns, with or without `figures` in each task.

    Returns:
        A sentence for each run that is not done, each note, and each figure that is missing.
    """
    wrong = [
        f"{state}: {run['experiment']}/{run['run']}: {run['reason']}"
        for state in ("failed", "incomplete")
        for run in summary[state]
    ]
    wrong += summary["notes"]
    return wrong + [
        f"{task['task']}: no figure {name}: {figure['reason']}"
        for task in summary["tasks"]
        for name, figure in task.get("figures", {}).items()
        if "reason" in figure
    ]


def _align(table: Sequence[Sequence[str]]) -> list[str]:
    """Aligns columns; a first cell that is too wide gets a line of its own."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    widths[0] = min(widths[0], 100 - 2 * (len(widths) - 1) - sum(widths[1:]))
    lines = []
    for name, *cells in table:
        rest = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True))
        if len(name) > widths[0]:
            lines.append(name)
            name = ""
        lines.append(f"{name.ljust(widths[0])}  {rest}".rstrip())
    return lines


def write_percent(value: float | None, sign: str = "") -> str:
    """Writes a share in percent.

    Args:
        value: A share, or None.
        sign: `+` to write the sign of positive numbers.

    Returns:
        The percentage with one digit, or a dash.
    """
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def write_estimate(found: Mapping[str, Any] | None, sign: str = "") -> str:
    """Writes a mean and its interval, in percent or points.

    Args:
        found: Something with `mean` and `ci95`, or None.
        sign: `+` to write the sign of positive numbers.

    Returns:
        Such as `48.7 [44.1, 53.0]`, or a dash.
    """
    if found is None:
        return "-"
    ends = ", ".join(write_percent(end, sign) for end in found["ci95"] or ())
    return write_percent(found["mean"], sign) + (f" [{ends}]" if ends else "")


def row_cells(row: Row) -> list[str]:
    """Writes a row of the main tables.

    Args:
        row: A row of `summary.json`.

    Returns:
        One text for each column of `HEADER`, in percent and points.
    """
    accuracy = row["target_accuracy"]
    interval = accuracy["ci95"]
    half = f" ± {write_percent((interval[1] - interval[0]) / 2)}" if interval else ""
    return [
        row["name"],
        str(row["n"]),
        write_percent(accuracy["mean"]) + half,
        write_percent(accuracy["sd"]),
        write_estimate(row["difference_from_source_only"], "+"),
        write_estimate(row["gap_covered"]),
    ]


def sections_of(summary: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Returns the rows of a task by selection.

    Args:
        summary: What `summarize` returns.
        task: One of its tasks.

    Returns:
        Rows by selection, in the order of the selections.
    """
    sections: dict[str, list[Row]] = {}
    for row in summary["rows"]:
        if (row["experiment"], row["task"]) == (task["experiment"], task["task"]):
            sections.setdefault(row["selection"], []).append(row)
    return sections


def remarks_on(rows: Iterable[Row]) -> list[str]:
    """Says what must be known beside a table.

    Args:
        rows: The table's rows.

    Returns:
        Sentences without a full stop.
    """
    few, worse, over_statistics = [], [], []
    for row in rows:
        few += [] if row["target_accuracy"]["ci95"] else [row["name"]]
        worse += [row["name"]] if row["negative_transfer"] else []
        difference = row["difference_from_statistics_only"]
        if row["method"] not in BASELINES and difference:
            over_statistics.append(f"{row['name']} {write_estimate(difference, '+')}")
    said = {
        "fewer than three seeds, so no interval": few,
        "negative transfer, the interval of the difference lies below 0": worse,
        "minus statistics_only": over_statistics,
    }
    return [f"{text}: {', '.join(names)}" for text, names in said.items() if names]


def selection_title(selection: str) -> str:
    """Explains a selection.

    Args:
        selection: Its name.

    Returns:
        The name, with what it is in brackets.
    """
    return f"{selection} ({SELECTION_TITLES.get(selection, 'a score that needs no target label')})"
