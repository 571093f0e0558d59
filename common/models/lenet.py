"""The MNIST network of the DANN paper."""

import flax.linen as nn
from jaxtyping import Array, Float

from common.models.convolution import Convolution, max_pool
from common.models.mode import Mode, name_layer, run_stage
from common.models.normalization import Normalization


class LeNet(nn.Module):
    """Two convolutions with pooling, the feature extractor of the paper's MNIST network.

    The paper's task head is `TaskHead(hidden=(100, 100))` and its discriminator has one hidden
    layer of 100 units. The paper uses no normalisation layer.

    Attributes:
        normalization: A layer of `normalization.LAYER_OF_POLICY`, before each activation.
        dtype: A name of `mode.DTYPES`.
        remat: Whether the backward pass computes each stage again.

    References:
        Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17 (2016), figure 4a.
    """

    normalization: str = "none"
    dtype: str = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, mode: Mode
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Pictures of at least 16 by 16 pixels.
            mode: Which parts behave as in training.

        Returns:
            The flattened maps of the second stage, 768 for pictures of 28 by 28 pixels.
        """
        value = images
        for index, channels in enumerate((32, 48)):

            def stage(module: LeNet, value: Array, index: int = index, channels: int = channels):
                value = Convolution(
                    channels, 5, padding="VALID", dtype=module.dtype, name=f"convolution_{index}"
                )(value)
                value = Normalization(
                    module.normalization, dtype=module.dtype, name=f"normalization_{index}"
                )(value, mode=mode)
                return max_pool(nn.relu(value))

            value = run_stage(self, stage, value, remat=self.remat)
            value = name_layer(self, f"stage_{index}", value)
        return value.reshape(value.shape[0], -1)


def stages(extractor: LeNet) -> tuple[str, ...]:
    """Lists the stages: the two convolutions.

    Args:
        extractor: The network.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    del extractor
    return tuple(rf"(convolution|normalization)_{index}/.*" for index in range(2))
