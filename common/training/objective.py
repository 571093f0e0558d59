"""The task loss plus any number of terms: what plain training and domain adaptation share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
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
    Regularizer,
    View,
    check_needs,
    fold_in_name,
)
from common.models.normalization import Network, forward, initialize, predict
from common.training.mixup import mix
from common.training.regularization import PREFIX, keep_start, layers_of, start_of, view_of
from common.training.task_loss import TaskLoss

# Of a term's weight, `progress -> factor`.
WeightSchedule = Callable[[Float[Array, ""]], Float[Array, ""]]

NO_REGULARIZERS: Mapping[str, Regularizer] = MappingProxyType({})
NO_SCHEDULES: Mapping[str, WeightSchedule] = MappingProxyType({})
# `config.objective` where labels and pictures stay as they are.
PLAIN_LABELS: Mapping[str, float] = MappingProxyType({"label_smoothing": 0.0, "mixup": 0.0})


def cross_entropy(
    logits: Float[Array, "batch class"],
    labels: Int[Array, "batch"],
    weights: Float[Array, "batch"] | None = None,
    *,
    smoothing: float = 0.0,
) -> Float[Array, ""]:
    """Averages the cross-entropy of a batch.

    Args:
        logits: Unnormalised log-probabilities.
        labels: True classes.
        weights: Factors of the examples' losses; the mean is over the number of examples, not
            over the sum of the weights.
        smoothing: Share of each label that all classes get alike.

    Returns:
        The mean, in nats.

    References:
        Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR (2016),
        section 7: smoothing 0.1.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if smoothing:
        uniform = -jnp.mean(jax.nn.log_softmax(logits), axis=-1)
        losses = (1 - smoothing) * losses + smoothing * uniform
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
    regularizers: Mapping[str, Regularizer] = NO_REGULARIZERS,
    options: Mapping[str, float] = PLAIN_LABELS,
    task_loss: TaskLoss | None = None,
    weight_schedules: Mapping[str, WeightSchedule] = NO_SCHEDULES,
) -> Method:
    """Composes the mean task loss of the labelled domains with weighted terms.

    With no term this is plain supervised training, whoever asks for it.

    Args:
        network: The network.
        domains: The domains of a batch.
        terms: Terms by name.
        prefix: Where the terms' values stand in the config; term `t` reads the hparams that begin
            with `<prefix>.t.` and is multiplied by `<prefix>.t.weight`.
        regularizers: Terms of fine-tuning by name; their values stand at `regularization.<name>`.
        options: `config.objective`: `label_smoothing`, of classes alone, and `mixup`, which mixes
            the pictures of labelled domains before anything sees them; terms take the label of the
            larger share.
        task_loss: From `make_task_loss`: `(outputs, labels, weights) -> scalar`; None for the
            cross-entropy of classes.
        weight_schedules: Of terms whose weight changes over the run, the factor of it by
            progress; it is recorded as the term's `weight`.

    Returns:
        A method of one phase.

    Raises:
        ValueError: Terms without both domains, two terms that own the same parameter root or
            refresh at different steps, a term whose fields no batch may hold, or regularisers
            beside terms.
    """
    if terms and regularizers:
        raise ValueError(
            f"{', '.join(regularizers)} regularise fine-tuning, which has no term such as "
            f"{', '.join(terms)}; empty config.alignment or config.regularization"
        )
    needs = needs_of(domains)
    for name, term in terms.items():
        for domain, fields in term.needs.items():
            if domain not in needs:
                raise ValueError(
                    f"the term {name} needs the domain {domain}, but config.domains is {domains}"
                )
            needs[domain] = tuple(dict.fromkeys((*needs[domain], *fields)))
    check_needs(needs)
    example_loss, has_classes = task_loss, task_loss is None
    if example_loss is None:
        example_loss = functools.partial(cross_entropy, smoothing=options["label_smoothing"])
    if terms and not {"source", "target"} <= set(domains):
        raise ValueError(
            f"the terms {', '.join(terms)} compare source and target, but config.domains is "
            f"{domains}; add the missing one"
        )

    layers = layers_of(regularizers)

    def init(key, batch):
        images = {domain: batch[domain]["image"] for domain in needs}
        params, batch_stats = initialize(network, key, images)
        variables = {"params": params, "batch_stats": batch_stats}
        method_state: dict[str, Any] = {}
        if terms or regularizers:
            outputs, _ = forward(network, variables, images, key=key, layers=layers)
        roots: dict[str, Any] = {}
        for name, term in terms.items():
            roots[name], method_state[name] = term.init(key, outputs)
        for name, regularizer in regularizers.items():
            labelled = {domain: own for domain, own in outputs.items() if domain in LABELLED}
            roots[name] = regularizer.init(variables["params"], labelled)
        for name, drawn in roots.items():
            taken = set(drawn) & set(params)
            if taken:
                raise ValueError(f"the term {name} owns the root {taken.pop()}, which is taken")
            params = params | drawn
        method_state |= keep_start(regularizers, variables)
        return {"params": params, "batch_stats": batch_stats, "method_state": method_state}

    def loss(variables, batch: Batch, *, key, progress, hparams):
        labelled = [domain for domain in needs if domain in LABELLED]
        partners: dict[str, Any] = {}
        if options["mixup"]:
            batch, partners = mix(
                batch, labelled, fold_in_name(key, "mixup"), alpha=options["mixup"]
            )
        images = {domain: batch[domain]["image"] for domain in needs}
        outputs, batch_stats = forward(
            network,
            variables,
            images,
            key=fold_in_name(key, "dropout"),
            layers=layers,
            progress=progress,
        )

        def forward_more(images, domain):
            own = fold_in_name(key, "forward_more")
            return forward(network, variables, {domain: images}, key=own, progress=progress)[0][
                domain
            ]

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

        def task_loss_of(domain, labels):
            return example_loss(
                outputs[domain].logits,
                labels,
                weights if domain == "source" else None,
            )

        task_losses = {domain: task_loss_of(domain, batch[domain]["label"]) for domain in labelled}
        for domain, (share, labels) in partners.items():
            other = task_loss_of(domain, labels)
            task_losses[domain] = share * task_losses[domain] + (1 - share) * other
        task_loss = jnp.mean(jnp.stack(list(task_losses.values())))
        total, new_states = task_loss, dict(states)
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
            weight = own["weight"]
            if name in weight_schedules:
                weight = weight * weight_schedules[name](progress)
                extra = {**extra, "weight": weight}
            total = total + weight * value
            metrics |= {f"{name}/loss": value}
            metrics |= {f"{name}/{metric}": number for metric, number in extra.items()}
        for name, regularizer in regularizers.items():
            own = _own(hparams, f"{PREFIX}.{name}.")
            seen = view_of(network, states, batch, outputs, fold_in_name(key, name))
            value, extra = regularizer.loss(variables["params"], states.get(name), seen, own)
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
        states |= keep_start(regularizers, variables)
        for name, regularizer in regularizers.items():
            if regularizer.prepare is not None:
                own = _own(hparams, f"{PREFIX}.{name}.")
                states[name] = regularizer.prepare(start_of(network, states), outputs, own)
        return states

    prepared = any(own.needs_start or own.prepare for own in regularizers.values())

    return Method(
        init=init,
        phases=(Phase(loss),),
        predict=lambda variables, images, domain: predict(network, variables, images, domain),
        needs=needs,
        refresh=refresh if refreshed or prepared else None,
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
