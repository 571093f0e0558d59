"""How well a network's old classes predict the new ones: LEEP."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def leep(
    probabilities: Float[np.ndarray, "example old_class"], labels: Int[np.ndarray, "example"]
) -> float:
    """Computes the log expected empirical prediction.

    With theta(x) the network's probabilities of its own classes z, and
    P(y, z) = 1/n sum over i with y_i = y of theta(x_i)_z, new labels are predicted by
    p(y | x) = sum over z of P(y | z) theta(x)_z; the score is the mean of log p(y_i | x_i). Its own
    classes need not be those of the task, nor as many.

    Args:
        probabilities: theta of each example.
        labels: New classes of the examples.

    Returns:
        The score, at most 0; larger is better.

    References:
        Nguyen, Hassner, Seeger and Archambeau, LEEP: A New Measure to Evaluate Transferability of
        Learned Representations, ICML 2020, section 3.
    """
    theta = probabilities.astype(np.float64)
    hot = (labels[:, None] == np.unique(labels)[None]).astype(np.float64)
    joint = hot.T @ theta / len(labels)
    shown = joint.sum(axis=0)
    # An old class that no example has any share of predicts nothing.
    given = joint / np.where(shown > 0, shown, 1.0)[None]
    predicted = ((theta @ given.T) * hot).sum(axis=1)
    # An example without any share has no likelihood; its logarithm is the lowest that there is.
    return float(np.log(np.maximum(predicted, np.finfo(np.float64).tiny)).mean())
