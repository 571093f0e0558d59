"""The protocol: what a method is, and nothing about how it is trained.

A method is a handful of pure functions. The loop, the step, the optimizer, the evaluation and the
checkpoints are shared, so two rows of a table differ in their loss alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Key

Variables = Mapping[str, Any]
Batch = Mapping[str, Mapping[str, Array]]
HParams = Mapping[str, Array]

LABELLED = ("source", "target_labelled")
UNLABELLED = ("target",)
CACHE = "cache"
FIELDS = ("image", "strong_image", "label", "index", "domain")


class Outputs(NamedTuple):
    """What a network says about a batch of pictures.

    Attributes:
        features: `[batch, feature]`, what the task head reads.
        logits: `[batch, class]`, unnormalised; of segmentation `[batch, height, width, class]`, of
            other kinds of tasks what their heads say.
        layers: Named inner activations, only those that were asked for.
    """

    features: Float[Array, "batch feature"]
    logits: Float[Array, "batch *more"]
    layers: Mapping[str, Array] = {}


class Aux(NamedTuple):
    """What a loss returns beside its value.

    Attributes:
        batch_stats: The running statistics after this forward pass.
        method_state: The arrays of the method that are neither trained nor statistics. What stands
            in it under `CACHE` only training reads: it is not kept with the chosen weights.
        metrics: Scalars to record, without the prefix `train/`.
    """

    batch_stats: Any
    method_state: Any
    metrics: Mapping[str, Array]


class Phase(NamedTuple):
    """One gradient step of a training step; nearly every method has a single one.

    Attributes:
        loss: `(variables, batch, *, key, progress, hparams) -> (scalar, Aux)`. `variables` holds
            `params`, `batch_stats`, `method_state` and, where weights are averaged, `ema`.
        update: The parameter roots that this phase trains; empty for all trainable ones.
        repeat: How many times in a row the phase is taken within one training step.
    """

    loss: Callable[..., tuple[Float[Array, ""], Aux]]
    update: tuple[str, ...] = ()
    repeat: int = 1


class Group(NamedTuple):
    """Parameters that a method trains at a rate of their own, or only later.

    Attributes:
        pattern: Full-match pattern of their paths; of several groups the first that matches counts.
        factor: `hparams -> factor` of the learning rate, beside those of `config.optimizer.groups`.
        start: Share of the run before which they do not change by a bit; their optimizer state
            begins there.
    """

    pattern: str
    factor: Callable[[HParams], Any] = lambda hparams: 1.0
    start: float = 0.0


class Method(NamedTuple):
    """A whole method.

    Attributes:
        init: `(key, batch) -> {"params", "batch_stats", "method_state"}`.
        phases: The gradient steps of one training step, in order; none for a method that does all
            in its refresh.
        predict: `(variables, images, domain) -> Outputs` in evaluation mode.
        needs: The fields a batch holds, by domain, such as
            `{"source": ("image", "label"), "target": ("image",)}`.
        refresh: `None`, or `(variables, outputs, hparams) -> method_state`, where `outputs` maps
            each domain to `features`, `logits` and, where `needs` names them, `image`, `label`
            and `index` over the whole training split. Before the first refresh, arrays of `init`
            that have another shape than the refreshed ones are replaced by zeros.
        refresh_every: Steps between two refreshes; the first is before step 0.
        trains: Full-match pattern of the paths of the parameters that may change, beside what
            `config.optimizer.freeze` says; "" for a method that changes none.
        groups: Rates and starts of some of these parameters.
        measures: Of a method that learns no prediction, what it is judged by instead, by name:
            `(variables, images, domain) -> [batch]` in evaluation mode, a number an example. The
            means over validation pictures are recorded; no label is read.
    """

    init: Callable[..., dict[str, Any]]
    phases: tuple[Phase, ...]
    predict: Callable[..., Outputs]
    needs: Mapping[str, tuple[str, ...]]
    refresh: Callable[..., Any] | None = None
    refresh_every: int = 0
    trains: str = ".*"
    groups: tuple[Group, ...] = ()
    measures: Mapping[str, Callable[..., Array]] = {}


class View(NamedTuple):
    """What an alignment term sees of one training step.

    Attributes:
        source: Outputs on the source batch.
        target: Outputs on the target batch.
        batch: The batch itself.
        forward: `(images, domain) -> Outputs` in training mode; running statistics stay as they
            are.
        average: `(images, domain) -> Outputs` of the averaged weights and statistics in evaluation
            mode, without a gradient; None where `config.optimizer.ema_decay` is 0.
    """

    source: Outputs
    target: Outputs
    batch: Batch
    forward: Callable[[Array, str], Outputs]
    average: Callable[[Array, str], Outputs] | None = None


class Alignment(NamedTuple):
    """A term that is added to the task loss. Terms compose.

    Attributes:
        init: `(key, outputs) -> (params, method_state)`; `params` maps parameter roots of the
            term's own to their parameters, `{}` where it has none.
        loss: `(params, method_state, view, *, key, progress, hparams) ->
            (scalar, method_state, metrics)`. `params` holds the term's own roots; `hparams` the
            term's own values, without prefix.
        source_weight: `None`, or `(method_state, view) -> weights`, one a source example, which
            multiply the task loss.
        needs: Fields of a batch by domain beyond pictures and source labels, such as
            `{"target": ("strong_image",)}`.
        refresh: `None`, or `(method_state, outputs, hparams) -> method_state`, with `outputs` as
            for `Method.refresh` and `hparams` as for `loss`.
        refresh_every: Steps between two refreshes; 0: before step 0 alone. Terms that refresh and
            are added must agree.
        needs_average: Whether `loss` calls `view.average`; a run that keeps none is then refused.
    """

    init: Callable[..., tuple[dict[str, Any], Any]]
    loss: Callable[..., tuple[Float[Array, ""], Any, Mapping[str, Array]]]
    source_weight: Callable[[Any, View], Float[Array, "batch"]] | None = None
    needs: Mapping[str, tuple[str, ...]] = {}
    refresh: Callable[[Any, Any, HParams], Any] | None = None
    refresh_every: int = 0
    needs_average: bool = False


def has_started(start: float, progress: Float[ArrayLike, ""]) -> Bool[Array, ""]:
    """Says whether a run has come to a share of its length.

    Args:
        start: The share.
        progress: Fraction of the run, in [0, 1].

    Returns:
        True from the share on; rounding of either does not matter.
    """
    return jnp.asarray(progress) >= start * (1 - 1e-6)


class Start(NamedTuple):
    """The network before step 0, once its weights were taken over; nothing of it is trained.

    Attributes:
        params: Its parameters by root.
        predict: `(images, domain, *, layers=(), masks={}) -> Outputs` in evaluation mode, without
            a gradient; as `common.models.normalization.predict`.
    """

    params: Mapping[str, Any]
    predict: Callable[..., Outputs]


class RegularizerView(NamedTuple):
    """What a regulariser sees of one training step.

    Attributes:
        outputs: Outputs on the batch of each labelled domain.
        batch: The batch itself.
        start: Where the run starts.
        head: `(params, features) -> logits` of a task head with other parameters, in training
            mode.
    """

    outputs: Mapping[str, Outputs]
    batch: Batch
    start: Start
    head: Callable[[Any, Array], Array]


class Regularizer(NamedTuple):
    """A term of fine-tuning that is added to the task loss. Terms compose.

    Attributes:
        init: `(params, outputs) -> params`: from the network's parameters and its outputs on the
            labelled domains the parameter roots of the term's own, `{}` where it has none. What
            the term cannot work on is refused here.
        loss: `(params, state, view, hparams) -> (scalar, metrics)`. `params` holds all roots,
            `hparams` the term's own values, without prefix.
        prepare: `None`, or `(start, outputs, hparams) -> state`: arrays that are computed before
            step 0 and stay, with `outputs` as for `Method.refresh`.
        layers: Inner activations that `outputs` hold; None for all.
        needs_start: Whether the term compares with the start, so that there must be one.
        needs_head: Whether it reads the start's predictions, so that the head is taken over too.
        replaces_decay: Whether the weights that decay are those that the term holds.
    """

    init: Callable[[Any, Any], dict[str, Any]]
    loss: Callable[..., tuple[Float[Array, ""], Mapping[str, Array]]]
    prepare: Callable[[Start, Any, HParams], Any] | None = None
    layers: tuple[str, ...] | None = ()
    needs_start: bool = True
    needs_head: bool = False
    replaces_decay: bool = False


def fold_in_name(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """Derives a key that belongs to a name.

    Every part of a program draws from a key of its own name, so that adding a part changes the
    random numbers of no other.

    Args:
        key: The key to derive from.
        name: Any text; the same text gives the same key in every process.

    Returns:
        The derived key.
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def check_needs(needs: Mapping[str, tuple[str, ...]]) -> None:
    """Refuses a batch that could leak target labels or that nobody can fill.

    Args:
        needs: `Method.needs`.

    Raises:
        ValueError: An unknown domain or field, no domain at all, or `label` under `target`.
    """
    if not needs:
        raise ValueError("needs is empty: a method must name at least one domain of its batch")
    for domain, fields in needs.items():
        if domain not in LABELLED + UNLABELLED:
            raise ValueError(
                f"needs names the domain {domain!r}; legal are {', '.join(LABELLED + UNLABELLED)}"
            )
        unknown = [field for field in fields if field not in FIELDS]
        if unknown:
            raise ValueError(
                f"needs[{domain!r}] names {unknown[0]!r}; legal fields are {', '.join(FIELDS)}"
            )
        if domain in UNLABELLED and "label" in fields:
            raise ValueError(
                "needs['target'] asks for 'label': target labels never enter a training batch; "
                "labelled target examples are the domain 'target_labelled'"
            )
