"""Maximum mean discrepancy of the features under several kernels (MK-MMD, as in DAN)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.legal import check_keys, check_number
from common.method import Alignment, View

OPTIONS = ("weight",)
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def mmd(config: Mapping[str, Any]) -> Alignment:
    """Builds the unbiased estimate of the squared distance between the domains' mean embeddings.

        k(x, y) = sum over u in {1/4, 1/2, 1, 2, 4} of exp(-|x - y|^2 / (u m))
        loss = mean_{i != j} k(s_i, s_j) + mean_{i != j} k(t_i, t_j) - 2 mean_{i, j} k(s_i, t_j)

    over features s of the source and t of the target. m, the mean of |x - y|^2 over all pairs of
    different examples of the batch, has no gradient. Kernels are summed, not averaged. Between
    equal domains the estimate is 0 on average, so it may be negative; it is not clipped.

    The paper estimates the same in linear time, from neighbouring quadruples, and fits the kernels'
    weights; the authors' later code gives each weight 1 and takes the mean distance, as here.

    Args:
        config: `weight` multiplies the term.

    Returns:
        The term; it owns no parameters.

    Raises:
        ValueError: An option that is unknown, missing or impossible, or a batch of one example.

    References:
        Long et al., Learning Transferable Features with Deep Adaptation Networks (DAN), ICML
        (2015); Gretton et al., A Kernel Two-Sample Test, JMLR 13 (2012), lemma 6.
    """
    check_keys("config.alignment.mmd", config, OPTIONS, OPTIONS)
    check_number("config.alignment.mmd.weight", config["weight"])

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, key, progress, hparams
        distances = squared_distances(view.source.features, view.target.features)
        return unbiased(summed_kernels(distances), len(view.source.features)), method_state, {}

    return Alignment(init_pairs, loss)


def init_pairs(key: Any, outputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Is the `init` of terms that take pairs: owns nothing, and refuses a batch of one example."""
    del key
    if min(len(outputs[domain].features) for domain in ("source", "target")) < 2:
        raise ValueError(
            "config.data.batch_size is 1; pairs of one domain (mmd, joint_mmd) take at least 2"
        )
    return {}, {}


def squared_distances(
    source: Float[Array, "source unit"], target: Float[Array, "target unit"]
) -> Float[Array, "both both"]:
    """Returns `|x - y|^2` for all pairs of a batch, the source's examples first."""
    both = jnp.concatenate([source, target])
    # Not through inner products, whose rounding errors are no zeros where examples are equal.
    return jnp.sum((both[:, None] - both[None]) ** 2, axis=-1)


def summed_kernels(distances: Float[Array, "both both"]) -> Float[Array, "both both"]:
    """Returns the sum of the Gaussian kernels whose widths follow the mean distance."""
    count = len(distances)
    mean = jax.lax.stop_gradient(distances).sum() / (count * (count - 1))
    # Where all examples are equal, every width gives the same kernel.
    width = jnp.maximum(mean, 1e-12)
    return jnp.stack([jnp.exp(-distances / (factor * width)) for factor in FACTORS]).sum(0)


def unbiased(kernel: Float[Array, "both both"], num_source: int) -> Float[Array, ""]:
    """Estimates the squared maximum mean discrepancy.

    Args:
        kernel: Of all pairs, the source's examples first.
        num_source: How many there are.

    Returns:
        The unbiased estimate, which may be negative.
    """
    num_target = len(kernel) - num_source
    others = jnp.where(jnp.eye(len(kernel), dtype=bool), 0.0, kernel)
    within = others[:num_source, :num_source].sum() / (num_source * (num_source - 1))
    within += others[num_source:, num_source:].sum() / (num_target * (num_target - 1))
    return within - 2 * kernel[:num_source, num_source:].mean()
