"""Factors of the learning rate over the progress of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from common.method import HParams


def constant(progress: Float[ArrayLike, ""], hparams: HParams) -> Float[Array, ""]:
    """Keeps the rate.

    Args:
        progress: Fraction of the run, in [0, 1].
        hparams: Not used.

    Returns:
        1.
    """
    del hparams
    return jnp.ones_like(jnp.asarray(progress))


def inverse_power(progress: Float[ArrayLike, ""], hparams: HParams) -> Float[Array, ""]:
    """Anneals by `(1 + gamma * progress) ** -power`, 10 and 0.75 in the DANN paper.

    Args:
        progress: Fraction of the run, in [0, 1].
        hparams: `optimizer.gamma` and `optimizer.power` are read.

    Returns:
        The factor of the learning rate.

    References:
        Ganin et al., JMLR 17 (2016), section 5.2.2.
    """
    return (1 + hparams["optimizer.gamma"] * progress) ** -hparams["optimizer.power"]


def cosine(progress: Float[ArrayLike, ""], hparams: HParams) -> Float[Array, ""]:
    """Falls from 1 to 0 along half a cosine.

    Args:
        progress: Fraction of the run, in [0, 1].
        hparams: Not used.

    Returns:
        The factor of the learning rate.
    """
    del hparams
    return (1 + jnp.cos(jnp.pi * jnp.asarray(progress))) / 2


SCHEDULES: dict[str, Callable[[Any, HParams], jax.Array]] = {
    "constant": constant,
    "inverse_power": inverse_power,
    "cosine": cosine,
}
