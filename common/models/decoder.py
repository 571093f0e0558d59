"""From features, or from a map, back to a picture."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.models.convolution import Convolution
from common.models.mode import computation_type

# Side at which a picture begins that is made of features, and how often it is doubled at most.
FIRST_SIDE, MOST_DOUBLINGS = 4, 5


class Decoder(nn.Module):
    """A dense layer, then enlargements that a convolution of 3x3 pixels follows each.

    Features become maps of about 4 pixels a side; a map is read where it stands. Each enlargement
    doubles a side by bilinear interpolation: a transposed convolution instead leaves a pattern of
    squares. There is no normalisation, so no domain influences another.

    Attributes:
        shape: Height, width and channels of the pictures.
        channels: Maps between the layers.
        dtype: A name of `mode.DTYPES`; pictures are float32 at least under both.

    References:
        Odena, Dumoulin and Olah, Deconvolution and Checkerboard Artifacts, Distill (2016).
    """

    shape: tuple[int, int, int]
    channels: int = 16
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, code: Float[Array, "batch *axes"]
    ) -> Float[Array, "batch height width channel"]:
        """Draws pictures.

        Args:
            code: Features, or maps with channels last.

        Returns:
            Pictures; their values have no bound.
        """
        height, width, channels = self.shape
        code = code.astype(computation_type(self.dtype) or code.dtype)
        doublings = count_doublings(self.shape, code.shape)
        rows, columns = (-(-side // 2**doublings) for side in (height, width))
        if code.ndim == 2:
            units = rows * columns * self.channels
            value = nn.Dense(units, dtype=code.dtype, name="dense")(code)
            value = value.reshape(-1, rows, columns, self.channels)
        else:
            value = Convolution(self.channels, 1, dtype=self.dtype, name="entry")(code)
        for index in reversed(range(doublings)):
            sides = [-(-side // 2**index) for side in (height, width)]
            value = _resize(nn.relu(value), *sides)
            value = Convolution(
                self.channels, 3, dtype=self.dtype, name=f"convolution_{doublings - 1 - index}"
            )(value)
        value = _resize(nn.relu(value), height, width)
        picture = Convolution(channels, 3, dtype=self.dtype, name="picture")(value)
        return picture.astype(jnp.promote_types(picture.dtype, jnp.float32))


def count_doublings(shape: tuple[int, ...], code: tuple[int, ...]) -> int:
    """Says how often a side is doubled.

    Args:
        shape: Of a picture: height, width, channels.
        code: Shape of a batch of features or maps.

    Returns:
        Of features, so often that about `FIRST_SIDE` pixels become the picture's shorter side; of
        a map, so often that it has about the picture's.
    """
    first = FIRST_SIDE if len(code) == 2 else min(code[1:3])
    ratio = max(min(shape[:2]) / first, 1)
    return min(int(ratio).bit_length() - 1, MOST_DOUBLINGS)


def _resize(maps: Array, height: int, width: int) -> Array:
    """Interpolates maps to another size."""
    if maps.shape[1:3] == (height, width):
        return maps
    shape = (maps.shape[0], height, width, maps.shape[3])
    return jax.image.resize(maps, shape, "bilinear", antialias=False)
