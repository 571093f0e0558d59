"""Virtual adversarial training, the smoothness term of VADA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.legal import check_keys, check_number
from common.method import Alignment, View, fold_in_name

NUMBERS = ("weight", "source_factor", "radius")
KEY = "config.alignment.virtual_adversarial"
# Length of the random change, as a share of the radius.
PROBE = 0.01


def virtual_adversarial(config: Mapping[str, Any]) -> Alignment:
    """Builds the term that keeps predictions the same around every picture.

    For a random direction d of length 1, by one step of the power method:

        g = gradient of KL(p(x) || p(x + r)) by r, at r = radius / 100 * d
        loss = KL(p(x) || p(x + radius * g / |g|)), averaged over the target
               + source_factor times the same over the source

    The gradient passes through the second prediction alone, neither through p(x) nor through g.
    All three passes have the same dropout mask and each the batch statistics of its own batch.

    The authors take g at |r| = 1e-6, where the change of a prediction is lost in single precision.

    Args:
        config: `radius`, in the scale of the inputs of the network and over all of a picture;
            `source_factor`, beside the target's 1; `weight` multiplies both.

    Returns:
        The term; it owns no parameters.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Miyato et al., Virtual Adversarial Training, TPAMI 41 (2019), algorithm 1; Shu et al., A
        DIRT-T Approach to Unsupervised Domain Adaptation (VADA), ICLR (2018), equations 4 to 6.
        Defaults are those of the code of the latter: 0.01 on the target, 1 on the source.
    """
    check_keys(KEY, config, NUMBERS, NUMBERS)
    for name in NUMBERS:
        check_number(f"{KEY}.{name}", config[name])

    def init(key, outputs):
        del key, outputs
        return {}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, progress
        radius = hparams["radius"]

        def divergences(domain):
            images = view.batch[domain]["image"]
            logits = view.forward(images, domain).logits
            log_p = jax.lax.stop_gradient(jax.nn.log_softmax(logits))

            def divergence(change):
                log_q = jax.nn.log_softmax(view.forward(images + change, domain).logits)
                return (jnp.exp(log_p) * (log_p - log_q)).sum(-1)

            noise = jax.random.normal(fold_in_name(key, domain), images.shape, images.dtype)
            slope = jax.grad(lambda change: divergence(change).sum())
            direction = unit_length(slope(PROBE * radius * unit_length(noise)))
            return divergence(jax.lax.stop_gradient(radius * direction)).mean()

        value = divergences("target") + hparams["source_factor"] * divergences("source")
        return value, method_state, {}

    return Alignment(init, loss)


def unit_length(changes: Float[Array, "batch *shape"]) -> Float[Array, "batch *shape"]:
    """Scales each example's change to length 1; one that is 0 stays 0."""
    axes = tuple(range(1, changes.ndim))
    # Squares of small gradients underflow.
    largest = jnp.abs(changes).max(axes, keepdims=True)
    scaled = changes / jnp.where(largest > 0, largest, 1)
    length = jnp.sqrt((scaled**2).sum(axes, keepdims=True))
    return scaled / jnp.where(length > 0, length, 1)
