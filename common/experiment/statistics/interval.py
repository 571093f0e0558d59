"""Spread of single values, and the 95 % interval of their mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

LEVEL = 0.95
# Below this number of values the bootstrap covers too rarely, and Student's t is used.
MIN_BOOTSTRAP = 20
# Fewer values than this say too little about their spread for an interval.
MIN_INTERVAL = 3
NUM_RESAMPLES = 9999


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
    """
    data = np.asarray(values, np.float64)
    if data.size < MIN_INTERVAL:
        return None
    if np.ptp(data) == 0:
        return float(data[0]), float(data[0])
    if data.size >= MIN_BOOTSTRAP:
        low, high = bootstrap_ends(data)
        # Without a spread among resamples the bootstrap has no answer.
        if math.isfinite(low) and math.isfinite(high):
            return float(low), float(high)
    low, high = student_ends(data)
    return float(low), float(high)


def critical_t(freedom: int) -> float:
    """Returns what Student's t stays within in 95 % of all cases.

    Args:
        freedom: Degrees of freedom.

    Returns:
        The two-sided critical value.
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def student_ends(data: Float[np.ndarray, "*sample value"]) -> Float[np.ndarray, "2 *sample"]:
    """Returns both ends of Student's t interval of the mean.

    Args:
        data: At least two values of each sample.

    Returns:
        The lower ends and the upper ends.
    """
    count = data.shape[-1]
    half = critical_t(count - 1) * data.std(-1, ddof=1) / math.sqrt(count)
    return np.stack([data.mean(-1) - half, data.mean(-1) + half])


def bootstrap_ends(
    data: Float[np.ndarray, "*sample value"], num_resamples: int = NUM_RESAMPLES
) -> Float[np.ndarray, "2 *sample"]:
    """Returns both ends of the bias-corrected and accelerated bootstrap interval of the mean.

    Args:
        data: Values of each sample, not all of them equal.
        num_resamples: How often each sample is drawn anew.

    Returns:
        The lower ends and the upper ends; NaN where resamples have no spread.

    References:
        B. Efron, "Better bootstrap confidence intervals", JASA 82 (1987).
    """
    from scipy import stats

    # Centred and scaled, the ends do not depend on the unit, nor the sums on a large offset.
    center, scale = data.mean(-1), np.ptp(data, -1)
    interval = stats.bootstrap(
        ((data - center[..., None]) / scale[..., None],),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=num_resamples,
        method="BCa",
        axis=-1,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return np.stack([center + scale * interval.low, center + scale * interval.high])
