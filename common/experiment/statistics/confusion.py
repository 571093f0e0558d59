"""Shares of classes from counts of predictions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num


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
