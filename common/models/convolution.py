"""Convolution and pooling with one set of parameters and a form per platform.

Training runs inside `lax.scan` and often under `vmap`. There, XLA's convolution for CPUs is about
ten times slower than outside, and a convolution with a kernel per member becomes a grouped one.
On CPUs the same sums are therefore taken as patches times a matrix, and pooling as a reshape and a
maximum; other platforms keep their native operations.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

PADDINGS = ("SAME", "VALID")


def convolve_native(
    images: Float[Array, "batch height width channel"],
    kernel: Float[Array, "kernel_height kernel_width channel output"],
    stride: int,
    padding: str,
) -> Float[Array, "batch rows columns output"]:
    """Convolves with XLA's own operation.

    Args:
        images: Pictures.
        kernel: Weights.
        stride: Pixels between two outputs, the same in both axes.
        padding: `SAME` or `VALID`.

    Returns:
        The feature maps, without bias.
    """
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolve_patches(
    images: Float[Array, "batch height width channel"],
    kernel: Float[Array, "kernel_height kernel_width channel output"],
    stride: int,
    padding: str,
) -> Float[Array, "batch rows columns output"]:
    """Convolves as one matrix product over shifted copies of the pictures.

    Args:
        images: Pictures.
        kernel: Weights.
        stride: Pixels between two outputs, the same in both axes.
        padding: `SAME` or `VALID`.

    Returns:
        The feature maps, without bias; equal to `convolve_native` up to rounding.
    """
    batch, height, width, channel = images.shape
    kernel_height, kernel_width, _, output = kernel.shape
    pads = lax.padtype_to_pads(
        (height, width), (kernel_height, kernel_width), (stride, stride), padding
    )
    padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
    rows = (padded.shape[1] - kernel_height) // stride + 1
    columns = (padded.shape[2] - kernel_width) // stride + 1
    patches = jnp.concatenate(
        [
            lax.slice(
                padded,
                (0, row, column, 0),
                (
                    batch,
                    row + (rows - 1) * stride + 1,
                    column + (columns - 1) * stride + 1,
                    channel,
                ),
                (1, stride, stride, 1),
            )
            for row in range(kernel_height)
            for column in range(kernel_width)
        ],
        axis=-1,
    )
    product = patches.reshape(batch * rows * columns, -1) @ kernel.reshape(-1, output)
    return product.reshape(batch, rows, columns, output)


def max_pool_native(
    images: Float[Array, "batch height width channel"], window: int
) -> Float[Array, "batch rows columns channel"]:
    """Takes the maximum over windows that do not overlap, by XLA's own operation.

    Args:
        images: Feature maps.
        window: Side of the square window in pixels; a remainder at the lower right is left out.

    Returns:
        The pooled maps.
    """
    return nn.max_pool(images, (window, window), (window, window))


def max_pool_reshape(
    images: Float[Array, "batch height width channel"], window: int
) -> Float[Array, "batch rows columns channel"]:
    """Takes the maximum over windows that do not overlap, by a reshape.

    Args:
        images: Feature maps.
        window: Side of the square window in pixels; a remainder at the lower right is left out.

    Returns:
        The pooled maps. Where a window holds its maximum more than once the gradient is shared
        among the places, while `max_pool_native` gives it to the first.
    """
    batch, height, width, channel = images.shape
    rows, columns = height // window, width // window
    kept = images[:, : rows * window, : columns * window]
    return kept.reshape(batch, rows, window, columns, window, channel).max((2, 4))


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
    padding: str = "SAME",
) -> Float[Array, "batch rows columns output"]:
    """Convolves in the form that suits the platform the program is lowered for.

    Args:
        images: Pictures.
        kernel: Weights.
        stride: Pixels between two outputs, the same in both axes.
        padding: `SAME` or `VALID`.

    Returns:
        The feature maps, without bias.

    Raises:
        ValueError: The padding is another word.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; legal are {', '.join(PADDINGS)}")
    return _by_platform(
        lambda images, kernel: convolve_patches(images, kernel, stride, padding),
        lambda images, kernel: convolve_native(images, kernel, stride, padding),
    )(images, kernel)


def max_pool(
    images: Float[Array, "batch height width channel"], window: int = 2
) -> Float[Array, "batch rows columns channel"]:
    """Takes the maximum over windows in the form that suits the platform.

    Args:
        images: Feature maps.
        window: Side of the square window in pixels; windows do not overlap.

    Returns:
        The pooled maps.
    """
    return _by_platform(
        lambda images: max_pool_reshape(images, window),
        lambda images: max_pool_native(images, window),
    )(images)


class Convolution(nn.Module):
    """A convolution layer with the parameters `kernel` and `bias`, as `flax.linen.Conv` has them.

    Attributes:
        features: Number of output channels.
        window: Side of the square kernel in pixels.
        stride: Pixels between two outputs.
        padding: `SAME` or `VALID`.
        use_bias: Whether a bias is added.
        kernel_init: Initializer of the kernel.
    """

    features: int
    window: int
    stride: int = 1
    padding: str = "SAME"
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

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
        maps = convolve(images, kernel, self.stride, self.padding)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            maps = maps + bias[None, None, None, :]
        return maps
