"""Two rows over several tasks: signed ranks, Holm's correction, probability of superiority."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# Differences that are equal but for rounding share a rank; accuracies are coarser than this.
RANK_DECIMALS = 12


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
