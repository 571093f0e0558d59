"""How many seeds it takes to see a difference of a stated size."""

from __future__ import annotations

import math

from common.experiment.statistics.interval import MIN_INTERVAL, critical_t

POWER = 0.8
# More seeds than this are no answer to anybody.
MAX_SEEDS = 10_000


def power_of_paired_test(effect: float, spread: float, num_seeds: int) -> float:
    """Says how often the paired t test at 5 % finds a difference.

    Args:
        effect: True mean difference of two rows.
        spread: Standard deviation of the difference over seeds, above 0.
        num_seeds: Number of shared seeds, at least two.

    Returns:
        The probability of a two-sided p value below 0.05.
    """
    from scipy.special import nctdtr

    freedom, shift = num_seeds - 1, effect / spread * math.sqrt(num_seeds)
    limit = critical_t(freedom)
    return float(1 - nctdtr(freedom, shift, limit) + nctdtr(freedom, shift, -limit))


def seeds_needed(effect: float, spread: float, power: float = POWER) -> int | None:
    """Returns the smallest number of seeds that finds a difference often enough.

    Args:
        effect: Mean difference of two rows that should be found, not 0.
        spread: Standard deviation of their difference over seeds.
        power: How often the paired t test at 5 % should find it.

    Returns:
        A number of seeds, three at least, since with fewer there is neither interval nor test;
        None where more than 10,000 were needed.

    References:
        J. Cohen, "Statistical power analysis for the behavioral sciences" (1988), chapter 2.
    """
    if spread == 0:
        return MIN_INTERVAL

    def is_enough(count: int) -> bool:
        return power_of_paired_test(abs(effect), spread, count) >= power

    high = MIN_INTERVAL
    while not is_enough(high):
        if high >= MAX_SEEDS:
            return None
        high = min(2 * high, MAX_SEEDS)
    low = MIN_INTERVAL
    # Power grows with the number of seeds.
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return low
