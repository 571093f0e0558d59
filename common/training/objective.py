"""The task loss plus any number of terms: what plain training and domain adaptation share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from common.method import (
    LABELLED,
    Alignment,
    Aux,
    Batch,
    Method,
    Phase,
    View,
    check_needs,
    fold_in_name,
)
from common.models.normalization import Network, forward, initialize, predict
from common.training.task_loss import TaskLoss


def cross_entropy(
    logits: Float[Array, "batch class"],
    labels: Int[Array, "batch"],
    weights: Float[Array, "batch"] | None = None,
) -> Float[Array, ""]:
    """Averages the cross-entropy of a batch.

    Args:
        logits: Unnormalised log-probabilities.
        labels: True classes.
        weights: Factors of the examples' losses; the mean is over the number of examples, not
            over the sum of the weights.

    Returns:
        The mean, in nats.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses if weights is None else losses * weights)


def needs_of(domains: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Names the fields that training on some domains takes.

    Args:
        domains: Names out of `source`, `target` and `target_labelled`.

    Returns:
        Pictures for each, and labels for those that have them.

    Raises:
        ValueError: An unknown domain, or none with labels.
    """
    needs = {domain: ("image", "label") if domain in LABELLED else ("image",) for domain in domains}
    check_needs(needs)
    if not any(domain in LABELLED for domain in domains):
        raise ValueError(
            f"config.domains is {domains}: no labels to learn from; name one of {LABELLED}"
        )
    return needs


def make_objective(
    network: Network,
    domains: tuple[str, ...],
    terms: Mapping[str, Alignment],
    prefix: str,
    task_loss: TaskLoss | None = None,
) -> Method:
    """Composes the mean task loss of the labelled domains with weighted terms.

    With no term this is plain supervised training, whoever asks for it.

    Args:
        network: The network.
        domains: The domains of a batch.
        terms: Terms by name.
        prefix: Where the terms' values stand in the config; term `t` reads the hparams that begin
            with `<prefix>.t.` and is multiplied by `<prefix>.t.weight`.
        task_loss: From `make_task_loss`: `(outputs, labels, weights) -> scalar`; None for the
            cross-entropy of classes.

    Returns:
        A method of one phase.

    Raises:
        ValueError: Terms without both domains, two terms that own the same parameter root or
            refresh at different steps, or a term whose fields no batch may hold.
    """
    needs = needs_of(domains)
    for name, term in terms.items():
        for domain, fields in term.needs.items():
            if domain not in needs:
                raise ValueError(
                    f"the term {name} needs the domain {domain}, but config.domains is {domains}"
                )
            needs[domain] = tuple(dict.fromkeys((*needs[domain], *fields)))
    check_needs(needs)
    example_loss, has_classes = task_loss or cross_entropy, task_loss is None
    if terms and not {"source", "target"} <= set(domains):
        raise ValueError(
            f"the terms {', '.join(terms)} compare source and target, but config.domains is "
            f"{domains}; add the missing one"
        )

    def init(key, batch):
        images = {domain: batch[domain]["image"] for domain in needs}
        params, batch_stats = initialize(network, key, images)
        variables = {"params": params, "batch_stats": batch_stats}
        method_state: dict[str, Any] = {}
        if terms:
            outputs, _ = forward(network, variables, images, key=key)
        for name, term in terms.items():
            drawn, state = term.init(key, outputs)
            taken = set(drawn) & set(params)
            if taken:
                raise ValueError(f"the term {name} owns the root {taken.pop()}, which is taken")
            params = params | drawn
            method_state[name] = state
        return {"params": params, "batch_stats": batch_stats, "method_state": method_state}

    def loss(variables, batch: Batch, *, key, progress, hparams):
        images = {domain: batch[domain]["image"] for domain in needs}
        outputs, batch_stats = forward(network, variables, images, key=fold_in_name(key, "dropout"))

        def forward_more(images, domain):
            return forward(
                network, variables, {domain: images}, key=fold_in_name(key, "forward_more")
            )[0][domain]

        def average(images, domain):
            return jax.lax.stop_gradient(predict(network, variables["ema"], images, domain))

        states = variables["method_state"]
        view = None
        weights = None
        if terms:
            view = View(
                *(outputs["source"], outputs["target"], batch, forward_more),
                average if "ema" in variables else None,
            )
            for name, term in terms.items():
                if term.source_weight is not None:
                    factor = term.source_weight(states[name], view)
                    weights = factor if weights is None else weights * factor

        labelled = [domain for domain in needs if domain in LABELLED]
        task_losses = {
            domain: example_loss(
                outputs[domain].logits,
                batch[domain]["label"],
                weights if domain == "source" else None,
            )
            for domain in labelled
        }
        task_loss = jnp.mean(jnp.stack(list(task_losses.values())))
        total, new_states = task_loss, {}
        metrics = {"task_loss": task_loss}
        for domain in labelled if has_classes else ():
            correct = outputs[domain].logits.argmax(-1) == batch[domain]["label"]
            metrics[f"{domain}_accuracy"] = jnp.mean(correct.astype(task_loss.dtype))
        for name, term in terms.items():
            own = _own(hparams, f"{prefix}.{name}.")
            value, new_states[name], extra = term.loss(
                variables["params"],
                states[name],
                view,
                key=fold_in_name(key, name),
                progress=progress,
                hparams=own,
            )
            total = total + own["weight"] * value
            metrics |= {f"{name}/loss": value}
            metrics |= {f"{name}/{metric}": number for metric, number in extra.items()}
        return total, Aux(batch_stats, new_states, metrics)

    refreshed = {name: term for name, term in terms.items() if term.refresh is not None}

    def refresh(variables, outputs, hparams):
        states = dict(variables["method_state"])
        for name, term in refreshed.items():
            assert term.refresh is not None
            states[name] = term.refresh(states[name], outputs, _own(hparams, f"{prefix}.{name}."))
        return states

    return Method(
        init=init,
        phases=(Phase(loss),),
        predict=lambda variables, images, domain: predict(network, variables, images, domain),
        needs=needs,
        refresh=refresh if refreshed else None,
        refresh_every=_cadence(refreshed),
    )


def _cadence(terms: Mapping[str, Alignment]) -> int:
    """Returns the steps between the refreshes that all terms agree on."""
    cadences = {name: term.refresh_every for name, term in terms.items()}
    if len(set(cadences.values())) > 1:
        raise ValueError(
            "the terms "
            + " and ".join(f"{name} (every {steps} steps)" for name, steps in cadences.items())
            + " refresh at different steps; set their refresh_every to one number"
        )
    return next(iter(cadences.values()), 0)


def _own(hparams: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Keeps the hparams below a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in hparams.items()
        if name.startswith(prefix)
    }
