"""How well a linear model with a Gaussian prior explains labels by features: LogME."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

# Bounds of the ratio of the two precisions, as multiples of the largest squared singular value;
# at either end the evidence no longer changes in any digit that is shown.
RATIO_RANGE = (1e-12, 1e12)
GRID = 200

# Features come in single precision: labels that they explain to this relative error are explained
# wholly, and the evidence, which would grow without bound, ends there.
LEAST_ERROR = float(np.finfo(np.float32).eps)


def logme(
    features: Float[np.ndarray, "example feature"], labels: Int[np.ndarray, "example"]
) -> float:
    """Computes the logarithm of the maximum evidence, per example and averaged over classes.

    Of each class, labels y in {0, 1} are modelled by y = F w + noise, w of the prior
    N(0, I / alpha), noise of precision beta. With A = alpha I + beta F^T F and
    m = beta A^-1 F^T y, the logarithm of the evidence is

        n/2 log beta + D/2 log alpha - n/2 log 2 pi
        - beta/2 |F m - y|^2 - alpha/2 m^T m - 1/2 log |A|,

    and both precisions are those that maximise it. The paper iterates a fixed point. For a given
    ratio r = alpha / beta the best beta is n / (|F m - y|^2 + r m^T m), so that here one number is
    left to search for; the maximum is the same. Features have no constant column and are not
    centred, as in the paper.

    Args:
        features: Of the examples.
        labels: Their classes; those that no example shows do not count.

    Returns:
        The score; larger is better.

    References:
        You, Liu, Wang and Long, LogME: Practical Assessment of Pre-trained Models for Transfer
        Learning, ICML 2021, equation 2 and algorithm 1.
    """
    values = features.astype(np.float64)
    left, singular, _ = np.linalg.svd(values, full_matrices=False)
    hot = (labels[:, None] == np.unique(labels)[None]).astype(np.float64)
    shares = (left.T @ hot) ** 2
    rest = np.maximum((hot**2).sum(axis=0) - shares.sum(axis=0), 0)
    evidence = [
        _maximum_evidence(singular**2, shares[:, number], rest[number], len(labels))
        for number in range(hot.shape[1])
    ]
    return float(np.mean(evidence) / len(labels))


def _maximum_evidence(
    squares: Float[np.ndarray, "direction"],
    shares: Float[np.ndarray, "direction"],
    rest: float,
    count: int,
) -> float:
    """Maximises the evidence of one class over the ratio of the precisions.

    Args:
        squares: Squared singular values of the features.
        shares: Squared coordinates of the labels along the left singular vectors.
        rest: What of the labels' square no direction reaches.
        count: Examples.

    Returns:
        The logarithm of the evidence.
    """
    from scipy.optimize import minimize_scalar

    least = LEAST_ERROR**2 * (shares.sum() + rest)

    def negative(log_ratio: float) -> float:
        ratio = np.exp(log_ratio)
        kept = ratio / (ratio + squares)
        # |F m - y|^2 + r m^T m in the basis of the singular vectors.
        error = max(float((kept * shares).sum() + rest), least)
        fit = -count / 2 * (np.log(2 * np.pi * error / count) + 1)
        return -float(fit + np.log(kept).sum() / 2)

    largest = float(squares.max())
    if largest == 0:
        return -negative(0.0)
    low, high = (np.log(largest * bound) for bound in RATIO_RANGE)
    grid = np.linspace(low, high, GRID)
    # The evidence may have several maxima: the search begins at the best of the grid.
    best = int(np.argmin([negative(point) for point in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
    found = minimize_scalar(negative, bounds=around, method="bounded", options={"xatol": 1e-8})
    return -min(float(found.fun), negative(grid[best]))
