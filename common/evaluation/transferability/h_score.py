"""How much of the features' variance lies between classes: the H-score, and its shrunk form."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

# Directions of less than this share of the largest variance count as none: single precision.
CUT = 1e-12


def h_score(
    features: Float[np.ndarray, "example feature"], labels: Int[np.ndarray, "example"]
) -> float:
    """Computes tr(cov(f)^-1 cov(z)), z being the mean of the features of an example's class.

    Where there are few examples for the number of features the covariance is singular; its
    pseudo-inverse is taken, and the score says little: see `shrunk_h_score`.

    Args:
        features: Of the examples.
        labels: Their classes.

    Returns:
        The score, from 0 to the number of classes less 1; larger is better.

    References:
        Bao et al., An Information-Theoretic Approach to Transferability in Task Transfer Learning,
        ICIP 2019, definition 2.
    """
    centred, means = _centre(features, labels)
    inverse = np.linalg.pinv(centred.T @ centred / len(labels), rcond=CUT, hermitian=True)
    return float(np.trace(inverse @ (means.T @ means)) / len(labels))


def shrunk_h_score(
    features: Float[np.ndarray, "example feature"], labels: Int[np.ndarray, "example"]
) -> float:
    """Computes the H-score with a shrunk covariance, for few examples of many features.

    tr(cov_a(f)^-1 (1 - a) cov(z)), where cov_a(f) = (1 - a) cov(f) + a s I, s being the mean
    variance of a feature and a the shrinkage of Ledoit and Wolf.

    Args:
        features: Of the examples.
        labels: Their classes.

    Returns:
        The score; larger is better.

    References:
        Ibrahim, Ponomareva and Mazumder, Newer is not always better: Rethinking transferability
        metrics, their peculiarities, stability and performance, 2021 (arXiv:2110.06893); Ledoit
        and Wolf, A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices, Journal of
        Multivariate Analysis 88 (2004).
    """
    from sklearn.covariance import ledoit_wolf

    centred, means = _centre(features, labels)
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    inverse = np.linalg.pinv(covariance, rcond=CUT, hermitian=True)
    return float((1 - shrinkage) * np.trace(inverse @ (means.T @ means)) / len(labels))


def _centre(
    features: Float[np.ndarray, "example feature"], labels: Int[np.ndarray, "example"]
) -> tuple[Float[np.ndarray, "example feature"], Float[np.ndarray, "example feature"]]:
    """Returns centred features, and for each example the mean of those of its class."""
    values = features.astype(np.float64)
    centred = values - values.mean(axis=0, keepdims=True)
    hot = (labels[:, None] == np.unique(labels)[None]).astype(np.float64)
    return centred, hot @ ((hot.T @ centred) / hot.sum(axis=0)[:, None])
