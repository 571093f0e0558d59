"""Feature maps that stay near the starting ones (DELTA)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float

from common.legal import check_count, check_keys, check_number
from common.method import Regularizer, RegularizerView, Start
from common.training.objective import cross_entropy
from common.training.optimizer import paths_of
from common.training.task_loss import TaskLoss

OPTIONS = ("weight", "head_factor", "layers", "attention", "examples")
KEY = "config.regularization.delta"


def attend(increases: Float[Array, "channel"]) -> Float[Array, "channel"]:
    """Turns the increases of a loss into weights of channels.

    Args:
        increases: Of the loss where a channel is switched off.

    Returns:
        The softmax of the standardised increases over 5, times the number of channels, so that
        the mean is 1.
    """
    spread = jnp.maximum(jnp.std(increases), jnp.finfo(increases.dtype).tiny)
    shares = jax.nn.softmax((increases - jnp.mean(increases)) / spread / 5)
    return shares * increases.shape[0]


def delta(config: Mapping[str, Any], task_loss: TaskLoss = cross_entropy) -> Regularizer:
    """Builds the distance of inner feature maps from those of the starting network.

    Of C maps F_c of H by W values in each layer, those of the start F0_c in evaluation mode, and
    weights w_c of the channels, whose mean over a layer is 1:

        loss = 1/2 mean over examples of sum_layers sum_c w_c ||F_c - F0_c||^2 / (H W)
               + head_factor * 1/2 sum of the task head's squared parameters

    With `attention`, w is `attend` of how much the mean task loss of labelled examples grows when a
    channel of the starting network is switched off, before step 0; without it w is 1.

    The authors sum over the examples of a batch, 64: the defaults are their alpha = beta = 0.01
    times and over 64. They switch off a convolution's filter, here the layer's output channel;
    they train a new head on the starting features first, here the start has its own; and without
    attention they do not divide by H W. They let nothing decay.

    Args:
        config: `weight` and `head_factor`; `layers`, names of inner activations, () for all that
            the network names; `attention`; `examples`, how many of a domain it takes at most.
        task_loss: `(outputs, labels) -> scalar`, the loss of the task's kind of labels; it leaves
            out what has no label.

    Returns:
        The regulariser; it records the distance of each layer, without weights.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Xingjian Li et al., DELTA: Deep Learning Transfer Using Feature Map with Attention for
        Convolutional Networks, ICLR (2019), section 3, and the authors' code.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    for name in ("weight", "head_factor"):
        check_number(f"{KEY}.{name}", config[name])
    check_count(f"{KEY}.examples", config["examples"])
    if not isinstance(config["attention"], bool):
        raise ValueError(f"{KEY}.attention is {config['attention']!r}; it must be True or False")
    layers = tuple(config["layers"]) or None

    def prepare(start: Start, outputs, hparams):
        del hparams
        examples = {
            domain: (own["image"][: config["examples"]], own["label"][: config["examples"]])
            for domain, own in outputs.items()
            if "label" in own
        }

        def loss_under(masks):
            losses = [
                task_loss(start.predict(images, domain, masks=masks).logits, labels)
                for domain, (images, labels) in examples.items()
            ]
            return jnp.mean(jnp.stack(losses))

        domain, (images, _) = next(iter(examples.items()))
        maps = start.predict(images[:1], domain, layers=layers).layers
        weights = {}
        for name, own in maps.items():
            count = own.shape[-1]
            off = jax.lax.map(lambda one, name=name: loss_under({name: 1 - one}), jnp.eye(count))
            weights[name] = attend(off - loss_under({}))
        return traverse_util.unflatten_dict(weights, sep="/")

    def loss(params, state, view: RegularizerView, hparams):
        weights_of = paths_of(state) if config["attention"] else {}
        distances: dict[str, Any] = {}
        total = jnp.zeros(())
        for domain, own in view.outputs.items():
            images = view.batch[domain]["image"]
            before = view.start.predict(images, domain, layers=tuple(own.layers)).layers
            for name in layers or own.layers:
                gaps = (own.layers[name] - before[name]) ** 2
                gaps = gaps.reshape(gaps.shape[0], -1, gaps.shape[-1]).mean(axis=(0, 1))
                weighted = jnp.sum(weights_of.get(name, jnp.ones_like(gaps)) * gaps)
                total = total + weighted / len(view.outputs)
                distances[name] = distances.get(name, 0.0) + gaps.sum() / len(view.outputs)
        head = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(params["task_head"])]
        value = (total + hparams["head_factor"] * jnp.sum(jnp.stack(head))) / 2
        return value, {f"{name}_distance": own for name, own in distances.items()}

    return Regularizer(
        lambda params, outputs: {}, loss, prepare if config["attention"] else None, layers
    )
