"""The network of 16 layers of the Visual Geometry Group."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from common.models.convolution import Convolution, max_pool
from common.models.input_statistics import standardize
from common.models.mode import Dropout, Mode, computation_type, name_layer, run_stage
from common.models.normalization import Normalization

KERNEL_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
DENSE_INIT = nn.initializers.normal(0.01)

# No stage has more channels than this many times those of the first.
LARGEST_MULTIPLE = 8


class VGG16(nn.Module):
    """Five stages of 3 by 3 convolutions with pooling, then two dense layers of 4,096 units.

    The dense layers belong to the extractor: the features are what the last linear layer of the
    paper's network is given. Maps are brought to 7 by 7 by adaptive average pooling, as in
    torchvision, so that pictures need not have 224 pixels. Without normalisation this is the
    paper's network D (torchvision's `vgg16`), with batch normalisation `vgg16_bn`; convolutions
    have a bias in both, and the dense layers no normalisation.

    Attributes:
        blocks: Convolutions of each stage.
        width: Feature maps of the first stage; the next have 2, 4, 8 and 8 times as many.
        hidden: Units of the dense layers.
        pooled: Rows and columns that the maps are brought to.
        dropout: Share of the units set to zero after each dense layer.
        groups: Of group normalisation, where the policy asks for it.
        input_statistics: A key of `input_statistics.INPUT_STATISTICS`.
        normalization: A layer of `normalization.LAYER_OF_POLICY`, after each convolution.
        dtype: A name of `mode.DTYPES`.
        remat: Whether the backward pass computes each stage again.

    References:
        Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
        ICLR 2015.
    """

    blocks: tuple[int, ...] = (2, 2, 3, 3, 3)
    width: int = 64
    hidden: tuple[int, ...] = (4096, 4096)
    pooled: int = 7
    dropout: float = 0.5
    groups: int = 32
    input_statistics: str = "none"
    normalization: str = "none"
    dtype: str = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, mode: Mode
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Pictures of at least 32 by 32 pixels.
            mode: Which parts behave as in training.

        Returns:
            The activations of the last dense layer.
        """
        value = standardize(images, self.input_statistics)
        for stage, count in enumerate(self.blocks):

            def convolve(
                module: VGG16, value: Array, stage: int = stage, count: int = count
            ) -> Array:
                for index in range(count):
                    value = Convolution(
                        module.width * min(2**stage, LARGEST_MULTIPLE),
                        3,
                        padding=1,
                        kernel_init=KERNEL_INIT,
                        dtype=module.dtype,
                        name=f"stage_{stage}_convolution_{index}",
                    )(value)
                    value = Normalization(
                        module.normalization,
                        module.groups,
                        dtype=module.dtype,
                        name=f"stage_{stage}_normalization_{index}",
                    )(value, mode=mode)
                    value = nn.relu(value)
                return max_pool(value)

            value = run_stage(self, convolve, value, remat=self.remat)
            value = name_layer(self, f"stage_{stage}", value)
        value = average_pool(value, self.pooled)
        value = value.reshape(value.shape[0], -1)
        for index, units in enumerate(self.hidden):

            def connect(module: VGG16, value: Array, index: int = index, units: int = units):
                value = nn.Dense(
                    units,
                    dtype=computation_type(module.dtype),
                    kernel_init=DENSE_INIT,
                    name=f"dense_{index}",
                )(value)
                return Dropout(module.dropout, name=f"dropout_{index}")(nn.relu(value), mode=mode)

            value = run_stage(self, connect, value, remat=self.remat)
            value = name_layer(self, f"stage_{len(self.blocks) + index}", value)
        return value


def average_pool(
    maps: Float[Array, "batch height width channel"], size: int
) -> Float[Array, "batch size size channel"]:
    """Averages maps over windows that cover them, as `AdaptiveAvgPool2d` of PyTorch does.

    Along an axis of n pixels, window i reaches from pixel floor(i n / size) up to, but not
    including, pixel ceil((i + 1) n / size).

    Args:
        maps: Feature maps of any size.
        size: Rows and columns of the result.

    Returns:
        Maps of that size; unchanged where they have it.
    """
    for axis in (1, 2):
        length = maps.shape[axis]
        if length == size:
            continue
        weights = np.zeros((size, length), np.float32)
        for index in range(size):
            start, stop = index * length // size, -(-(index + 1) * length // size)
            weights[index, start:stop] = 1 / (stop - start)
        pooled = jnp.tensordot(maps, jnp.asarray(weights, maps.dtype), axes=((axis,), (1,)))
        maps = jnp.moveaxis(pooled, -1, axis)
    return maps


def stages(extractor: VGG16) -> tuple[str, ...]:
    """Lists the stages: of convolutions, then each dense layer.

    Args:
        extractor: The network.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    return (
        *(rf"stage_{index}_.*" for index in range(len(extractor.blocks))),
        *(rf"dense_{index}/.*" for index in range(len(extractor.hidden))),
    )
