"""A transformer over the words of a text."""

import flax.linen as nn
from jaxtyping import Array, Float

from common.models.mode import Dropout, Mode, name_layer, run_stage
from common.models.token import Embedding, mean_of_words, token_numbers, word_mask
from common.models.vit import ViTBlock, layer_norm, stages_of_blocks


class TextTransformer(nn.Module):
    """An encoder that is normalised before each sub-layer, with learned positions.

    No word attends to padding, and the features are the mean over words alone: how far a text is
    filled up changes nothing. Its layers are normalised by LayerNorm under every policy of
    `config.model.normalization`: LayerNorm has no batch statistics, and no domain influences
    another.

    Attributes:
        vocabulary_size: How many numbers words have, as `config.data.vocabulary_size`.
        blocks: Number of blocks.
        width: Units of each token.
        heads: Number of heads of attention; they divide the width.
        hidden: Units between the two dense layers of a block.
        gelu: A key of `vit.GELUS`.
        layer_norm_epsilon: Added to variances.
        dropout: Share of the units set to zero, after the positions are added as well.
        normalization: Without influence.
        dtype: A name of `mode.DTYPES`.
        remat: Whether the backward pass computes the stem and each block again.

    References:
        Vaswani et al., Attention Is All You Need, NIPS 2017; with the normalisation first, Xiong et
        al., On Layer Normalization in the Transformer Architecture, ICML 2020.
    """

    vocabulary_size: int = 10_000
    blocks: int = 4
    width: int = 128
    heads: int = 4
    hidden: int = 512
    gelu: str = "erf"
    layer_norm_epsilon: float = 1e-6
    dropout: float = 0.0
    normalization: str = "none"
    dtype: str = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch token"], *, mode: Mode
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Numbers of words, 0 for padding; every text is as long as the longest.
            mode: Which parts behave as in training.

        Returns:
            As many features as the tokens have units.

        Raises:
            ValueError: Pictures, or heads that do not divide the width.
        """
        if self.width % self.heads:
            raise ValueError(
                f"config.model.options.heads is {self.heads}, but must divide "
                f"config.model.options.width, which is {self.width}"
            )
        mask = word_mask(token_numbers(images))

        def stem(module: TextTransformer, value: Array) -> Array:
            positions = module.param(
                "positions", nn.initializers.truncated_normal(0.02), (value.shape[1], module.width)
            )
            value = Embedding(module.vocabulary_size, module.width, module.dtype, name="embedding")(
                value
            )
            value = value + positions.astype(value.dtype)[None]
            return Dropout(module.dropout, name="dropout")(value, mode=mode)

        value = run_stage(self, stem, images, remat=self.remat)
        value = name_layer(self, "stage_0", value)
        for index in range(self.blocks):

            def block(module: TextTransformer, value: Array, name: str = f"block_{index}") -> Array:
                return ViTBlock(
                    module.heads,
                    module.hidden,
                    module.gelu,
                    module.layer_norm_epsilon,
                    module.dropout,
                    module.dtype,
                    name=name,
                )(value, mode=mode, mask=mask)

            value = run_stage(self, block, value, remat=self.remat)
            value = name_layer(self, f"stage_{index + 1}", value)
        value = mean_of_words(value, mask)
        return layer_norm(self.layer_norm_epsilon, self.dtype, "normalization")(value)


def stages(extractor: TextTransformer) -> tuple[str, ...]:
    """Lists the stages: words and positions, then each block, the last LayerNorm with the last.

    Args:
        extractor: The network.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    return stages_of_blocks("embedding/.*|positions", extractor.blocks)
