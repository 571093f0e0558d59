"""Two rows on the same seeds: their difference, its test, and the probability of a win."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from common.experiment.statistics.interval import MIN_INTERVAL, confidence_interval
from common.experiment.statistics.over_tasks import RANK_DECIMALS


class Difference(NamedTuple):
    """The paired difference of two rows.

    Attributes:
        mean: Mean difference over the shared seeds.
        ci95: Ends of its 95 % interval, or None for fewer than three seeds.
        p_value: Of the two-sided paired t test, or None for fewer than three seeds and where all
            differences are equal.
        n: Number of shared seeds.
        seeds: The shared seeds, ascending.
        values: The differences, in the order of the seeds.
    """

    mean: float
    ci95: tuple[float, float] | None
    p_value: float | None
    n: int
    seeds: list[int]
    values: list[float]


def paired_difference(row: Mapping[int, float], baseline: Mapping[int, float]) -> Difference | None:
    """Compares two rows on the seeds that both have.

    Args:
        row: Value by seed.
        baseline: Value by seed.

    Returns:
        `row - baseline`, or None without a shared seed.
    """
    seeds = sorted(row.keys() & baseline.keys())
    if not seeds:
        return None
    values = [row[seed] - baseline[seed] for seed in seeds]
    interval = confidence_interval(values)
    p_value = t_test(values)
    return Difference(float(np.mean(values)), interval, p_value, len(seeds), seeds, values)


def t_test(values: Sequence[float]) -> float | None:
    """Tests whether a mean is zero, by Student's t.

    Args:
        values: Finite numbers; for a paired test, differences.

    Returns:
        The two-sided p value; None for fewer than three values, and where they are equal but for
        rounding: that a few accuracies differ by the same is chance, and no proof without doubt.
    """
    data = np.asarray(values, np.float64)
    if data.size < MIN_INTERVAL or np.ptp(data.round(RANK_DECIMALS)) == 0:
        return None
    return 2 * _probability_below(data if data.mean() > 0 else -data)


def win_probability(differences: Sequence[float]) -> float | None:
    """Says how probable it is that the mean of differences is above zero.

    Args:
        differences: Finite numbers, one a seed.

    Returns:
        The share above zero of the mean's posterior under a normal model with a flat prior, which
        is Student's t; None for fewer than three numbers.
    """
    data = np.asarray(differences, np.float64)
    return None if data.size < MIN_INTERVAL else 1 - _probability_below(data)


def _probability_below(values: Float[np.ndarray, "value"]) -> float:
    """Returns Student's probability that the mean is below zero."""
    from scipy.special import stdtr

    error = values.std(ddof=1) / math.sqrt(values.size)
    if error == 0:
        return 0.5 - 0.5 * float(np.sign(values[0]))
    return float(stdtr(values.size - 1, -values.mean() / error))
