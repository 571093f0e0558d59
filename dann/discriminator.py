"""The domain discriminator."""

import flax.linen as nn
from jaxtyping import Array, Float

from common.models.mlp import KERNEL_INITIALIZERS


class DomainDiscriminator(nn.Module):
    """Tells source features from target features by one logit; source is positive.

    Attributes:
        hidden: Units of the hidden layers with ReLU; empty for a logistic unit.
        kernel_init: A key of `KERNEL_INITIALIZERS`.
    """

    hidden: tuple[int, ...] = (256, 256)
    kernel_init: str = "lecun_normal"

    @nn.compact
    def __call__(self, features: Float[Array, "batch feature"]) -> Float[Array, "batch"]:
        """Computes domain logits.

        Args:
            features: Features of either domain.

        Returns:
            The log-odds of the source, one an example.
        """
        if self.hidden and self.kernel_init == "zeros":
            raise ValueError(
                "a discriminator with hidden layers never learns from kernel_init='zeros'; "
                "use 'lecun_normal', or hidden=()"
            )
        initializer = KERNEL_INITIALIZERS[self.kernel_init]
        value = features
        for index, units in enumerate(self.hidden):
            value = nn.relu(nn.Dense(units, kernel_init=initializer, name=f"dense_{index}")(value))
        return nn.Dense(1, kernel_init=initializer, name="logit")(value)[:, 0]
