"""What went wrong: collapsed, worse than without adaptation, not finite, failed, or missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from common.experiment.reporting.cell import escape, group_by_reason, write_estimate
from common.experiment.reporting.collapse import COLLAPSE
from common.experiment.reporting.ranking import rank_rows
from common.experiment.reporting.table import wrong_with
from common.experiment.resume import MIXED

NOT_FINITE = re.compile(r"\b(not finite|non-?finite|nan|infinit\w*|inf)\b", re.IGNORECASE)
LISTED = 12
TITLES = {
    "not_finite": "Not finite",
    "failed": "Failed",
    "collapsed": "Collapsed or flagged",
    "negative_transfer": "Negative transfer: the interval of the difference from source_only lies "
    "below 0",
    "missing": "Missing",
    "other": "Also noted",
}


def find_problems(
    summary: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    planned: Mapping[str, tuple[int, int]],
) -> dict[str, list[str]]:
    """Sorts everything that went wrong.

    Args:
        summary: What `summarize` returns, with or without figures.
        entries: From `describe_runs`.
        planned: From `count_planned`.

    Returns:
        Sentences without a full stop by the keys of `TITLES`, each list perhaps empty.
    """
    found: dict[str, list[str]] = {key: [] for key in TITLES}
    for run in summary["failed"]:
        kind = "not_finite" if NOT_FINITE.search(run["reason"]) else "failed"
        found[kind].append(f"{run['experiment']}/{run['run']}: {run['reason']}")
    for own in entries:
        place = f"{own['experiment']}/{own['run']}"
        found["collapsed"] += [
            f"{place}: {text}" for text in own["warnings"] if not text.startswith(MIXED)
        ]
    found["collapsed"] += _collapsed_rows(summary)
    found["negative_transfer"] = _worse_rows(summary["rows"])
    found["negative_transfer"] += [
        f"{task['task']}: {row['name']}"
        for task in summary["measured"]
        for row in task["rows"]
        if row["negative_transfer"]
    ]
    found["missing"] = [
        f"{name}: {done} of {count} runs are done"
        for name, (done, count) in planned.items()
        if done < count
    ]
    found["missing"] += group_by_reason(summary["incomplete"], "incomplete")
    told = {
        f"{own['run']}: {text}"
        for own in entries
        for text in own["warnings"]
        if not text.startswith(MIXED)
    }
    found["other"] = [
        text
        for text in wrong_with(summary)
        if text not in told and not text.startswith(("failed: ", "incomplete: "))
    ]
    return found


def _worse_rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names each row once, with the rules by which it is worse."""
    worse: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["negative_transfer"]:
            key = (row["experiment"], row["task"], row["name"])
            worse.setdefault(key, []).append(row)
    said = []
    for (_, task, name), own in worse.items():
        points = write_estimate(own[0]["difference_from_source_only"], "+")
        others = ", ".join(row["selection"] for row in own[1:])
        text = f"{task}: {name}, by {own[0]['selection']}: {points} points"
        said.append(text + (f"; so by {others}" if others else ""))
    return said


def _collapsed_rows(summary: Mapping[str, Any]) -> list[str]:
    """Names the rows of which runs lose much against plain training on the same seed."""
    said = []
    for task in summary["tasks"]:
        rows = [
            row
            for row in summary["rows"]
            if (row["experiment"], row["task"], row["selection"])
            == (task["experiment"], task["task"], "last")
        ]
        said += [
            f"{task['task']}: {own['collapsed']} of {own['compared']} runs of {own['name']} lose "
            f"more than {100 * COLLAPSE:.0f} points against source_only (by target labels)"
            for own in rank_rows(rows, min_rows=1)
            if own["collapsed"]
        ]
    return said


def write_problems(found: Mapping[str, Sequence[str]]) -> list[str]:
    """Writes the section.

    Args:
        found: From `find_problems`.

    Returns:
        Lines of Markdown.
    """
    lines = ["## What went wrong", ""]
    for kind, title in TITLES.items():
        texts = [f"- {escape(text)}" for text in found[kind]]
        if not texts:
            continue
        lines += [f"**{title}** ({len(texts)})", "", *texts[:LISTED], ""]
        if rest := texts[LISTED:]:
            lines += [f"<details><summary>{len(rest)} more</summary>", "", *rest, "", "</details>"]
            lines += [""]
    return lines if len(lines) > 2 else [*lines, "Nothing.", ""]
