"""How strong the reversed gradient is over a run."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float


def ramp(progress: Float[ArrayLike, ""], gamma: Float[ArrayLike, ""]) -> Float[Array, ""]:
    """Rises from 0 to nearly 1: `2 / (1 + exp(-gamma * progress)) - 1`.

    Args:
        progress: Fraction of the whole run, in [0, 1]; never a number of steps or epochs.
        gamma: Steepness; 10 in the paper.

    Returns:
        The factor of the largest strength.

    References:
        Ganin et al., JMLR 17 (2016), section 5.2.2.
    """
    # tanh is the same function without an exponential that can overflow.
    return jnp.tanh(jnp.asarray(gamma) * progress / 2)


def constant(progress: Float[ArrayLike, ""], gamma: Float[ArrayLike, ""]) -> Float[Array, ""]:
    """Is 1 throughout, as in the paper's shallow experiments (Algorithm 1).

    Args:
        progress: Fraction of the whole run, in [0, 1].
        gamma: Not used; schedules share one signature.

    Returns:
        1.
    """
    del gamma
    return jnp.ones_like(jnp.asarray(progress))


SCHEDULES: dict[str, Callable[[ArrayLike, ArrayLike], jax.Array]] = {
    "ramp": ramp,
    "constant": constant,
}
