"""A small network for pictures of 8 by 8 pixels."""

import flax.linen as nn
from jaxtyping import Array, Float

from common.models.convolution import Convolution, max_pool
from common.models.mlp import MLP
from common.models.normalization import Normalization


class CNN(nn.Module):
    """One normalised convolution with pooling, then normalised dense layers.

    Attributes:
        channels: Feature maps of the convolution.
        hidden: Units of the dense layers; the last gives the features.
        normalization: A layer of `normalization.LAYER_OF_POLICY`, before each activation.
    """

    channels: int = 24
    hidden: tuple[int, ...] = (128, 64)
    normalization: str = "group"

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Pictures.
            train: Whether batch statistics are in training mode.

        Returns:
            The activations of the last dense layer.
        """
        value = Convolution(self.channels, 3, name="convolution")(images)
        value = Normalization(self.normalization, name="normalization")(value, train=train)
        value = max_pool(nn.relu(value))
        self.sow("layers", "stage_0", value)
        return MLP(self.hidden, normalization=self.normalization, name="dense")(value, train=train)
