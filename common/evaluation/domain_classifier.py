"""The classifier of domains that several scores share: fitted on training parts alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from common.density_ratio import DomainClassifier, fit_classifier, log_ratio

# Factors of the penalty, the strongest first: of equally good ones it is taken.
PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4)
# Steps of each fit. Nearly separable domains go on for ever; stopping bounds their weights too.
ITERATIONS = 100
# One of so many examples of each domain chooses the penalty.
HELD_OUT = 5
# Squares of a ratio within exp(+-20) are far from overflow.
LARGEST_LOG_RATIO = 20.0


def fit_domain_classifier(
    source: Float[Array, "source feature"],
    target: Float[Array, "target feature"],
    key: Key[Array, ""],
) -> DomainClassifier:
    """Fits a logistic regression on four fifths of each part, for each of five penalties.

    The one whose cross-entropy on the remaining fifths is least is kept, each domain counting one
    half. The authors of deep embedded validation choose by accuracy there, which hardly differs
    between decays and leaves the probabilities, of which ratios are made, as sure as they are.

    Args:
        source: Features of source training examples.
        target: Features of target training examples.
        key: Draws which examples are held out.

    Returns:
        The classifier. Between equal domains it says little more than chance, so that ratios are
        near 1.

    References:
        You et al., Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation, ICML
        (2019), for the held-out part of the training examples.
    """
    keys = jax.random.split(key)
    (source, held_source), (target, held_target) = map(_split, (source, target), keys)

    def fit(penalty):
        return fit_classifier(source, target, penalty=penalty, iterations=ITERATIONS)

    def loss(classifier):
        of_source = jax.nn.softplus(log_ratio(classifier, held_source)).mean()
        return of_source + jax.nn.softplus(-log_ratio(classifier, held_target)).mean()

    classifiers = jax.vmap(fit)(jnp.asarray(PENALTIES, source.dtype))
    best = jnp.argmin(jax.vmap(loss)(classifiers))
    return jax.tree.map(lambda leaf: leaf[best], classifiers)


def _split(
    features: Float[Array, "example feature"], key: Key[Array, ""]
) -> tuple[Float[Array, "fitted feature"], Float[Array, "held_out feature"]]:
    """Returns what is fitted and what is held out; a single example is both."""
    num_held_out = max(1, len(features) // HELD_OUT)
    order = jax.random.permutation(key, len(features))
    return (
        features[order[: max(1, len(features) - num_held_out)]],
        features[order[-num_held_out:]],
    )


def importance(
    classifier: DomainClassifier, features: Float[Array, "example feature"]
) -> Float[Array, "example"]:
    """Estimates p_target / p_source of examples that the classifier has not seen.

    Args:
        classifier: A fitted classifier.
        features: The examples' features.

    Returns:
        The ratios, cut off at `exp(20)` and `exp(-20)`; their mean over the source is near 1 only
        where the estimate is good.
    """
    bounded = jnp.clip(log_ratio(classifier, features), -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    return jnp.exp(bounded)
