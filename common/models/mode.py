"""How the parts of a network behave that differ between training and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.training.replica import draw_rows

DTYPES = ("float32", "bfloat16")


def nowhere(path: str) -> bool:
    """Says of every path that nothing there is evaluated.

    Args:
        path: Not used.

    Returns:
        False.
    """
    del path
    return False


class Mode(NamedTuple):
    """Dropout and batch statistics are switched apart: a frozen statistic may train with dropout.

    Attributes:
        dropout: Whether units are dropped.
        batch_statistics: Whether batch normalisation uses the batch, and updates what it keeps,
            instead of using what it keeps.
        is_split: Whether the rows at hand are those of one of several copies of the program, so
            that masks and batch statistics are to be those of the rows of all copies.
        evaluates: `(path of a batch normalisation) -> whether` it uses what it keeps all the same;
            a traced value where that changes with the progress of the run.
    """

    dropout: bool
    batch_statistics: bool
    is_split: bool = False
    evaluates: Callable[[str], bool | Array] = nowhere


TRAINING = Mode(dropout=True, batch_statistics=True)
EVALUATION = Mode(dropout=False, batch_statistics=False)


def computation_type(dtype: str) -> jnp.dtype | None:
    """Returns the type in which a layer computes.

    Args:
        dtype: A name out of `DTYPES`. Parameters, statistics and losses are float32 under both.

    Returns:
        None, which follows the parameters and the input, for `float32`.
    """
    return None if dtype == "float32" else jnp.dtype(dtype)


def run_stage(
    module: nn.Module, stage: Callable[[Any, Array], Array], value: Array, *, remat: bool
) -> Array:
    """Runs a stage of a network.

    Args:
        module: The network.
        stage: `(module, value) -> value`, which makes its layers in the module.
        value: The stage's input.
        remat: Whether the backward pass computes the stage again instead of keeping its
            activations: memory for time. XLA's compiler for CPUs undoes it.

    Returns:
        The stage's output; the same up to rounding.
    """
    return (nn.remat(stage) if remat else stage)(module, value)


def name_layer(module: nn.Module, name: str, value: Array) -> Array:
    """Names an inner activation, so that it can be returned and its channels be switched off.

    Args:
        module: Where it is computed.
        name: Its name within the module.
        value: The activation, channels last.

    Returns:
        The activation, times the mask of its channels where the collection `masks` has one.
    """
    if module.has_variable("masks", name):
        mask = module.get_variable("masks", name).astype(value.dtype)
        value = value * mask.reshape((1,) * (value.ndim - 1) + mask.shape)
    module.sow("layers", name, value)
    return value


class Dropout(nn.Module):
    """Sets units to zero and scales up the others.

    The mask is drawn for the whole batch, so that it is the same however many devices share it.

    Attributes:
        rate: Share of the units set to zero, in [0, 1).

    References:
        Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR
        15 (2014).
    """

    rate: float

    @nn.compact
    def __call__(
        self, values: Float[Array, "batch *axes"], *, mode: Mode
    ) -> Float[Array, "batch *axes"]:
        """Drops units.

        Args:
            values: Activations.
            mode: `dropout` and `is_split` are read.

        Returns:
            Activations of the same shape, and of the same mean over masks.
        """
        if not (mode.dropout and self.rate):
            return values
        key = self.make_rng("dropout")

        def draw(shape):
            return jax.random.bernoulli(key, 1 - self.rate, shape)

        kept = draw_rows(draw, values.shape) if mode.is_split else draw(values.shape)
        return jnp.where(kept, values / (1 - self.rate), jnp.zeros_like(values))
