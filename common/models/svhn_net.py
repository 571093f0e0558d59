"""The SVHN network of the DANN paper."""

import flax.linen as nn
from jaxtyping import Array, Float

from common.models.convolution import Convolution, max_pool
from common.models.mode import Dropout, Mode, name_layer, run_stage
from common.models.normalization import Normalization


class SVHNNet(nn.Module):
    """Three convolutions, the feature extractor of the paper's network for SVHN.

    The paper's task head is `TaskHead(hidden=(3072, 2048))`, its discriminator has two hidden
    layers of 1024 units, and it trains with dropout and with a limit on the norm of each unit's
    incoming weights (`config.optimizer.max_norm`), both after Srivastava et al. The paper names
    neither their sizes nor the padding. Here convolutions and pooling pad (`SAME`), and the
    defaults are the rates of Srivastava et al. for SVHN: .1 for pixels, .25, .25 and .5 after the
    three convolutions, and .5 in the dense layers (`TaskHead(dropout=0.5)`).

    Attributes:
        channels: Feature maps of the three convolutions.
        dropout: Share of the units set to zero before the first and after each convolution.
        normalization: A layer of `normalization.LAYER_OF_POLICY`, before each activation; the
            paper uses none.
        dtype: A name of `mode.DTYPES`.
        remat: Whether the backward pass computes each stage again.

    References:
        Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17 (2016), figure 4b.
        Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR
        15 (2014), section 6.1.2 and appendix B.
    """

    channels: tuple[int, ...] = (64, 64, 128)
    dropout: tuple[float, ...] = (0.1, 0.25, 0.25, 0.5)
    normalization: str = "none"
    dtype: str = "float32"
    remat: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, mode: Mode
    ) -> Float[Array, "batch feature"]:
        """Extracts features.

        Args:
            images: Pictures.
            mode: Which parts behave as in training.

        Returns:
            The flattened maps of the third convolution, 8192 for pictures of 32 by 32 pixels.

        Raises:
            ValueError: Numbers of channels and of dropout rates that do not fit.
        """
        if len(self.dropout) != len(self.channels) + 1:
            raise ValueError(
                f"config.model.options.dropout holds {len(self.dropout)} rates; svhn_net takes one "
                f"for the pictures and one for each of the {len(self.channels)} convolutions"
            )
        value = Dropout(self.dropout[0], name="dropout_pixels")(images, mode=mode)
        for index, channels in enumerate(self.channels):

            def stage(module: SVHNNet, value: Array, index: int = index, channels: int = channels):
                value = Convolution(channels, 5, dtype=module.dtype, name=f"convolution_{index}")(
                    value
                )
                value = Normalization(
                    module.normalization, dtype=module.dtype, name=f"normalization_{index}"
                )(value, mode=mode)
                value = nn.relu(value)
                if index + 1 < len(module.channels):
                    value = max_pool(value, 3, 2, "SAME")
                return Dropout(module.dropout[index + 1], name=f"dropout_{index}")(value, mode=mode)

            value = run_stage(self, stage, value, remat=self.remat)
            value = name_layer(self, f"stage_{index}", value)
        return value.reshape(value.shape[0], -1)


def stages(extractor: SVHNNet) -> tuple[str, ...]:
    """Lists the stages: the convolutions.

    Args:
        extractor: The network.

    Returns:
        Full-match patterns of the paths of each stage's parameters, the first stage first.
    """
    count = len(extractor.channels)
    return tuple(rf"(convolution|normalization)_{index}/.*" for index in range(count))
