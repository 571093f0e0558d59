"""How many seeds it would take to tell a row from source_only by a stated difference."""

from __future__ import annotations

from collections.abc import Sequence

from common.experiment import statistics
from common.experiment.reporting.cell import escape
from common.experiment.reporting.row import Row

EFFECT = 0.02


def minimum_seeds(rows: Sequence[Row], effect: float = EFFECT) -> dict[str, int | None]:
    """Counts the seeds that a difference from source_only would take.

    Args:
        rows: Rows of one task.
        effect: The difference.

    Returns:
        By row, a number of seeds, or None for more than there could be. Rows with fewer than three
        seeds beside source_only's are left out: their spread is not known.
    """
    differences = {row["name"]: row["difference_from_source_only"] for row in rows}
    return {
        name: statistics.seeds_needed(effect, statistics.standard_deviation(own["values"]) or 0.0)
        for name, own in differences.items()
        if own and own["n"] >= statistics.MIN_INTERVAL
    }


def write_minimum_seeds(rows: Sequence[Row]) -> list[str]:
    """Writes the sentence.

    Args:
        rows: Rows of one task at the last step.

    Returns:
        Lines of Markdown; none where no spread is known.
    """
    found = minimum_seeds(rows)
    if not found:
        return []
    counts = ", ".join(f"{name} {count or 'over 10,000'}" for name, count in found.items())
    return [
        escape(
            f"Seeds it takes to find a difference of {100 * EFFECT:.0f} points from source_only in "
            f"{100 * statistics.POWER:.0f} % of such comparisons, by the paired t test at 5 % and "
            f"the spread seen here: {counts}."
        ),
        "",
    ]
