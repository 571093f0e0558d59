"""Residual networks for pictures of the size of ImageNet's."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.models.convolution import max_pool
from common.models.input_statistics import standardize
from common.models.mode import Mode, name_layer, run_stage
from common.models.residual import convolve

KERNEL_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

# Channels at the end of a bottleneck, as a multiple of those inside it.
EXPANSION = 4


class ResidualBlock(nn.Module):
    """Convolutions and a shortcut, projected where the shapes differ (option B).

    Attributes:
        windows: Side of the kernel of each convolution: (3, 3), or (1, 3, 1) in a bottleneck.
        channels: Feature maps of each convolution.
        stride: Pixels between two outputs of the first convolution of 3 by 3 pixels.
        normalization: A layer of `normalization.LAYER_OF_POLICY`.
        groups: Of group normalisation.
        dtype: A name of `mode.DTYPES`.
    """

    windows: tuple[int, ...]
    channels: tuple[int, ...]
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
            Feature maps with as many channels as the last convolution has.
        """
        drawn = {"kernel_init": KERNEL_INIT, "mode": mode}
        value, strided = maps, self.windows.index(3)
        for index, (window, channels) in enumerate(zip(self.windows, self.channels, strict=True)):
            value = nn.relu(value) if index else value
            stride = self.stride if index == strided else 1
            value = convolve(self, value, channels, window, stride, name=f"{{}}_{index}", **drawn)
        if self.stride != 1 or maps.shape[-1] != self.channels[-1]:
            last = self.channels[-1]
            maps = convolve(self, maps, last, 1, self.stride, name="{}_shortcut", **drawn)
        return nn.relu(value + maps.astype(value.dtype))


class ResNet18(nn.Module):
    """A stem with pooling and four stages of residual blocks; the mean gives the features.

    In a bottleneck the stride is in the convolution of 3 by 3 pixels (v1.5, as in torchvision);
    the paper has it in the first of 1 by 1. Padding is the same on all sides, as in PyTorch.

    Attributes:
        blocks: Blocks of each stage.
        width: Feature maps of the stem; each stage has twice as many as the one before.
        groups: Of group normalisation, where the policy asks for it.
        input_statistics: A key of `input_statistics.INPUT_STATISTICS`.
        normalization: A layer of `normalization.LAYER_OF_POLICY`, after each convolution.
        dtype: A name of `mode.DTYPES`.
        remat: Whether the backward pass computes the stem and each block again.

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016, table 1.
        Wu and He, Group Normalization, ECCV 2018: 32 groups.
    """

    blocks: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    groups: int = 32
    input_statistics: str = "none"
    normalization: str = "batch"
    dtype: str = "float32"
    remat: bool = False

    # No attribute of a network: a class is one kind or the other.
    is_bottleneck = False

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

        def stem(module: ResNet18, value: Array) -> Array:
            value = convolve(
                *(module, value, module.width, 7, 2),
                name="stem_{}",
                kernel_init=KERNEL_INIT,
                mode=mode,
            )
            return max_pool(nn.relu(value), 3, 2, 1)

        value = standardize(images, self.input_statistics)
        value = run_stage(self, stem, value, remat=self.remat)
        value = name_layer(self, "stage_0", value)
        for stage, count in enumerate(self.blocks, 1):
            channels = self.width * 2 ** (stage - 1)
            for index in range(count):
                stride = 2 if stage > 1 and index == 0 else 1

                def block(
                    module: ResNet18,
                    value: Array,
                    channels: int = channels,
                    stride: int = stride,
                    name: str = f"stage_{stage}_block_{index}",
                ) -> Array:
                    wide = channels * EXPANSION
                    return ResidualBlock(
                        (1, 3, 1) if module.is_bottleneck else (3, 3),
                        (channels, channels, wide) if module.is_bottleneck else (channels,) * 2,
                        stride,
                        module.normalization,
                        module.groups,
                        module.dtype,
                        name=name,
                    )(value, mode=mode)

                value = run_stage(self, block, value, remat=self.remat)
            value = name_layer(self, f"stage_{stage}", value)
        return jnp.mean(value, (1, 2))


class ResNet34(ResNet18):
    """The same with 34 layers."""

    blocks: tuple[int, ...] = (3, 4, 6, 3)


class ResNet50(ResNet18):
    """The same with bottlenecks and 50 layers."""

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    is_bottleneck = True


class ResNet101(ResNet18):
    """The same with bottlenecks and 101 layers."""

    blocks: tuple[int, ...] = (3, 4, 23, 3)
    is_bottleneck = True


def stages(extractor: ResNet18) -> tuple[str, ...]:
    """Lists the stages.

    Args:
        extractor: The network.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    return ("stem_.*", *(rf"stage_{index + 1}_.*" for index in range(len(extractor.blocks))))
