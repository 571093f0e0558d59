"""Optimal transport between the domains' joint distributions (DeepJDOT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from common.legal import check_count, check_keys, check_number
from common.method import Alignment, View

FACTORS = ("weight", "feature_factor", "label_factor")
OPTIONS = (*FACTORS, "regularization", "iterations")
KEY = "config.alignment.optimal_transport"


def optimal_transport(config: Mapping[str, Any]) -> Alignment:
    """Builds the cost of carrying labelled source features to the target's features.

        C_ij = feature_factor |f_i - f_j|^2 + label_factor CE(y_i, p_j)
        loss = sum_ij P_ij C_ij

    over source examples i, with their labels, and target examples j, with the softmax p of their
    logits. The plan P sums to 1, gives every example of a domain the same mass, and has no
    gradient: it is solved for first, then the network learns under it. It minimises

        sum_ij P_ij C_ij + regularization * mean(C) * sum_ij P_ij log P_ij

    by a fixed number of Sinkhorn iterations. The paper solves the unregularised problem, to which
    this tends as `regularization` goes to 0. The authors' code has the network start from one that
    was trained on the source, draws 500 examples with equally many of each class, and plans with
    |y_i - p_j|^2 in the place of the cross-entropy that the network then learns.

    Args:
        config: `feature_factor` and `label_factor` of the cost; `regularization` of the plan, as
            a share of the mean cost; `iterations` of the solver; `weight` multiplies the term.

    Returns:
        The term; it owns no parameters, and records both parts of the cost without their factors,
        and how much mass of the source the plan misplaces.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Damodaran et al., DeepJDOT: Deep Joint Distribution Optimal Transport for Unsupervised
        Domain Adaptation, ECCV (2018); Cuturi, Sinkhorn Distances, NIPS (2013).
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    for name in FACTORS:
        check_number(f"{KEY}.{name}", config[name])
    # Below, single precision cannot tell the plan from its neighbours.
    check_number(f"{KEY}.regularization", config["regularization"], least=1e-3)
    check_count(f"{KEY}.iterations", config["iterations"])

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, key, progress
        gaps = view.source.features[:, None] - view.target.features[None]
        distances = jnp.sum(gaps**2, axis=-1)
        log_p = jax.nn.log_softmax(view.target.logits)
        surprises = -log_p[:, view.batch["source"]["label"]].T
        cost = hparams["feature_factor"] * distances + hparams["label_factor"] * surprises
        plan = transport_plan(
            jax.lax.stop_gradient(cost), config["regularization"], config["iterations"]
        )
        metrics = {
            "feature_cost": jnp.sum(plan * distances),
            "label_cost": jnp.sum(plan * surprises),
            "misplaced_mass": jnp.abs(plan.sum(1) - 1 / len(plan)).sum() / 2,
        }
        return jnp.sum(plan * cost), method_state, metrics

    return Alignment(lambda key, outputs: ({}, {}), loss)


def transport_plan(
    cost: Float[Array, "source target"], regularization: float, iterations: int
) -> Float[Array, "source target"]:
    """Solves for the plan of least regularised cost between two uniform distributions.

    Args:
        cost: Of carrying one unit of mass, by pair.
        regularization: Factor of the plan's negative entropy, as a share of the mean cost.
        iterations: How often rows and columns are scaled in turn, in logarithms.

    Returns:
        The plan: columns have equal sums, rows after enough iterations.
    """
    rows, columns = cost.shape
    # Where nothing costs anything, every plan is as good.
    width = jnp.maximum(regularization * cost.mean(), jnp.finfo(cost.dtype).tiny)
    log_kernel = -cost / width

    def scale(_, potentials):
        _, of_columns = potentials
        of_rows = -jax.nn.logsumexp(log_kernel + of_columns[None], axis=1) - jnp.log(rows)
        of_columns = -jax.nn.logsumexp(log_kernel + of_rows[:, None], axis=0) - jnp.log(columns)
        return of_rows, of_columns

    start = jnp.zeros(rows, cost.dtype), jnp.zeros(columns, cost.dtype)
    of_rows, of_columns = jax.lax.fori_loop(0, iterations, scale, start)
    return jnp.exp(log_kernel + of_rows[:, None] + of_columns[None])
