"""Information maximization: confident predictions that use every class."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def information_maximization(logits: Float[Array, "example class"]) -> Float[Array, ""]:
    """Scores predictions without labels: `H(mean p) - mean H(p)`.

    This is the mutual information between input and prediction. Higher is better; it lies between
    0 and the logarithm of the number of classes. It assumes that the classes are about equally
    frequent in the target, and it must not choose between methods of which one optimises it.

    Args:
        logits: Unnormalised log-probabilities of unlabelled examples.

    Returns:
        The score in nats.

    References:
        Bridle, Heading and MacKay, Unsupervised Classifiers, Mutual Information and 'Phantom
        Targets', NIPS 1991; used to choose adapted models in Musgrave et al., Benchmarking
        Validation Methods for Unsupervised Domain Adaptation, 2022 (arXiv 2208.07360).
    """
    log_p = jax.nn.log_softmax(logits)
    p = jnp.exp(log_p)
    mean = p.mean(0)
    return -jnp.sum(jax.scipy.special.xlogy(mean, mean)) + jnp.mean(jnp.sum(p * log_p, axis=-1))
