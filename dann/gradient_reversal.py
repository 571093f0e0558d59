"""The gradient-reversal layer."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float


@jax.custom_vjp
def reverse_gradient(
    features: Float[Array, "*shape"], strength: Float[ArrayLike, ""]
) -> Float[Array, "*shape"]:
    """Returns its input and multiplies the gradient that flows back by minus the strength.

    The strength is an ordinary traced argument: it may change at every step and differ between
    the members of a population without a new compilation. No gradient flows into it.

    Args:
        features: Any array.
        strength: Positive for adversarial training; 0 stops the gradient.

    Returns:
        `features`, unchanged.

    References:
        Ganin and Lempitsky, Unsupervised Domain Adaptation by Backpropagation, ICML 2015,
        equations 4 and 5 (the pseudo-function R_lambda).
    """
    del strength
    return features


def _forward(features, strength):
    return features, strength


def _backward(strength, cotangent):
    reversed_cotangent = -jnp.asarray(strength, cotangent.dtype) * cotangent
    return reversed_cotangent, jnp.zeros_like(strength)


reverse_gradient.defvjp(_forward, _backward)
