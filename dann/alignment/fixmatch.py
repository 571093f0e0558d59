"""Classes taken from sure predictions on weak views, learnt on strong views (FixMatch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from common.legal import check_keys, check_number
from common.method import Alignment, View
from common.training.objective import cross_entropy

OPTIONS = ("weight", "threshold")
KEY = "config.alignment.fixmatch"


def fixmatch(config: Mapping[str, Any]) -> Alignment:
    """Builds the cross-entropy of strong views to the classes of sure weak views.

    Each of B target pictures is seen twice, with logits z of the weak and z' of the strong view,
    and p = softmax(z):

        loss = 1/B * sum over i with max p_i >= threshold of CE(z'_i, argmax p_i)

    B divides the sum, not the number of sure pictures: while few are sure, the term is small. The
    weak view gets no gradient.

    The authors pass all views through the network together; here, under batch statistics, the
    strong view is normalised by its own. This is the original method; the variant for domain
    adaptation that Berthelot et al. compare with also aligns the predicted classes' shares and
    learns the source's pictures without their labels too.

    Args:
        config: `threshold` of the largest probability; `weight` multiplies the term.

    Returns:
        The term; it owns no parameters, and records which share of the pictures is sure.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Sohn et al., FixMatch: Simplifying Semi-Supervised Learning with Consistency and
        Confidence, NeurIPS (2020), equation 4: threshold 0.95. Berthelot et al., AdaMatch, ICLR
        (2022): 0.9 for domain adaptation. Weight 1 in the code of both.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])
    check_number(f"{KEY}.threshold", config["threshold"], most=1.0)

    def init(key, outputs):
        del key, outputs
        return {}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, key, progress
        weak = view.target.logits
        strong = view.forward(view.batch["target"]["strong_image"], "target").logits
        is_sure = jax.nn.softmax(weak).max(-1) >= hparams["threshold"]
        # Neither a comparison nor a class has a gradient.
        weights = is_sure.astype(strong.dtype)
        value = cross_entropy(strong, weak.argmax(-1), weights)
        return value, method_state, {"sure": jnp.mean(weights)}

    return Alignment(init, loss, needs={"target": ("strong_image",)})
