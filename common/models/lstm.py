"""A recurrent network over the words of a text."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.models.mlp import MLP
from common.models.mode import Dropout, Mode, computation_type, name_layer, run_stage
from common.models.token import Embedding, mean_of_words, token_numbers, word_mask


class LSTM(nn.Module):
    """Layers of long short-term memory, the mean over words, then normalised dense layers.

    Backwards a layer begins at the last word, not at the padding behind it, and the mean is that of
    words alone: how far a text is filled up changes nothing.

    Attributes:
        vocabulary_size: How many numbers words have, as `config.data.vocabulary_size`.
        width: Units of a word's vector.
        units: Units of each recurrent layer, in each direction.
        bidirectional: Whether each layer also reads backwards; both readings stand side by side.
        hidden: Units of the dense layers; the last gives the features.
        dropout: Share of the units set to zero before each recurrent layer.
        normalization: A layer of `normalization.LAYER_OF_POLICY`, before each activation of the
            dense layers.
        dtype: A name of `mode.DTYPES`.
        remat: Whether the backward pass computes each stage again.

    References:
        Hochreiter and Schmidhuber, Long Short-Term Memory, Neural Computation 9 (1997); Graves and
        Schmidhuber, Framewise Phoneme Classification with Bidirectional LSTM, Neural Networks 18
        (2005).
    """

    vocabulary_size: int = 10_000
    width: int = 128
    units: tuple[int, ...] = (128,)
    bidirectional: bool = True
    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.0
    normalization: str = "group"
    dtype: str = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch token"], *, mode: Mode
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Numbers of words, 0 for the padding behind them.
            mode: Which parts behave as in training.

        Returns:
            The activations of the last dense layer.

        Raises:
            ValueError: Pictures.
        """
        mask = word_mask(token_numbers(images))
        lengths = jnp.sum(mask, axis=1)

        def stem(module: LSTM, value: Array) -> Array:
            return Embedding(module.vocabulary_size, module.width, module.dtype, name="embedding")(
                value
            )

        value = run_stage(self, stem, images, remat=self.remat)
        value = name_layer(self, "stage_0", value)
        for index, units in enumerate(self.units):

            def layer(module: LSTM, value: Array, index: int = index, units: int = units) -> Array:
                value = Dropout(module.dropout, name=f"dropout_{index}")(value, mode=mode)
                read = []
                for direction in ("forward", "backward")[: 1 + module.bidirectional]:
                    cell = nn.OptimizedLSTMCell(
                        units, dtype=computation_type(module.dtype), name=f"{direction}_{index}"
                    )
                    reader = nn.RNN(cell, reverse=direction == "backward", keep_order=True)
                    read.append(reader(value, seq_lengths=lengths))
                return jnp.concatenate(read, axis=-1)

            value = run_stage(self, layer, value, remat=self.remat)
            value = name_layer(self, f"stage_{index + 1}", value)
        return MLP(
            self.hidden,
            normalization=self.normalization,
            dtype=self.dtype,
            remat=self.remat,
            name="dense",
        )(mean_of_words(value, mask), mode=mode)


def stages(extractor: LSTM) -> tuple[str, ...]:
    """Lists the stages: the words, then each recurrent layer, then each dense layer.

    Args:
        extractor: The network.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    return (
        "embedding/.*",
        *(rf"(forward|backward)_{index}/.*" for index in range(len(extractor.units))),
        *(rf"dense/(dense|normalization)_{index}/.*" for index in range(len(extractor.hidden))),
    )
