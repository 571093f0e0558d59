"""How much more frequent an example is in the target than in the source: two estimates."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.linear_algebra import squared_distances

# Examples of each domain from which the kernel's width is taken, and steps of the projection's
# search for a number, each of which halves where it may be.
WIDTH_EXAMPLES, HALVINGS = 500, 50


class DomainClassifier(NamedTuple):
    """A logistic regression that tells the target from the source.

    Attributes:
        center: What is subtracted from values first.
        scale: What they are then divided by.
        weights: Of the values, and last the intercept.
        balance: log(N_s / N_t), by which the classifier saw one domain more often than the other.
    """

    center: Float[Array, "value"]
    scale: Float[Array, "value"]
    weights: Float[Array, "weight"]
    balance: Float[Array, ""]


def fit_classifier(
    source: Float[Array, "source value"],
    target: Float[Array, "target value"],
    *,
    penalty: float | Float[Array, ""],
    iterations: int,
) -> DomainClassifier:
    """Fits a logistic regression that tells the domains apart.

    Values are brought to mean 0 and deviation 1 over both domains. The regression minimises the
    mean cross-entropy of all examples plus `penalty / 2` times the squared length of its weights,
    without that of its intercept. Solved by accelerated gradients.

    Args:
        source: Source examples.
        target: Target examples.
        penalty: The penalty's factor.
        iterations: Number of steps.

    Returns:
        The classifier.
    """
    both = jnp.concatenate([source, target])
    deviation = both.std(0)
    center, scale = both.mean(0), jnp.where(deviation > 0, deviation, 1.0)
    values = (both - center[None]) / scale[None]
    values = jnp.concatenate([values, jnp.ones_like(values[:, :1])], axis=1)
    is_target = jnp.where(jnp.arange(len(both)) < len(source), 0.0, 1.0)
    is_weight = jnp.arange(values.shape[1]) < values.shape[1] - 1
    penalties = jnp.where(is_weight, penalty, jnp.zeros((), values.dtype))

    def gradient(fitted):
        errors = jax.nn.sigmoid(values @ fitted) - is_target
        return errors @ values / len(values) + penalties * fitted

    # The loss curves at most as much as a quarter of all values' squares, and the penalty.
    rate = 1 / (values.shape[1] / 4 + penalty)
    start = jnp.zeros(values.shape[1], values.dtype)
    weights = descend(gradient, lambda moved: moved, start, rate, iterations)
    balance = jnp.log(jnp.asarray(len(source) / len(target), values.dtype))
    return DomainClassifier(center, scale, weights, balance)


def log_ratio(
    classifier: DomainClassifier, values: Float[Array, "example value"]
) -> Float[Array, "example"]:
    """Estimates log(p_target / p_source) of any examples: the log-odds, less those of the counts.

    Args:
        classifier: A fitted classifier.
        values: Examples, which it need not have seen.

    Returns:
        Positive where an example is taken for one of the target, were both domains equally large.
    """
    standardised = (values - classifier.center[None]) / classifier.scale[None]
    log_odds = standardised @ classifier.weights[:-1] + classifier.weights[-1]
    return log_odds + classifier.balance


def ratio_by_classifier(
    source: Float[Array, "source value"],
    target: Float[Array, "target value"],
    *,
    penalty: float,
    iterations: int,
) -> Float[Array, "source"]:
    """Estimates p_target / p_source by a logistic regression that tells the domains apart.

        w(x) = (N_s / N_t) P(target | x) / P(source | x)

    Args:
        source: Source examples.
        target: Target examples.
        penalty: Of `fit_classifier`.
        iterations: Of `fit_classifier`.

    Returns:
        w of the source examples, divided by its mean, so that N_s / N_t has no effect.

    References:
        Bickel et al., Discriminative Learning for Differing Training and Test Distributions,
        ICML (2007).
    """
    classifier = fit_classifier(source, target, penalty=penalty, iterations=iterations)
    return len(source) * jax.nn.softmax(log_ratio(classifier, source))


def match_kernel_means(
    source: Float[Array, "source value"],
    target: Float[Array, "target value"],
    *,
    bound: float,
    iterations: int,
) -> Float[Array, "source"]:
    """Finds weights under which the source's mean in a kernel's space is the target's.

        minimise 1/2 w'Kw - k'w,   K_ij = k(s_i, s_j),   k_i = (N_s / N_t) sum_j k(s_i, t_j)
        under 0 <= w_i <= bound and |mean w - 1| <= (sqrt(N_s) - 1) / sqrt(N_s)

    with k(x, y) = exp(-|x - y|^2 / (2 m)), m the median of |x - y|^2 over pairs of at most 500
    examples of each domain. Solved by accelerated projected gradients; K is held in memory.

    Args:
        source: Source examples.
        target: Target examples.
        bound: Largest weight.
        iterations: Number of steps.

    Returns:
        The weights, as the problem has them.

    References:
        Huang et al., Correcting Sample Selection Bias by Unlabeled Data, NIPS (2006).
    """
    # Of centred values, whose squares are the smallest, so that rounding errors are too.
    center = jnp.concatenate([source, target]).mean(0)[None]
    source, target = source - center, target - center
    some = jnp.concatenate(
        [own[:: -(-len(own) // WIDTH_EXAMPLES)][:WIDTH_EXAMPLES] for own in (source, target)]
    )
    distances = squared_distances(some, some)
    others = jnp.where(jnp.eye(len(some), dtype=bool), jnp.nan, distances)
    width = jnp.maximum(2 * jnp.nanmedian(others), jnp.finfo(source.dtype).tiny)
    kernel = jnp.exp(-squared_distances(source, source) / width)
    pull = jnp.exp(-squared_distances(source, target) / width).mean(1) * len(source)
    tolerance = 1 - len(source) ** -0.5
    # No eigenvalue of a matrix of positive numbers is above its largest row sum.
    rate = 1 / kernel.sum(1).max()

    return descend(
        lambda weights: kernel @ weights - pull,
        lambda weights: project(weights, bound, tolerance),
        jnp.ones(len(source), source.dtype),
        rate,
        iterations,
    )


def descend(
    gradient: Callable[[Array], Array],
    projection: Callable[[Array], Array],
    start: Float[Array, "value"],
    rate: float | Float[Array, ""],
    iterations: int,
) -> Float[Array, "value"]:
    """Minimises a convex function by accelerated projected gradients.

    Args:
        gradient: Of the function.
        projection: Returns the nearest legal values.
        start: Where to start.
        rate: Length of a step, at most 1 over the function's largest curvature.
        iterations: Number of steps.

    Returns:
        The values after the last step.

    References:
        Beck and Teboulle, A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse
        Problems, SIAM Journal on Imaging Sciences 2 (2009), section 4.
    """

    def step(_, carried):
        values, ahead, momentum = carried
        after = projection(ahead - rate * gradient(ahead))
        next_momentum = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        ahead = after + (momentum - 1) / next_momentum * (after - values)
        return after, ahead, next_momentum

    begin = (start, start, jnp.ones((), start.dtype))
    return jax.lax.fori_loop(0, iterations, step, begin)[0]


def project(
    weights: Float[Array, "source"], bound: float, tolerance: float
) -> Float[Array, "source"]:
    """Finds the nearest weights from 0 to a bound whose mean is 1 within a tolerance.

    Args:
        weights: Any numbers.
        bound: The largest legal weight, at least 1.
        tolerance: How far the mean may be from 1.

    Returns:
        The nearest legal weights: all are moved by one number, then cut off.
    """
    mean = jnp.clip(weights, 0, bound).mean()
    wanted = jnp.clip(mean, 1 - tolerance, 1 + tolerance)

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        is_low = jnp.clip(weights + middle, 0, bound).mean() < wanted
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    ends = -weights.max(), bound - weights.min()
    low, high = jax.lax.fori_loop(0, HALVINGS, halve, ends)
    moved = jnp.clip(weights + (low + high) / 2, 0, bound)
    return jnp.where(mean == wanted, jnp.clip(weights, 0, bound), moved)
