"""Convolution and pooling with one set of parameters and a form per platform.

Training runs inside `lax.scan` and often under `vmap`. There, XLA's convolution for CPUs is about
ten times slower than outside, and a convolution with a kernel per member becomes a grouped one.
On CPUs the same sums are therefore taken as patches times a matrix, and pooling as a reshape and a
maximum; other platforms keep their native operations.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax
from jaxtyping import Array, Float

from common.legal import check_count
from common.models.mode import computation_type

PADDINGS = ("SAME", "VALID")


def convolve_native(
    images: Float[Array, "batch height width channel"],
    kernel: Float[Array, "kernel_height kernel_width channel output"],
    stride: int,
    padding: str | int,
) -> Float[Array, "batch rows columns output"]:
    """Convolves with XLA's own operation.

    Args:
        images: Pictures.
        kernel: Weights.
        stride: Pixels between two outputs, the same in both axes.
        padding: `SAME`, `VALID`, or pixels of zeros on every side.

    Returns:
        The feature maps, without bias.
    """
    return lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        _pads(images.shape, kernel.shape[:2], stride, padding),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def convolve_patches(
    images: Float[Array, "batch height width channel"],
    kernel: Float[Array, "kernel_height kernel_width channel output"],
    stride: int,
    padding: str | int,
) -> Float[Array, "batch rows columns output"]:
    """Convolves as one matrix product over shifted copies of the pictures.

    Args:
        images: Pictures.
        kernel: Weights.
        stride: Pixels between two outputs, the same in both axes.
        padding: `SAME`, `VALID`, or pixels of zeros on every side.

    Returns:
        The feature maps, without bias; equal to `convolve_native` up to rounding.
    """
    batch = images.shape[0]
    kernel_height, kernel_width, _, output = kernel.shape
    pads = _pads(images.shape, kernel.shape[:2], stride, padding)
    padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
    patches = jnp.concatenate(_shifted(padded, kernel_height, kernel_width, stride), axis=-1)
    rows, columns = patches.shape[1:3]
    product = patches.reshape(batch * rows * columns, -1) @ kernel.reshape(-1, output)
    return product.reshape(batch, rows, columns, output)


def max_pool_native(
    images: Float[Array, "batch height width channel"], window: int, stride: int, padding: str | int
) -> Float[Array, "batch rows columns channel"]:
    """Takes the maximum over windows by XLA's own operation.

    Args:
        images: Feature maps.
        window: Side of the square window in pixels.
        stride: Pixels between two windows, the same in both axes.
        padding: `SAME`, `VALID`, or pixels on every side; the last two leave out a remainder at
            the lower right.

    Returns:
        The pooled maps.
    """
    # flax takes pixels too, but declares text alone.
    pads: Any = _pads(images.shape, (window, window), stride, padding)
    return nn.max_pool(images, (window, window), (stride, stride), pads)


def max_pool_slices(
    images: Float[Array, "batch height width channel"], window: int, stride: int, padding: str | int
) -> Float[Array, "batch rows columns channel"]:
    """Takes the maximum over windows as one over shifted copies of the maps.

    Args:
        images: Feature maps.
        window: Side of the square window in pixels.
        stride: Pixels between two windows, the same in both axes.
        padding: `SAME`, `VALID`, or pixels on every side; the last two leave out a remainder at
            the lower right.

    Returns:
        The pooled maps. Where a window holds its maximum more than once the gradient goes to the
        first place, as in `max_pool_native`.
    """
    batch, height, width, channel = images.shape
    if stride == window and padding in ("VALID", 0):
        # Windows that do not overlap are blocks: a reshape is faster than copies.
        rows, columns = height // window, width // window
        kept = images[:, : rows * window, : columns * window]
        kept = kept.reshape(batch, rows, window, columns, window, channel)
        kept = _largest([kept[:, :, :, :, column] for column in range(window)])
        return _largest([kept[:, :, row] for row in range(window)])
    pads = _pads(images.shape, (window, window), stride, padding)
    padded = jnp.pad(images, ((0, 0), *pads, (0, 0)), constant_values=-jnp.inf)
    return _largest(_shifted(padded, window, window, stride))


def _pads(
    shape: tuple[int, ...], window: tuple[int, ...], stride: int, padding: str | int
) -> list[tuple[int, int]]:
    """Counts the pixels before and after each of the two axes of maps."""
    if isinstance(padding, int):
        return [(padding, padding)] * 2
    return list(lax.padtype_to_pads(shape[1:3], window, (stride, stride), padding))


def _largest(values: list[Array]) -> Array:
    """Takes the elementwise maximum; the gradient goes to the first of the largest.

    The derivative of `jnp.max` asks which values equal the maximum. A compiler may compute both
    anew, round them in two ways, and find none: gradients are then lost, or 0 / 0. Here values are
    compared with each other alone. What is no number is passed on: pooling must not hide it.
    """

    def larger(best, value):
        return jnp.where((value > best) | jnp.isnan(value), value, best)

    return functools.reduce(larger, values)


def _shifted(padded: Array, height: int, width: int, stride: int) -> list[Array]:
    """Lists what each place of a window sees of padded maps, a copy a place."""
    batch, rows, columns, channel = padded.shape
    last_row = (rows - height) // stride * stride
    last_column = (columns - width) // stride * stride
    return [
        lax.slice(
            padded,
            (0, row, column, 0),
            (batch, row + last_row + 1, column + last_column + 1, channel),
            (1, stride, stride, 1),
        )
        for row in range(height)
        for column in range(width)
    ]


def _by_platform(on_cpu: Callable, elsewhere: Callable) -> Callable:
    """Chooses between two forms at lowering, in the forward and in the backward pass.

    Differentiating through `lax.platform_dependent` would keep the residuals of both forms, such
    as patches nine times the size of their picture. Here the inputs alone are kept, and each
    platform's backward pass recomputes what its form needs.
    """

    @jax.custom_vjp
    def apply(*inputs):
        return lax.platform_dependent(*inputs, cpu=on_cpu, default=elsewhere)

    def forward(*inputs):
        return apply(*inputs), inputs

    def backward(inputs, cotangent):
        def pull_back(form):
            return lambda cotangent, *inputs: jax.vjp(form, *inputs)[1](cotangent)

        return lax.platform_dependent(
            cotangent, *inputs, cpu=pull_back(on_cpu), default=pull_back(elsewhere)
        )

    apply.defvjp(forward, backward)
    return apply


def convolve(
    images: Float[Array, "batch height width channel"],
    kernel: Float[Array, "kernel_height kernel_width channel output"],
    stride: int = 1,
    padding: str | int = "SAME",
) -> Float[Array, "batch rows columns output"]:
    """Convolves in the form that suits the platform the program is lowered for.

    Args:
        images: Pictures.
        kernel: Weights.
        stride: Pixels between two outputs, the same in both axes.
        padding: `SAME`, `VALID`, or pixels of zeros on every side.

    Returns:
        The feature maps, without bias.

    Raises:
        ValueError: The padding is another word or negative, or the pictures are smaller than the
            kernel.
    """
    _check_window(images.shape, kernel.shape[:2], padding)
    return _by_platform(
        lambda images, kernel: convolve_patches(images, kernel, stride, padding),
        lambda images, kernel: convolve_native(images, kernel, stride, padding),
    )(images, kernel)


def max_pool(
    images: Float[Array, "batch height width channel"],
    window: int = 2,
    stride: int = 2,
    padding: str | int = "VALID",
) -> Float[Array, "batch rows columns channel"]:
    """Takes the maximum over windows in the form that suits the platform.

    Args:
        images: Feature maps.
        window: Side of the square window in pixels.
        stride: Pixels between two windows, the same in both axes.
        padding: `SAME`, `VALID`, or pixels of zeros on every side.

    Returns:
        The pooled maps.

    Raises:
        ValueError: The padding is another word or negative, or the maps are smaller than the
            window.
    """
    _check_window(images.shape, (window, window), padding)
    return _by_platform(
        lambda images: max_pool_slices(images, window, stride, padding),
        lambda images: max_pool_native(images, window, stride, padding),
    )(images)


def _check_window(shape: tuple[int, ...], window: tuple[int, ...], padding: str | int) -> None:
    if isinstance(padding, int):
        check_count("padding", padding, 0)
        around = 2 * padding
    elif padding not in PADDINGS:
        raise ValueError(
            f"padding is {padding!r}; legal are {', '.join(PADDINGS)} and whole numbers"
        )
    else:
        around = 0
    _, height, width, _ = shape
    if padding != "SAME" and (height + around < window[0] or width + around < window[1]):
        raise ValueError(
            f"a window of {window[0]} by {window[1]} pixels does not fit into maps of {height} by "
            f"{width}: the pictures are too small for this network; choose another "
            "config.model.name"
        )


class Convolution(nn.Module):
    """A convolution layer with the parameters `kernel` and `bias`, as `flax.linen.Conv` has them.

    Attributes:
        features: Number of output channels.
        window: Side of the square kernel in pixels.
        stride: Pixels between two outputs.
        padding: `SAME`, `VALID`, or pixels of zeros on every side.
        use_bias: Whether a bias is added.
        kernel_init: Initializer of the kernel.
        dtype: A name of `mode.DTYPES`.
    """

    features: int
    window: int
    stride: int = 1
    padding: str | int = "SAME"
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"]
    ) -> Float[Array, "batch rows columns output"]:
        """Applies the layer.

        Args:
            images: Pictures or feature maps.

        Returns:
            Feature maps with `features` channels.
        """
        shape = (self.window, self.window, images.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = None
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
        images, kernel, bias = promote_dtype(
            images, kernel, bias, dtype=computation_type(self.dtype)
        )
        maps = convolve(images, kernel, self.stride, self.padding)
        return maps if bias is None else maps + bias[None, None, None, :]
