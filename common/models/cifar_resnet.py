"""The residual networks for CIFAR."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.models.input_statistics import standardize
from common.models.mode import Mode, name_layer, run_stage
from common.models.residual import convolve

KERNEL_INIT = nn.initializers.he_normal()


class CifarBlock(nn.Module):
    """Two convolutions and a shortcut without parameters (option A).

    Attributes:
        channels: Feature maps of both convolutions.
        stride: Pixels between two outputs of the first.
        normalization: A layer of `normalization.LAYER_OF_POLICY`.
        groups: Of group normalisation.
        dtype: A name of `mode.DTYPES`.
    """

    channels: int
    stride: int
    normalization: str
    groups: int
    dtype: str

    @nn.compact
    def __call__(
        self, maps: Float[Array, "batch height width channel"], *, mode: Mode
    ) -> Float[Array, "batch rows columns output"]:
        """Adds to the maps what the convolutions make of them.

        Args:
            maps: Feature maps.
            mode: Which parts behave as in training.

        Returns:
            Feature maps with `channels` channels.
        """
        value = maps
        for index, stride in enumerate((self.stride, 1)):
            value = convolve(
                *(self, value, self.channels, 3, stride),
                name=f"{{}}_{index}",
                kernel_init=KERNEL_INIT,
                mode=mode,
            )
            value = nn.relu(value) if index == 0 else value
        missing = self.channels - maps.shape[-1]
        before = missing // 2
        shortcut = jnp.pad(
            maps[:, :: self.stride, :: self.stride],
            ((0, 0), (0, 0), (0, 0), (before, missing - before)),
        )
        return nn.relu(value + shortcut.astype(value.dtype))


class CifarResNet20(nn.Module):
    """A stem and three stages of residual blocks; the mean over all pixels gives the features.

    Where a block halves the maps, its shortcut takes every second pixel and adds channels of zeros,
    half of them before and half after its own. The order of convolution, normalisation and
    activation is that of the paper; the implementation it is compared with is Yerlan Idelbayev's
    (`pytorch_resnet_cifar10`), which reaches the paper's errors.

    Attributes:
        blocks: Blocks of each stage, of two convolutions each.
        channels: Feature maps of the three stages.
        groups: Of group normalisation, where the policy asks for it.
        input_statistics: A key of `input_statistics.INPUT_STATISTICS`.
        normalization: A layer of `normalization.LAYER_OF_POLICY`, after each convolution.
        dtype: A name of `mode.DTYPES`.
        remat: Whether the backward pass computes the stem and each block again.

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2.
    """

    blocks: int = 3
    channels: tuple[int, ...] = (16, 32, 64)
    groups: int = 4
    input_statistics: str = "none"
    normalization: str = "batch"
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
            The mean of each map of the last stage.
        """

        def stem(module: CifarResNet20, value: Array) -> Array:
            value = convolve(
                *(module, value, module.channels[0], 3),
                name="stem_{}",
                kernel_init=KERNEL_INIT,
                mode=mode,
            )
            return nn.relu(value)

        value = standardize(images, self.input_statistics)
        value = run_stage(self, stem, value, remat=self.remat)
        value = name_layer(self, "stage_0", value)
        for stage, channels in enumerate(self.channels, 1):
            for index in range(self.blocks):
                stride = 2 if stage > 1 and index == 0 else 1

                def block(
                    module: CifarResNet20,
                    value: Array,
                    channels: int = channels,
                    stride: int = stride,
                    name: str = f"stage_{stage}_block_{index}",
                ) -> Array:
                    return CifarBlock(
                        channels,
                        stride,
                        module.normalization,
                        module.groups,
                        module.dtype,
                        name=name,
                    )(value, mode=mode)

                value = run_stage(self, block, value, remat=self.remat)
            value = name_layer(self, f"stage_{stage}", value)
        return jnp.mean(value, (1, 2))


class CifarResNet32(CifarResNet20):
    """The same with 32 layers."""

    blocks: int = 5


class CifarResNet44(CifarResNet20):
    """The same with 44 layers."""

    blocks: int = 7


class CifarResNet56(CifarResNet20):
    """The same with 56 layers."""

    blocks: int = 9


def stages(extractor: CifarResNet20) -> tuple[str, ...]:
    """Lists the stages.

    Args:
        extractor: The network.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    return ("stem_.*", *(rf"stage_{index + 1}_.*" for index in range(len(extractor.channels))))
