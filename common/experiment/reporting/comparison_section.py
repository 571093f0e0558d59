"""Two sets of runs side by side, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from common.experiment.reporting.cell import (
    escape,
    group_by_reason,
    markdown_table,
    write_estimate,
    write_percent,
)
from common.experiment.selection_rule import DEFAULT_RULE

HEADER = (*("task", "row", "rule", "A", "B", "B minus A", "shared seeds", "paired t test, p"),)
SIDES = ("A", "B")
EXPLANATION = (
    "Means on the target's test examples over the seeds that both sides have with the same data "
    "and splits; where there is none, over all seeds of a side, without a difference. Accuracies "
    "in percent and their differences in points, other metrics in their own unit; B minus A with "
    "its 95 % interval from three seeds on. oracle reads target labels and is there for comparison."
)


def write_comparison(compared: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Writes the comparison.

    Args:
        compared: From `compare_runs`.
        names: What the two sides are called, such as their folders.

    Returns:
        Lines of Markdown.
    """
    lines = [f"# {escape(names[0])} against {escape(names[1])}", ""]
    for side, name, origin in zip(SIDES, names, compared["origins"], strict=True):
        lines.append(
            f"- {side} is {escape(name)}: {origin['runs']} runs, "
            f"{len(origin['unfinished'])} of them unfinished; commit "
            f"{escape(', '.join(origin['commits']) or 'unknown')}; hardware "
            f"{escape(', '.join(origin['hardware']) or 'unknown')}"
        )
    lines += ["", "## Differences of shared rows"]
    if compared["rows"]:
        lines += [*markdown_table(HEADER, map(comparison_cells, compared["rows"])), EXPLANATION, ""]
    else:
        lines += ["", "No row is on both sides.", ""]
    lines += _list_unpaired(compared)
    lines += _list_settings(compared)
    lines += _list_versions(compared["origins"])
    lines += ["## Missing", ""]
    missing = [
        f"- only in {side}: {escape(own['task'])}: {escape(own['row'])}"
        for side, key in zip(SIDES, ("only_in_first", "only_in_second"), strict=True)
        for own in compared[key]
    ]
    missing += [
        f"- {side}: {escape(text)}"
        for side, origin in zip(SIDES, compared["origins"], strict=True)
        for text in group_by_reason(origin["unfinished"], "unfinished")
    ]
    return [*lines, *(missing or ["Nothing."]), ""]


def comparison_cells(row: Mapping[str, Any]) -> list[str]:
    """Writes a row of the comparison.

    Args:
        row: One of `rows` of `compare_runs`.

    Returns:
        One text for each column of `HEADER`.
    """
    difference = row["difference"]
    written = [_write(row[side], row["metric"]) for side in ("first", "second")]
    if difference is None:
        return [row["task"], row["row"], row["rule"], *written, "-", "0", "-"]
    p_value = difference["p_value"]
    return [
        *(row["task"], row["row"], row["rule"], *written),
        _write_difference(difference, row["metric"]),
        str(difference["n"]),
        "-" if p_value is None else f"{p_value:.2g}",
    ]


def _write(value: float | None, metric: str) -> str:
    if value is None or metric == "accuracy":
        return write_percent(value)
    return f"{value:.4g}"


def _write_difference(found: Mapping[str, Any], metric: str) -> str:
    if metric == "accuracy":
        return write_estimate(found, "+")
    ends = ", ".join(f"{end:+.4g}" for end in found["ci95"] or ())
    return f"{found['mean']:+.4g}" + (f" [{ends}]" if ends else "")


def _list_unpaired(compared: Mapping[str, Any]) -> list[str]:
    """Names the seeds of shared rows that are in no pair."""
    reasons = {
        "other_data": "have other data or splits",
        "only_in_first": "are in A alone",
        "only_in_second": "are in B alone",
    }
    said = [
        f"- {escape(row['task'])}: {escape(row['row'])}: seeds "
        f"{', '.join(map(str, row[key]))} {text}, so they are in no pair"
        for row in compared["rows"]
        if row["rule"] == DEFAULT_RULE
        for key, text in reasons.items()
        if row[key]
    ]
    return [*said, ""] if said else []


def _list_settings(compared: Mapping[str, Any]) -> list[str]:
    """Lists the settings that differ: first those of all rows, then those of single ones."""
    lines = ["## Settings that differ", ""]
    shared = compared["settings"]
    cells = [["all shared rows", key, *map(json.dumps, own)] for key, own in shared.items()]
    cells += [
        [f"{row['task']}: {row['row']}", key, *map(json.dumps, own)]
        for row in compared["rows"]
        if row["rule"] == DEFAULT_RULE
        for key, own in row["settings"].items()
        if key not in shared
    ]
    if not cells:
        return [*lines, "None.", ""]
    return [*lines, *markdown_table(("row", "setting", *SIDES), cells)]


def _list_versions(origins: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lists the packages whose versions differ."""
    own = [set(origin["versions"]) for origin in origins]
    lines = ["## Versions that differ", ""]
    said = [
        f"- only {side}: {escape(', '.join(sorted(mine - other)))}"
        for side, mine, other in zip(SIDES, own, own[::-1], strict=True)
        if mine - other
    ]
    return [*lines, *(said or ["None."]), ""]
