"""Means, intervals and tests over training seeds and over tasks, from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

LEVEL = 0.95
# Below this number of seeds the bootstrap covers too rarely, and the t interval is used.
MIN_BOOTSTRAP = 20
# Fewer values than this say too little about their spread for an interval.
MIN_INTERVAL = 3
NUM_RESAMPLES = 9999
# Differences that are equal but for rounding share a rank; accuracies are coarser than this.
RANK_DECIMALS = 12


class Difference(NamedTuple):
    """The paired difference of two rows.

    Attributes:
        mean: Mean difference over the shared seeds.
        ci95: Ends of its 95 % interval, or None for fewer than three seeds.
        p_value: Of the two-sided paired t test, or None for fewer than three seeds.
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


class GapCovered(NamedTuple):
    """The share of the gap between source only and training on the target that a row covers.

    Attributes:
        mean: Ratio of the mean gain to the mean gap.
        ci95: Ends of its 95 % interval, or None where there is none.
        n: Number of seeds that all three rows share.
    """

    mean: float
    ci95: tuple[float, float] | None
    n: int


def standard_deviation(values: Sequence[float]) -> float | None:
    """Returns the sample standard deviation, or None for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def binomial_standard_error(accuracy: float, num_examples: int) -> float | None:
    """Returns the standard error of one run's accuracy that comes from its finite test split.

    Args:
        accuracy: Share of right predictions.
        num_examples: Size of the test split.

    Returns:
        The standard error, or None for an empty split.
    """
    return math.sqrt(accuracy * (1 - accuracy) / num_examples) if num_examples > 0 else None


def confidence_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Gives the 95 % interval of a mean.

    Args:
        values: Finite numbers, one a seed.

    Returns:
        Both ends: of Student's t interval below 20 values, of the bias-corrected and accelerated
        bootstrap from 20 values on; None for fewer than three values.

    References:
        B. Efron, "Better bootstrap confidence intervals", JASA 82 (1987).
    """
    data = np.asarray(values, np.float64)
    if data.size < MIN_INTERVAL:
        return None
    if np.ptp(data) == 0:
        return float(data[0]), float(data[0])
    if data.size >= MIN_BOOTSTRAP:
        low, high = _bootstrap_ends(data)
        # Without a spread among resamples the bootstrap has no answer.
        if math.isfinite(low) and math.isfinite(high):
            return low, high
    from scipy.special import stdtrit

    half = float(stdtrit(data.size - 1, (1 + LEVEL) / 2) * data.std(ddof=1) / math.sqrt(data.size))
    mean = float(data.mean())
    return mean - half, mean + half


def _bootstrap_ends(data: Float[np.ndarray, "value"]) -> tuple[float, float]:
    """Returns both ends of the BCa interval of the mean; NaN where it is undefined."""
    from scipy import stats

    # Centred and scaled, the ends do not depend on the unit, nor the sums on a large offset.
    center, scale = data.mean(), np.ptp(data)
    interval = stats.bootstrap(
        ((data - center) / scale,),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=NUM_RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(center + scale * interval.low), float(center + scale * interval.high)


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
        The two-sided p value, or None for fewer than three values.
    """
    data = np.asarray(values, np.float64)
    if data.size < MIN_INTERVAL:
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


def signed_rank_test(differences: Sequence[float]) -> float:
    """Tests whether differences lie around zero, by Wilcoxon's signed ranks.

    Args:
        differences: Finite numbers, one a task.

    Returns:
        The exact two-sided p value. Differences of zero are left out, and equal ones share their
        mean rank; 1 where nothing is left.

    References:
        F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945).
    """
    from scipy.stats import rankdata

    data = np.round(np.asarray(differences, np.float64), RANK_DECIMALS)
    data = data[data != 0]
    if not data.size:
        return 1.0
    # Mean ranks may end in a half: twice the rank is whole.
    ranks = np.rint(2 * rankdata(np.abs(data))).astype(int)
    chances = np.ones(1)
    for rank in ranks:
        step = np.zeros(rank + 1)
        step[[0, rank]] = 0.5
        chances = np.convolve(chances, step)
    positive = int(ranks[data > 0].sum())
    tails = chances[: positive + 1].sum(), chances[positive:].sum()
    return min(1.0, 2 * float(min(tails)))


def correct_by_holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Raises the p values of several tests so that all of them may be read together.

    Args:
        p_values: By test.

    Returns:
        Corrected p values by test, in the same order: below a level if Holm's procedure rejects
        the test at that level.

    References:
        S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
        Statistics 6 (1979).
    """
    corrected: dict[str, float] = {}
    largest = 0.0
    for index, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - index) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


