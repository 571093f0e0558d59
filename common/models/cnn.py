"""A small network for pictures of 8 by 8 pixels."""

import flax.linen as nn
from jaxtyping import Array, Float

from common.models.convolution import Convolution, max_pool
from common.models.mlp import MLP
from common.models.mode import Mode, name_layer, run_stage
from common.models.normalization import Normalization


class CNN(nn.Module):
    """One normalised convolution with pooling, then normalised dense layers.

    Attributes:
        channels: Feature maps of the convolution.
        hidden: Units of the dense layers; the last gives the features.
        normalization: A layer of `normalization.LAYER_OF_POLICY`, before each activation.
        dtype: A name of `mode.DTYPES`.
        remat: Whether the backward pass computes each stage again.
    """

    channels: int = 24
    hidden: tuple[int, ...] = (128, 64)
    normalization: str = "group"
    dtype: str = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, mode: Mode
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Pictures.
            mode: Which parts behave as in training.

        Returns:
            The activations of the last dense layer.
        """

        def stage(module: CNN, value: Array) -> Array:
            value = Convolution(module.channels, 3, dtype=module.dtype, name="convolution")(value)
            value = Normalization(module.normalization, dtype=module.dtype, name="normalization")(
                value, mode=mode
            )
            return max_pool(nn.relu(value))

        value = run_stage(self, stage, images, remat=self.remat)
        value = name_layer(self, "stage_0", value)
        return MLP(
            self.hidden,
            normalization=self.normalization,
            dtype=self.dtype,
            remat=self.remat,
            name="dense",
        )(value, mode=mode)


def stages(extractor: CNN) -> tuple[str, ...]:
    """Lists the stages: the convolution, then each dense layer.

    Args:
        extractor: The network.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    dense = (rf"dense/(dense|normalization)_{index}/.*" for index in range(len(extractor.hidden)))
    return ("(convolution|normalization)/.*", *dense)
