"""Many rows of one task in the order of their accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.experiment.reporting.cell import (
    escape,
    markdown_table,
    write_estimate,
    write_mean,
    write_percent,
)
from common.experiment.reporting.collapse import COLLAPSE, has_collapsed, plain_accuracy
from common.experiment.reporting.grouping import BASELINES
from common.experiment.reporting.row import Row

# Fewer adapted rows are seen at a glance.
MIN_ROWS = 6

HEADER = (
    *("rank", "row", "target accuracy", "minus source_only", "gap covered", "worst seed"),
    *("below source_only", "collapsed", "milliseconds a step and run"),
)
EXPLANATION = (
    "Rows by mean target accuracy at the last step, in percent; differences in points. Better and "
    "worse are those whose 95 % interval of the difference leaves out 0; each interval is of its "
    "row alone, so that of twenty rows without any effect one would be called so. Worst seed is "
    "the smallest difference from the source_only run of the same seed; runs are counted as below "
    f"it, and as collapsed where they lose more than {100 * COLLAPSE:.0f} points against it, or "
    "against the mean of source_only where that seed has no such run. These columns read target "
    "labels and chose nothing. The time is that of the program, divided by the runs in "
    "it; rows that were timed beside other work are slower than they need be."
)


def rank_rows(rows: Sequence[Row], min_rows: int = MIN_ROWS) -> list[dict[str, Any]]:
    """Puts the rows of a task in order.

    Args:
        rows: Its rows at the last step, as in `summary.json`.
        min_rows: How many adapted rows there must be.

    Returns:
        By falling mean accuracy, for each row `name`, `row`, its `differences` from the
        source_only runs of the same seeds in fractions and how many of them are `below` 0, and how
        many of its `compared` runs have `collapsed`. Empty for few rows.
    """
    if sum(row["method"] not in BASELINES for row in rows) < min_rows:
        return []
    plain = next((_values(row) for row in rows if row["name"] == "source_only"), {})
    ranked = []
    for row in sorted(rows, key=lambda row: -row["target_accuracy"]["mean"]):
        own = {} if row["name"] == "source_only" else _values(row)
        differences = [own[key] - plain[key] for key in own if key in plain]
        compared = [
            (accuracy, reference)
            for key, accuracy in own.items()
            if (reference := plain_accuracy(plain, key)) is not None
        ]
        ranked.append(
            {
                "name": row["name"],
                "row": row,
                "differences": differences,
                "below": sum(value < 0 for value in differences),
                "compared": len(compared),
                "collapsed": sum(has_collapsed(*pair) for pair in compared),
            }
        )
    return ranked


def _values(row: Row) -> dict[tuple[int, str], float]:
    """Returns the accuracies by seed and data: others cannot be paired."""
    accuracy = row["target_accuracy"]
    keys = zip(accuracy["seeds"], map(str, accuracy["data"]), strict=True)
    return dict(zip(keys, accuracy["values"], strict=True))


def write_ranking(rows: Sequence[Row]) -> list[str]:
    """Writes the section.

    Args:
        rows: Rows of one task at the last step.

    Returns:
        Lines of Markdown; none for few rows.
    """
    ranked = rank_rows(rows)
    if not ranked:
        return []
    better = [own["name"] for own in ranked if _verdict(own["row"]) == "better"]
    worse = [own["name"] for own in ranked if _verdict(own["row"]) == "worse"]
    collapsed = [own["name"] for own in ranked if own["collapsed"]]
    lines = ["### Ranking", *markdown_table(HEADER, map(_cells, range(1, len(ranked) + 1), ranked))]
    for text, names in (
        ("Better than source_only", [name for name in better if name not in BASELINES]),
        ("Worse than source_only", worse),
        ("With collapsed runs", collapsed),
    ):
        lines.append(f"{text}: {escape(', '.join(names) or 'none')}.  ")
    return [*lines, "", escape(EXPLANATION), ""]


def _verdict(row: Row) -> str:
    """Says whether the interval of the difference from source_only leaves out 0."""
    interval = (row["difference_from_source_only"] or {}).get("ci95")
    if not interval:
        return ""
    return "better" if interval[0] > 0 else "worse" if interval[1] < 0 else ""


def _cells(rank: int, own: dict[str, Any]) -> list[str]:
    """Writes a row of the ranking."""
    row, differences = own["row"], own["differences"]
    pace, members = row["milliseconds_per_step"], row["members"]
    return [
        str(rank),
        row["name"],
        write_mean(row["target_accuracy"]),
        write_estimate(row["difference_from_source_only"], "+"),
        write_estimate(row["gap_covered"]),
        write_percent(min(differences), "+") if differences else "-",
        f"{own['below']} of {len(differences)}" if differences else "-",
        str(own["collapsed"]) if own["compared"] else "-",
        f"{pace / members:.2f}" if pace and members else "-",
    ]
