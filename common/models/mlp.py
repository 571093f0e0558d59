"""Dense networks: the hidden layers of a multi-layer perceptron, and the task head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.models.mode import Dropout, Mode, computation_type, name_layer, run_stage
from common.models.normalization import Normalization

ACTIVATIONS = {"relu": nn.relu, "sigmoid": nn.sigmoid, "tanh": nn.tanh}
KERNEL_INITIALIZERS = {
    "lecun_normal": nn.initializers.lecun_normal(),
    "glorot_uniform": nn.initializers.glorot_uniform(),
    "zeros": nn.initializers.zeros,
}


class MLP(nn.Module):
    """Dense hidden layers over flattened input; the last one gives the features.

    Attributes:
        hidden: Units of each layer.
        activation: A key of `ACTIVATIONS`.
        normalization: A layer of `normalization.LAYER_OF_POLICY`, before each activation.
        kernel_init: A key of `KERNEL_INITIALIZERS`.
        dropout: Share of the units set to zero after each activation.
        dtype: A name of `mode.DTYPES`.
        remat: Whether the backward pass computes each layer again.
    """

    hidden: tuple[int, ...] = (100,)
    activation: str = "relu"
    normalization: str = "none"
    kernel_init: str = "lecun_normal"
    dropout: float = 0.0
    dtype: str = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch *shape"], *, mode: Mode
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Pictures, or vectors.
            mode: Which parts behave as in training.

        Returns:
            The activations of the last hidden layer.
        """
        value = images.reshape(images.shape[0], -1)
        for index, units in enumerate(self.hidden):

            def stage(module: MLP, value: Array, index: int = index, units: int = units) -> Array:
                value = nn.Dense(
                    units,
                    dtype=computation_type(module.dtype),
                    kernel_init=KERNEL_INITIALIZERS[module.kernel_init],
                    name=f"dense_{index}",
                )(value)
                value = Normalization(
                    module.normalization, dtype=module.dtype, name=f"normalization_{index}"
                )(value, mode=mode)
                value = ACTIVATIONS[module.activation](value)
                return Dropout(module.dropout, name=f"dropout_{index}")(value, mode=mode)

            value = run_stage(self, stage, value, remat=self.remat)
            value = name_layer(self, f"stage_{index}", value)
        return value


def stages(extractor: MLP) -> tuple[str, ...]:
    """Lists the stages: the layers.

    Args:
        extractor: The network.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    count = len(extractor.hidden)
    return tuple(rf"(dense|normalization)_{index}/.*" for index in range(count))


class TaskHead(nn.Module):
    """Turns features into class logits.

    Attributes:
        num_classes: Number of logits.
        single_unit: Whether the last layer has one unit, with value z, for two classes. The logits
            are then 0 and z: their softmax is the sigmoid of z and its complement, their
            cross-entropy the binary one, and whatever takes logits of classes takes these.
        hidden: Units of the hidden layers before the last one; none by default.
        activation: A key of `ACTIVATIONS`, after each hidden layer.
        kernel_init: A key of `KERNEL_INITIALIZERS`.
        dropout: Share of the units set to zero after each hidden layer.
        dtype: A name of `mode.DTYPES`; the logits are computed in float32 under both.
    """

    num_classes: int
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    kernel_init: str = "lecun_normal"
    dropout: float = 0.0
    dtype: str = "float32"
    single_unit: bool = False

    @nn.compact
    def __call__(
        self, features: Float[Array, "batch feature"], *, mode: Mode
    ) -> Float[Array, "batch class"]:
        """Computes logits.

        Args:
            features: Output of the feature extractor.
            mode: Which parts behave as in training.

        Returns:
            Unnormalised log-probabilities.
        """
        value = MLP(
            self.hidden,
            self.activation,
            kernel_init=self.kernel_init,
            dropout=self.dropout,
            dtype=self.dtype,
            name="hidden",
        )(features, mode=mode)
        # The parameters are float32 at least, so that the product is too.
        logits = nn.Dense(
            1 if self.single_unit else self.num_classes,
            name="logits",
            kernel_init=KERNEL_INITIALIZERS[self.kernel_init],
        )(value)
        if not self.single_unit:
            return logits
        return jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)


class MultiHead(nn.Module):
    """Several task heads on the same features.

    Attributes:
        units: Name and number of outputs of each head.
        options: Attributes of `TaskHead` that all of them have, each with layers of its own.
    """

    units: tuple[tuple[str, int], ...]
    options: Mapping[str, Any]

    @nn.compact
    def __call__(
        self, features: Float[Array, "batch feature"], *, mode: Mode
    ) -> Float[Array, "batch output"]:
        """Computes the outputs of all heads.

        Args:
            features: Output of the feature extractor.
            mode: Which parts behave as in training.

        Returns:
            Theirs behind one another.
        """
        outputs = [
            TaskHead(units, **self.options, name=name)(features, mode=mode)
            for name, units in self.units
        ]
        return jnp.concatenate(outputs, axis=-1)
