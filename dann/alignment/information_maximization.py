"""Information maximisation: sure predictions that use every class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.entropy import entropies
from common.legal import check_keys, check_number
from common.method import Alignment, View

OPTIONS = ("weight",)
KEY = "config.alignment.information_maximization"


def information_maximization(config: Mapping[str, Any]) -> Alignment:
    """Builds the term that makes the target's predictions sure, and different from each other.

    Of a batch of B target logits z:

        p = softmax(z),   m = mean of p over the batch
        loss = mean over the batch of H(p) - H(m),   H(p) = -sum_k p_k log p_k

    A loss is minimised: this is minus the mutual information between example and prediction, from
    -log K, where predictions are sure and use all K classes alike, to 0, where all are the same.
    The score of the same name is its negative, of which more is better, on validation pictures.

    Args:
        config: `weight` multiplies the term.

    Returns:
        The term; it owns no parameters.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Liang, Hu and Feng, Do We Really Need to Access the Source Data? Source Hypothesis Transfer
        for Unsupervised Domain Adaptation (SHOT), ICML (2020), section 3.2. There it trains the
        features alone, under a frozen head and without source pictures; here the whole network,
        beside the source's cross-entropy.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"])

    def init(key, outputs):
        del key, outputs
        return {}, {}

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, key, progress, hparams
        unsure, diverse = entropies(view.target.logits)
        return unsure - diverse, method_state, {"entropy": unsure, "diversity": diverse}

    return Alignment(init, loss)
