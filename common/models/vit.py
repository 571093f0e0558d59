"""Vision transformers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from common.models.input_statistics import standardize
from common.models.mode import Dropout, Mode, computation_type, name_layer, run_stage
from common.models.resampling import resize_grid

GELUS = {"erf": False, "tanh": True}
FEATURES = ("class_token", "mean")

KERNEL_INIT = nn.initializers.truncated_normal(0.02)


class Attention(nn.Module):
    """Every token asks every token; heads side by side.

    Attributes:
        heads: Number of heads; they share the width among them.
        dtype: A name of `mode.DTYPES`; the shares are computed in float32 under both.

    References:
        Vaswani et al., Attention Is All You Need, NIPS 2017, section 3.2.
    """

    heads: int
    dtype: str

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch token width"],
        mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch token width"]:
        """Mixes the tokens.

        Args:
            tokens: Normalised tokens.
            mask: Which tokens are asked, at least one; None for all.

        Returns:
            What is added to them.
        """
        width = tokens.shape[-1]

        def dense(name: str, value: Array) -> Array:
            return nn.Dense(
                width, dtype=computation_type(self.dtype), kernel_init=KERNEL_INIT, name=name
            )(value)

        def split(name: str) -> Array:
            return dense(name, tokens).reshape(*tokens.shape[:2], self.heads, -1)

        query, key, value = split("query"), split("key"), split("value")
        scale = (width // self.heads) ** -0.5
        logits = jnp.einsum("bqhd,bkhd->bhqk", query * scale, key)
        single = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        if mask is not None:
            single = jnp.where(mask[:, None, None], single, jnp.finfo(single.dtype).min)
        shares = jax.nn.softmax(single).astype(value.dtype)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", shares, value)
        return dense("output", mixed.reshape(tokens.shape))


class ViTBlock(nn.Module):
    """Attention, then two dense layers for each token, both added to what they are given.

    Attributes:
        heads: Number of heads.
        hidden: Units between the two dense layers.
        gelu: A key of `GELUS`.
        layer_norm_epsilon: Added to variances.
        dropout: Share of the units set to zero after attention and after each dense layer.
        dtype: A name of `mode.DTYPES`.
    """

    heads: int
    hidden: int
    gelu: str
    layer_norm_epsilon: float
    dropout: float
    dtype: str

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch token width"],
        *,
        mode: Mode,
        mask: Bool[Array, "batch token"] | None = None,
    ) -> Float[Array, "batch token width"]:
        """Applies the block.

        Args:
            tokens: The tokens of each picture, or of each text.
            mode: Which parts behave as in training.
            mask: Which tokens others attend to; None for all.

        Returns:
            Tokens of the same shape.
        """
        dtype = computation_type(self.dtype)
        value = layer_norm(self.layer_norm_epsilon, self.dtype, "normalization_0")(tokens)
        value = Attention(self.heads, self.dtype, name="attention")(value, mask)
        tokens = tokens + Dropout(self.dropout, name="dropout_0")(value, mode=mode)
        value = layer_norm(self.layer_norm_epsilon, self.dtype, "normalization_1")(tokens)
        value = nn.Dense(self.hidden, dtype=dtype, kernel_init=KERNEL_INIT, name="dense_0")(value)
        value = jax.nn.gelu(value, approximate=GELUS[self.gelu])
        value = Dropout(self.dropout, name="dropout_1")(value, mode=mode)
        value = nn.Dense(tokens.shape[-1], dtype=dtype, kernel_init=KERNEL_INIT, name="dense_1")(
            value
        )
        return tokens + Dropout(self.dropout, name="dropout_2")(value, mode=mode)


def layer_norm(epsilon: float, dtype: str, name: str) -> nn.LayerNorm:
    """Makes a layer normalisation as PyTorch computes it.

    Args:
        epsilon: Added to variances.
        dtype: A name of `mode.DTYPES`.
        name: Of the layer.

    Returns:
        The layer.
    """
    return nn.LayerNorm(
        epsilon,
        dtype=computation_type(dtype),
        # The mean of squares less the square of the mean would lose digits that PyTorch keeps.
        use_fast_variance=False,
        name=name,
    )


class ViTB16(nn.Module):
    """A transformer over patches of 16 by 16 pixels, normalised before each sub-layer.

    Its layers are normalised by LayerNorm under every policy of `config.model.normalization`:
    LayerNorm has no batch statistics, and no domain influences another.

    The positions are parameters for pictures of `picture_size`; pictures of another size get them
    interpolated, at every pass, so that the parameters keep the shape of the checkpoint.

    Attributes:
        blocks: Number of blocks.
        width: Units of each token.
        heads: Number of heads of attention; they divide the width.
        hidden: Units between the two dense layers of a block.
        patch: Side of a patch in pixels.
        picture_size: Side in pixels of the pictures whose positions are parameters.
        features: `class_token`: its last value; `mean`: the mean of the last values of the other
            tokens. The last LayerNorm comes after either (`fc_norm` in timm).
        gelu: `erf`: the exact form; `tanh`: its approximation.
        layer_norm_epsilon: Added to variances; 1e-6 in timm and torchvision, 1e-12 in transformers.
        resampling: A key of `resampling.CUBICS`: how positions are interpolated.
        dropout: Share of the units set to zero, after the positions are added as well.
        input_statistics: A key of `input_statistics.INPUT_STATISTICS`.
        normalization: Without influence.
        dtype: A name of `mode.DTYPES`.
        remat: Whether the backward pass computes the stem and each block again.

    References:
        Dosovitskiy et al., An Image Is Worth 16x16 Words: Transformers for Image Recognition at
        Scale, ICLR 2021.
    """

    blocks: int = 12
    width: int = 768
    heads: int = 12
    hidden: int = 3072
    patch: int = 16
    picture_size: int = 224
    features: str = "class_token"
    gelu: str = "erf"
    layer_norm_epsilon: float = 1e-6
    resampling: str = "antialiased"
    dropout: float = 0.0
    input_statistics: str = "none"
    normalization: str = "none"
    dtype: str = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, mode: Mode
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Pictures whose sides are multiples of `patch`.
            mode: Which parts behave as in training.

        Returns:
            As many features as the tokens have units.

        Raises:
            ValueError: Sizes that do not divide each other.
        """
        for key, size in (("picture_size", self.picture_size), ("picture", images.shape[1:3])):
            if any(side % self.patch for side in jax.tree.leaves(size)):
                where = f"config.model.options.{key}" if key == "picture_size" else "a picture"
                raise ValueError(
                    f"{where} has {size} pixels, which patches of {self.patch} by {self.patch} do "
                    "not cover; choose a multiple of config.model.options.patch, by "
                    "config.data.size for the pictures"
                )
        if self.width % self.heads:
            raise ValueError(
                f"config.model.options.heads is {self.heads}, but must divide "
                f"config.model.options.width, which is {self.width}"
            )

        def stem(module: ViTB16, value: Array) -> Array:
            batch, height, width, channels = value.shape
            rows, columns = height // module.patch, width // module.patch
            # A convolution whose windows do not overlap is one matrix product.
            value = value.reshape(batch, rows, module.patch, columns, module.patch, channels)
            value = value.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, -1)
            value = nn.Dense(
                module.width,
                dtype=computation_type(module.dtype),
                kernel_init=KERNEL_INIT,
                name="patch_embedding",
            )(value)
            side = module.picture_size // module.patch
            first = module.param("class_token", nn.initializers.normal(1e-6), (1, module.width))
            positions = module.param(
                "positions", nn.initializers.truncated_normal(0.02), (1 + side**2, module.width)
            )
            grid = resize_grid(
                positions[1:].reshape(side, side, -1), (rows, columns), module.resampling
            )
            positions = jnp.concatenate([positions[:1], grid.reshape(rows * columns, -1)])
            first = jnp.broadcast_to(first.astype(value.dtype)[None], (batch, 1, module.width))
            value = jnp.concatenate([first, value], 1) + positions.astype(value.dtype)[None]
            return Dropout(module.dropout, name="dropout")(value, mode=mode)

        value = standardize(images, self.input_statistics)
        value = run_stage(self, stem, value, remat=self.remat)
        value = name_layer(self, "stage_0", value)
        for index in range(self.blocks):

            def block(module: ViTB16, value: Array, name: str = f"block_{index}") -> Array:
                return ViTBlock(
                    module.heads,
                    module.hidden,
                    module.gelu,
                    module.layer_norm_epsilon,
                    module.dropout,
                    module.dtype,
                    name=name,
                )(value, mode=mode)

            value = run_stage(self, block, value, remat=self.remat)
            value = name_layer(self, f"stage_{index + 1}", value)
        value = value[:, 0] if self.features == "class_token" else jnp.mean(value[:, 1:], 1)
        return layer_norm(self.layer_norm_epsilon, self.dtype, "normalization")(value)


class ViTS16(ViTB16):
    """The same with half the width and half the heads (after DeiT)."""

    width: int = 384
    heads: int = 6
    hidden: int = 1536


def stages(extractor: ViTB16) -> tuple[str, ...]:
    """Lists the stages: patches and positions, then each block, the last LayerNorm with the last.

    Args:
        extractor: The network.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    return stages_of_blocks("patch_embedding/.*|class_token|positions", extractor.blocks)


def stages_of_blocks(first: str, blocks: int) -> tuple[str, ...]:
    """Lists what is before the blocks, then each block, the last LayerNorm with the last.

    Args:
        first: Pattern of the paths before the blocks.
        blocks: How many blocks there are.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    last = blocks - 1
    return (
        first,
        *(rf"block_{index}/.*" for index in range(last)),
        rf"(block_{last}|normalization)/.*",
    )
