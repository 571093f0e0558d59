"""Joint maximum mean discrepancy of features and predictions (JAN)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from common.legal import check_keys, check_number
from common.method import Alignment, View
from dann.alignment.mmd import init_pairs, squared_distances, summed_kernels, unbiased

OPTIONS = ("weight",)
KEY = "config.alignment.joint_mmd"
# Of the softmax layer's kernel, in the authors' code.
SOFTMAX_WIDTH = 1.68


def joint_mmd(config: Mapping[str, Any]) -> Alignment:
    """Builds the distance between the domains' joint embeddings of features and predictions.

    The kernel of a pair of examples is the product of one for each layer:

        k(x, y) = k_mmd(f_x, f_y) * exp(-|p_x - p_y|^2 / 1.68),   p = softmax(logits)

    with the kernel of `mmd` for features f. The loss is the unbiased estimate of `mmd` with it. It
    is not the sum of two discrepancies: it sees which features go with which prediction, even where
    features alone and predictions alone are distributed the same in both domains.

    The authors estimate the same quantity in linear time, from neighbouring quadruples.

    Args:
        config: `weight` multiplies the term.

    Returns:
        The term; it owns no parameters.

    Raises:
        ValueError: An option that is unknown, missing or impossible, or a batch of one example.

    References:
        Long et al., Deep Transfer Learning with Joint Adaptation Networks (JAN), ICML (2017); the
        widths are those of the authors' code.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, key, progress, hparams
        source, target = view.source, view.target
        of_features = summed_kernels(squared_distances(source.features, target.features))
        predictions = (jax.nn.softmax(outputs.logits) for outputs in (source, target))
        of_predictions = jnp.exp(-squared_distances(*predictions) / SOFTMAX_WIDTH)
        return unbiased(of_features * of_predictions, len(source.features)), method_state, {}

    return Alignment(init_pairs, loss)
