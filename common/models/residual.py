"""What residual networks are made of: a convolution without biases, and its normalisation."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
from jaxtyping import Array

from common.models.convolution import Convolution
from common.models.mode import Mode
from common.models.normalization import Normalization


def convolve(
    module: Any,
    value: Array,
    channels: int,
    window: int,
    stride: int = 1,
    *,
    name: str,
    kernel_init: nn.initializers.Initializer,
    mode: Mode,
) -> Array:
    """Convolves and normalises, within a module.

    Args:
        module: Where it happens; `normalization`, `groups` and `dtype` are read.
        value: Feature maps, `[batch, height, width, channel]`.
        channels: Feature maps of the result.
        window: Side of the kernel; half of it is added to the maps on every side.
        stride: Pixels between two outputs.
        name: Of both layers, with `{}` in the place of `convolution` and of `normalization`.
        kernel_init: Draws the kernel.
        mode: Which parts behave as in training.

    Returns:
        Feature maps, before any activation.
    """
    value = Convolution(
        channels,
        window,
        stride,
        padding=window // 2,
        use_bias=False,
        kernel_init=kernel_init,
        dtype=module.dtype,
        name=name.format("convolution"),
    )(value)
    return Normalization(
        module.normalization,
        module.groups,
        dtype=module.dtype,
        name=name.format("normalization"),
    )(value, mode=mode)
