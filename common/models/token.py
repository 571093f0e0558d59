"""Texts as numbers of words: which are padding, what vectors they are, and their mean."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from common.models.mode import computation_type

PADDING = 0


def token_numbers(images: Float[Array, "batch token"]) -> Int[Array, "batch token"]:
    """Gives words their whole numbers back, which a batch holds in floating point.

    Args:
        images: Numbers below 2**24, exact in single precision.

    Returns:
        The numbers.

    Raises:
        ValueError: Pictures.
    """
    if images.ndim != 2:
        raise ValueError(
            f"a text is a row of words, and the examples have shape {images.shape[1:]}"
        )
    return images.astype(jnp.int32)


def word_mask(numbers: Int[Array, "batch token"]) -> Bool[Array, "batch token"]:
    """Says where a text has a word.

    Args:
        numbers: Of words.

    Returns:
        False for padding.
    """
    return numbers != PADDING


class Embedding(nn.Module):
    """A vector for each word.

    Attributes:
        vocabulary_size: How many numbers words have.
        width: Units of a vector.
        dtype: A name of `mode.DTYPES`.
    """

    vocabulary_size: int
    width: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, images: Float[Array, "batch token"]) -> Float[Array, "batch token width"]:
        """Looks words up.

        Args:
            images: Numbers of words.

        Returns:
            Their vectors; that of padding is one as any other, and nothing may read it.
        """
        return nn.Embed(
            self.vocabulary_size,
            self.width,
            dtype=computation_type(self.dtype),
            embedding_init=nn.initializers.truncated_normal(0.02),
            name="words",
        )(token_numbers(images))


def mean_of_words(
    values: Float[Array, "batch token width"], mask: Bool[Array, "batch token"]
) -> Float[Array, "batch width"]:
    """Averages over the words of each text.

    Args:
        values: Vectors of all tokens.
        mask: Which of them are words.

    Returns:
        The means; zero for a text without a word.
    """
    kept = jnp.where(mask[:, :, None], values, jnp.zeros_like(values))
    count = jnp.maximum(jnp.sum(mask, axis=1), 1).astype(values.dtype)
    return jnp.sum(kept, axis=1) / count[:, None]
