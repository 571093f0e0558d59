"""All measures of transferability by name; larger is better."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from common.evaluation.transferability.h_score import h_score, shrunk_h_score
from common.evaluation.transferability.leep import leep
from common.evaluation.transferability.logme import logme

MEASURES = ("LogME", "LEEP", "H-score", "shrunk H-score")


def measure(
    features: Float[np.ndarray, "example feature"],
    probabilities: Float[np.ndarray, "example old_class"] | None,
    labels: Int[np.ndarray, "example"],
) -> dict[str, float | None]:
    """Measures how well a network that was never trained on a task suits it.

    Args:
        features: What its task head reads, of labelled training examples of the task.
        probabilities: Of its own classes for the same examples; None without a head.
        labels: The task's classes of the examples; at least two are shown.

    Returns:
        By name; LEEP is None without a head.
    """
    return {
        "LogME": logme(features, labels),
        "LEEP": None if probabilities is None else leep(probabilities, labels),
        "H-score": h_score(features, labels),
        "shrunk H-score": shrunk_h_score(features, labels),
    }
