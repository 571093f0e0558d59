"""How alike two orders are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.experiment.statistics.over_tasks import RANK_DECIMALS


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Returns Spearman's rank correlation.

    Args:
        first: Finite numbers; those that differ by rounding alone share their mean rank.
        second: As many.

    Returns:
        A number from -1 to 1; None for fewer than three pairs, or where all numbers of one side are
        equal.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(np.round(values, RANK_DECIMALS)) for values in (first, second)]
    if len(first) < 3 or any(np.ptp(own) == 0 for own in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])
