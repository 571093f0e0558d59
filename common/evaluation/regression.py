"""Metrics of predicted numbers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def regression_metrics(
    predictions: Float[np.ndarray, "example value"], labels: Float[np.ndarray, "example value"]
) -> dict[str, float]:
    """Measures how far predictions are from the truth, in the units of the labels.

    Args:
        predictions: Predicted values.
        labels: True values, at least one example.

    Returns:
        `mse`, `mae` and `r2` are means over the values of an example, as scikit-learn averages them
        by default; `rmse` is the root of `mse`. `r2` is NaN where some value never varies.
    """
    truth = labels.astype(np.float64)
    errors = predictions - truth
    mse, r2 = float(np.mean(errors**2)), float("nan")
    if (np.ptp(truth, axis=0) > 0).all():
        spread = np.sum((truth - truth.mean(axis=0)[None]) ** 2, axis=0)
        r2 = float(np.mean(1 - np.sum(errors**2, axis=0) / spread))
    return {"mse": mse, "rmse": mse**0.5, "mae": float(np.mean(np.abs(errors))), "r2": r2}
