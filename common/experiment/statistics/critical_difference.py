"""Many rows over many tasks: average ranks, and how far apart they must lie to differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from common.experiment.statistics.interval import LEVEL
from common.experiment.statistics.over_tasks import RANK_DECIMALS

# With fewer tasks a signed-rank test cannot reach the 5 % level, and averages say little.
MIN_TASKS = 6
# Two rows are compared by the signed-rank test.
MIN_ROWS = 3


class CriticalDifference(NamedTuple):
    """Average ranks of rows over tasks.

    Attributes:
        ranks: Average rank by row, the best first; rank 1 is the highest value.
        difference: By how much two average ranks must differ at least, by Nemenyi's test.
        p_value: Of the Friedman test, in Iman and Davenport's form, that all rows are alike.
        groups: Sets of rows, as large as possible, of which no two differ by so much; all rows
            where the Friedman test finds no difference.
        n: Number of tasks.
    """

    ranks: dict[str, float]
    difference: float
    p_value: float
    groups: list[list[str]]
    n: int


def refuse_ranks(values: Mapping[str, Sequence[float]]) -> str | None:
    """Says why rows cannot be ranked over tasks.

    Args:
        values: Of each row one value a task.

    Returns:
        A sentence, or None where they can.
    """
    count = len(next(iter(values.values()), ()))
    if count < MIN_TASKS:
        return f"No critical difference: there are {count} tasks, and {MIN_TASKS} are needed."
    if len(values) < MIN_ROWS:
        return f"No critical difference: there are {len(values)} rows, and {MIN_ROWS} are needed."
    return None


def critical_difference(values: Mapping[str, Sequence[float]]) -> CriticalDifference:
    """Ranks rows over tasks by Friedman's test, and tells them apart by Nemenyi's.

    Args:
        values: Of each row one value a task, of which higher ones are better. Values that differ
            by rounding alone share their mean rank.

    Returns:
        Ranks, and which of them differ.

    Raises:
        ValueError: Fewer than six tasks or three rows.

    References:
        J. Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006),
        section 3.2.2.
    """
    from scipy import stats

    refused = refuse_ranks(values)
    if refused:
        raise ValueError(refused)
    table = np.round(np.asarray(list(values.values()), np.float64), RANK_DECIMALS)
    rows, tasks = table.shape
    average = stats.rankdata(-table, axis=0).mean(1)
    p_value = 1.0
    if (table != table[:1]).any():
        statistic = float(stats.friedmanchisquare(*table).statistic)
        left = tasks * (rows - 1) - statistic
        ratio = (tasks - 1) * statistic / left if left > 1e-9 else math.inf
        p_value = float(stats.f.sf(ratio, rows - 1, (rows - 1) * (tasks - 1)))
    quantile = float(stats.studentized_range.ppf(LEVEL, rows, np.inf)) / math.sqrt(2)
    difference = quantile * math.sqrt(rows * (rows + 1) / (6 * tasks))
    order = np.argsort(average, kind="stable")
    names = [list(values)[index] for index in order]
    ranks = [float(average[index]) for index in order]
    is_one = p_value >= 1 - LEVEL
    groups = [names] if is_one else _groups(names, ranks, difference)
    ranked = dict(zip(names, ranks, strict=True))
    return CriticalDifference(ranked, difference, p_value, groups, tasks)


def _groups(names: Sequence[str], ranks: Sequence[float], difference: float) -> list[list[str]]:
    """Returns the longest stretches of ranks that do not differ; single rows are no group."""
    groups: list[list[str]] = []
    reached = 0
    for first, rank in enumerate(ranks):
        last = max(index for index, other in enumerate(ranks) if other - rank < difference)
        if last > max(first, reached):
            groups.append(list(names[first : last + 1]))
        reached = max(reached, last)
    return groups
