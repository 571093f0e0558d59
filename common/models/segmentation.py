"""A head for a label at every pixel."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.models.mode import Mode, computation_type


class SegmentationHead(nn.Module):
    """Scores every place of a map, and interpolates the scores to the size of the pictures.

    The scoring layer of a fully convolutional network: a convolution of one place, then bilinear
    interpolation, here with fixed weights and without skip connections.

    Attributes:
        num_classes: Logits a pixel.
        dtype: A name of `mode.DTYPES`; the logits are computed in float32 under both.

    References:
        Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR (2015), sections
        3.1 and 3.3.
    """

    num_classes: int
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, maps: Float[Array, "batch row column channel"], *, mode: Mode, size: tuple[int, int]
    ) -> Float[Array, "batch height width class"]:
        """Computes the logits of every pixel.

        Args:
            maps: The last spatial map of a feature extractor.
            mode: Unused: no part behaves differently in training.
            size: Height and width of the pictures.

        Returns:
            Unnormalised log-probabilities. The centres of a map's places lie evenly in the picture;
            beyond the outermost the scores stay the same.
        """
        del mode
        maps = maps.astype(computation_type(self.dtype) or maps.dtype)
        # The parameters are float32 at least, so that the product is too.
        scores = jnp.asarray(nn.Dense(self.num_classes, name="logits")(maps))
        shape = (len(scores), *size, self.num_classes)
        return jax.image.resize(scores, shape, "bilinear", antialias=False)
