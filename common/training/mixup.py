"""Pictures that are mixtures of two, with the labels of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from common.method import Batch, fold_in_name


def mix(
    batch: Batch, domains: Sequence[str], key: Key[Array, ""], *, alpha: float
) -> tuple[dict[str, Any], dict[str, tuple[Array, Array]]]:
    """Mixes each picture of some domains with another one of its batch (mixup).

        x' = share x_i + (1 - share) x_j,   share ~ Beta(alpha, alpha), one a batch and domain

    and the loss of x' is the same mixture of the losses with y_i and y_j. The partners j are a
    permutation of the batch. Since it may be inverted, the larger share can be x_i's: that leaves
    the set of mixtures as likely as before, and y_i is then what x' mostly is.

    Args:
        batch: The batch.
        domains: Labelled domains.
        key: Source of the shares and permutations; each domain folds in its own name.
        alpha: Above 0; mixtures are the more even the larger it is. 1 in the authors' code.

    Returns:
        The batch with other pictures, and by domain the share, at least one half, and the labels
        of the partners.

    References:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR (2018), and the authors' code
        for CIFAR-10.
    """
    mixed, partners = dict(batch), {}
    for domain in domains:
        own = batch[domain]
        of_share, of_order = jax.random.split(fold_in_name(key, domain))
        share = jax.random.beta(of_share, alpha, alpha, dtype=own["image"].dtype)
        share = jnp.maximum(share, 1 - share)
        order = jax.random.permutation(of_order, own["image"].shape[0])
        mixed[domain] = {**own, "image": share * own["image"] + (1 - share) * own["image"][order]}
        partners[domain] = (share, own["label"][order])
    return mixed, partners
