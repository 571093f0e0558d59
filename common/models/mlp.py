"""Dense networks: the hidden layers of a multi-layer perceptron, and the task head."""

import flax.linen as nn
from jaxtyping import Array, Float

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
    """

    hidden: tuple[int, ...] = (100,)
    activation: str = "relu"
    normalization: str = "none"
    kernel_init: str = "lecun_normal"
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch *shape"], *, train: bool
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Pictures, or vectors.
            train: Whether batch statistics and dropout are in training mode.

        Returns:
            The activations of the last hidden layer.
        """
        value = images.reshape(images.shape[0], -1)
        for index, units in enumerate(self.hidden):
            value = nn.Dense(
                units, name=f"dense_{index}", kernel_init=KERNEL_INITIALIZERS[self.kernel_init]
            )(value)
            value = Normalization(self.normalization, name=f"normalization_{index}")(
                value, train=train
            )
            value = ACTIVATIONS[self.activation](value)
            value = nn.Dropout(self.dropout, deterministic=not train)(value)
            self.sow("layers", f"stage_{index}", value)
        return value


class TaskHead(nn.Module):
    """Turns features into class logits.

    Attributes:
        num_classes: Number of logits.
        hidden: Units of the hidden layers before the last one; none by default.
        activation: A key of `ACTIVATIONS`, after each hidden layer.
        kernel_init: A key of `KERNEL_INITIALIZERS`.
        dropout: Share of the units set to zero after each hidden layer.
    """

    num_classes: int
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    kernel_init: str = "lecun_normal"
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, features: Float[Array, "batch feature"], *, train: bool
    ) -> Float[Array, "batch class"]:
        """Computes logits.

        Args:
            features: Output of the feature extractor.
            train: Whether dropout is in training mode.

        Returns:
            Unnormalised log-probabilities.
        """
        value = MLP(
            self.hidden,
            self.activation,
            kernel_init=self.kernel_init,
            dropout=self.dropout,
            name="hidden",
        )(features, train=train)
        return nn.Dense(
            self.num_classes, name="logits", kernel_init=KERNEL_INITIALIZERS[self.kernel_init]
        )(value)
