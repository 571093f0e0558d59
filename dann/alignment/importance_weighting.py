"""Importance weighting of the source's examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from common.density_ratio import match_kernel_means, ratio_by_classifier
from common.legal import check_count, check_keys, check_name, check_number
from common.method import Alignment, View

OPTIONS = ("weight", "estimator", "on", "penalty", "bound", "iterations", "refresh_every")
KEY = "config.alignment.importance_weighting"
ESTIMATORS = ("classifier", "kernel_mean_matching")
FIELDS = {"inputs": "image", "features": "features"}
# Above it the kernel of the source's training split takes more than 400 MB.
MOST_MATCHED = 10_000


def importance_weighting(config: Mapping[str, Any]) -> Alignment:
    """Builds the weights by which the source's loss is an estimate of the target's.

        loss = mean (1 - weight + weight w_i) CE_i over the source,   w = p_target / p_source

    The ratio is that of the training splits, estimated before step 0 and every `refresh_every`
    steps, and divided by its mean over the split. By `classifier`, a logistic regression tells the
    domains apart; by `kernel_mean_matching`, weights make the domains' means in a kernel's space
    agree. `on` says what is compared: pictures as they are evaluated, or the features of the
    weights that are evaluated, which before step 0 are those of an untrained network.

    There is a number an example in the state. `kernel_mean_matching` holds a kernel of the source
    with itself while it estimates, and refuses more than 10,000 examples.

    Args:
        config: `estimator`; `on`: `inputs` or `features`; `penalty` of the classifier and `bound`
            of the matched weights; `iterations` of either; `refresh_every`, 0 for before step 0
            alone; `weight` from 0, plain training, to 1.

    Returns:
        The term, which has no loss of its own and owns no parameters; it records the effective
        number of source examples, (sum w)^2 / sum w^2, and the largest weight.

    Raises:
        ValueError: An option that is unknown, missing or impossible, or too large a source.

    References:
        Shimodaira, Improving Predictive Inference under Covariate Shift by Weighting the
        Log-Likelihood Function, Journal of Statistical Planning and Inference 90 (2000);
        Sugiyama et al., Covariate Shift Adaptation by Importance Weighted Cross Validation, JMLR 8
        (2007); and those of `common/density_ratio.py`.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    check_number(f"{KEY}.weight", config["weight"], most=1)
    check_name(f"{KEY}.estimator", config["estimator"], ESTIMATORS)
    check_name(f"{KEY}.on", config["on"], FIELDS)
    check_number(f"{KEY}.penalty", config["penalty"], least=1e-6)
    check_number(f"{KEY}.bound", config["bound"], least=1)
    check_count(f"{KEY}.iterations", config["iterations"])
    check_count(f"{KEY}.refresh_every", config["refresh_every"], least=0)
    iterations = config["iterations"]

    def refresh(method_state, outputs, hparams):
        del method_state
        source, target = (outputs[domain][FIELDS[config["on"]]] for domain in ("source", "target"))
        source, target = source.reshape(len(source), -1), target.reshape(len(target), -1)
        if config["estimator"] == "classifier":
            ratio = ratio_by_classifier(
                source, target, penalty=config["penalty"], iterations=iterations
            )
        else:
            if len(source) > MOST_MATCHED:
                raise ValueError(
                    f"{KEY}.estimator is kernel_mean_matching, for at most {MOST_MATCHED} source "
                    f"examples; this source trains on {len(source)}: use classifier"
                )
            ratio = match_kernel_means(source, target, bound=config["bound"], iterations=iterations)
        return {"weights": 1 + hparams["weight"] * (ratio / ratio.mean() - 1)}

    def source_weight(method_state, view: View):
        return method_state["weights"][view.batch["source"]["index"]]

    def loss(params, method_state, view: View, *, key, progress, hparams):
        del params, view, key, progress, hparams
        weights = method_state["weights"]
        metrics = {
            "effective_examples": weights.sum() ** 2 / jnp.sum(weights**2),
            "largest_weight": weights.max(),
        }
        return jnp.zeros((), weights.dtype), method_state, metrics

    return Alignment(
        lambda key, outputs: ({}, {"weights": jnp.ones(1)}),
        loss,
        source_weight,
        needs={"source": ("index",)},
        refresh=refresh,
        refresh_every=config["refresh_every"],
    )