def probability_of_superiority(win_probabilities: Sequence[float]) -> float:
    """Says how probable it is that one method wins against another on most tasks of their kind.

    The number of tasks won follows the Poisson binomial distribution of the single tasks' win
    probabilities. With `k` of `n` tasks won and a flat prior, the share of such tasks that the
    method wins follows Beta(k + 1, n - k + 1); the result is the probability that this share is
    above one half, averaged over `k`. It is no p value: one half says that nothing is known.

    Args:
        win_probabilities: By task, the probability that the method is better there.

    Returns:
        A probability; that of the other method is one minus it.

    References:
        A. Lacoste, F. Laviolette, M. Marchand, "Bayesian comparison of machine learning algorithms
        on single and multiple datasets", AISTATS (2012), section 5.
    """
    from scipy.special import betainc
    from scipy.stats import poisson_binom

    if not win_probabilities:
        return 0.5
    wins = np.arange(len(win_probabilities) + 1)
    chances = poisson_binom.pmf(wins, win_probabilities)
    return float(chances @ betainc(wins[::-1] + 1, wins + 1, 0.5))


def gap_covered(
    row: Mapping[int, float],
    source_only: Mapping[int, float],
    train_on_target: Mapping[int, float],
) -> GapCovered | None:
    """Says how much of the way from source only to training on the target a row goes.

    Args:
        row: Value by seed.
        source_only: Value by seed.
        train_on_target: Value by seed.

    Returns:
        The ratio of the means over the shared seeds, with a percentile interval from resampling
        the seeds, all three rows together. The interval is None for fewer than three seeds, and
        where a resample leaves no gap. The whole is None unless the gap is safely above zero:
        without a gap there is nothing to cover.
    """
    gap_by_seed = {
        seed: train_on_target[seed] - source_only[seed]
        for seed in row.keys() & source_only.keys() & train_on_target.keys()
    }
    if not gap_by_seed:
        return None
    gap = np.asarray(list(gap_by_seed.values()), np.float64)
    gain = np.asarray([row[seed] - source_only[seed] for seed in gap_by_seed], np.float64)
    interval = confidence_interval(list(gap_by_seed.values()))
    if gap.mean() <= 0 or (interval is not None and interval[0] <= 0):
        return None
    mean = float(gain.mean() / gap.mean())
    if interval is None:
        return GapCovered(mean, None, gap.size)
    rows = np.random.default_rng(0).integers(gap.size, size=(NUM_RESAMPLES, gap.size))
    gains, gaps = gain[rows].mean(1), gap[rows].mean(1)
    if gaps.min() <= 0:
        return GapCovered(mean, None, gap.size)
    low, high = np.quantile(gains / gaps, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return GapCovered(mean, (float(low), float(high)), gap.size)


def class_shares(confusion: Num[np.ndarray, "*run true predicted"]) -> Float[np.ndarray, "..."]:
    """Turns counts of predictions into shares of each true class.

    Args:
        confusion: Counts; the last axes are the true and the predicted class.

    Returns:
        Shares in [0, 1]; NaN for a class without examples.
    """
    counts = np.asarray(confusion, np.float64)
    total = counts.sum(-1, keepdims=True)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def finite_mean(values: Float[np.ndarray, "seed ..."]) -> Float[np.ndarray, "..."]:
    """Averages the finite values over the first axis; NaN where there is none."""
    return np.ma.masked_invalid(values).mean(0).filled(np.nan)
