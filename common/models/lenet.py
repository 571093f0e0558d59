"""The MNIST network of the DANN paper."""

import flax.linen as nn
from jaxtyping import Array, Float

from common.models.convolution import Convolution, max_pool
from common.models.normalization import Normalization


class LeNet(nn.Module):
    """Two convolutions with pooling, the feature extractor of the paper's MNIST network.

    The paper's task head is `TaskHead(hidden=(100, 100))` and its discriminator has one hidden
    layer of 100 units. The paper uses no normalisation layer.

    Attributes:
        normalization: A layer of `normalization.LAYER_OF_POLICY`, before each activation.

    References:
        Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17 (2016), figure 4a.
    """

    normalization: str = "none"

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Pictures of at least 16 by 16 pixels.
            train: Whether batch statistics are in training mode.

        Returns:
            The flattened maps of the second stage, 768 for pictures of 28 by 28 pixels.
        """
        value = images
        for index, channels in enumerate((32, 48)):
            value = Convolution(channels, 5, padding="VALID", name=f"convolution_{index}")(value)
            value = Normalization(self.normalization, name=f"normalization_{index}")(
                value, train=train
            )
            value = max_pool(nn.relu(value))
            self.sow("layers", f"stage_{index}", value)
        return value.reshape(value.shape[0], -1)
