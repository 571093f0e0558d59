"""Deep embedded validation (DEV): a weighted source loss whose variance is controlled, or not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.evaluation.domain_classifier import importance
from common.evaluation.evidence import Evidence, classifier_of


def deep_embedded_validation(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores a network by its weighted loss on the source's validation examples.

        score = mean(w l) + eta mean(w) - eta,   eta = -Cov(w l, w) / Var(w)

    w is the ratio p_target / p_source that the domain classifier, fitted on features of the
    training parts, gives to features of validation examples; l is their cross-entropy. The mean of
    true ratios is 1, so the last two terms change no expectation, and lower the variance. Lower is
    better; it may be negative.

    The authors' code proposes the error, 0 or 1, for l, which is 0 for all examples once a network
    has learned the source, so that all such steps would be equal; libraries take the cross-entropy,
    as here. The error without control is `importance_weighted_validation`.

    It assumes covariate shift in the features: that examples with equal features have equal labels
    in both domains, and that the source covers the target. Weights of far domains are few and
    large; then the control extrapolates, and the score may prefer a network whose source loss is
    bad. Runs are comparable only where the same loss acts on their logits.

    Args:
        evidence: Completed outputs of a run.
        key: Unused.

    Returns:
        The score in nats. eta is 0 where all ratios are the same.

    Raises:
        ValueError: The evidence is without its domain classifier.

    References:
        You et al., Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation, ICML
        (2019), algorithm 1, and its authors' code.
    """
    del key
    weights, losses = _weights_and_losses(evidence)
    return controlled(weights, weights * losses)


def deep_embedded_validation_uncontrolled(evidence: Evidence, key: Array) -> Float[Array, ""]:
    """Scores as `deep_embedded_validation` does, without the control: `mean(w l)`.

    Lower is better. Its assumptions are the same. Its variance is larger, but it extrapolates
    nothing: it is never negative, nor better for a larger loss.

    Args:
        evidence: Completed outputs of a run.
        key: Unused.

    Returns:
        The score in nats.

    Raises:
        ValueError: The evidence is without its domain classifier.

    References:
        You et al., Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation, ICML
        (2019): its risk before the control variate.
    """
    del key
    weights, losses = _weights_and_losses(evidence)
    return jnp.mean(weights * losses)


def controlled(
    weights: Float[Array, "example"], weighted: Float[Array, "example"]
) -> Float[Array, ""]:
    """Returns the mean of weighted losses, with the weights for a control variate of mean 1."""
    deviations = weights - weights.mean()
    variance = jnp.mean(deviations**2)
    covariance = jnp.mean(deviations * (weighted - weighted.mean()))
    # Of equal weights the deviations are rounding errors.
    varies = variance > (10 * jnp.finfo(weights.dtype).eps * weights.mean()) ** 2
    eta = jnp.where(varies, -covariance / jnp.where(varies, variance, 1.0), 0.0)
    return weighted.mean() + eta * (weights.mean() - 1)


def _weights_and_losses(
    evidence: Evidence,
) -> tuple[Float[Array, "source_val"], Float[Array, "source_val"]]:
    outputs, labels = evidence.source_val, evidence.source_val_label
    log_p = jax.nn.log_softmax(outputs.logits)
    losses = -jnp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0]
    return importance(classifier_of(evidence), outputs.features), losses
