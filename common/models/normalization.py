"""How the domains of a batch pass through one network, the same for every method.

Normalisation moves a baseline by many points, so it is a named policy, shared by every row of a
comparison:

- `joint`: one pass over all domains together, one running statistic.
- `separate`: a pass a domain, each normalised by its own batch; the moments of all domains are
  averaged into one update of the one running statistic, so that no domain is favoured for being
  last.
- `per_domain`: a pass a domain and a running statistic a domain; a picture is evaluated with the
  statistic of its own domain.
- `group`: group normalisation; there is no statistic, and no domain influences another.
- `none`: no normalisation layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float, Key

from common.method import Outputs, Variables, fold_in_name

LAYER_OF_POLICY = {
    "joint": "batch",
    "separate": "batch",
    "per_domain": "batch",
    "group": "group",
    "none": "none",
}

# Labelled target pictures are target pictures: they share its statistic.
STATISTIC_OF_DOMAIN = {"source": "source", "target": "target", "target_labelled": "target"}


class Normalization(nn.Module):
    """The normalisation layer of a policy.

    Attributes:
        layer: `batch`, `group` or `none`, a value of `LAYER_OF_POLICY`.
        groups: Number of groups of channels, for `group`.
        momentum: Weight of the past in the running statistics, for `batch`.
    """

    layer: str
    groups: int = 4
    momentum: float = 0.9

    @nn.compact
    def __call__(self, maps: Float[Array, "batch *axes"], *, train: bool) -> Array:
        """Normalises the last axis.

        Args:
            maps: Activations, channels last.
            train: Whether `batch` normalises by the batch and updates its statistics.

        Returns:
            Activations of the same shape.
        """
        if self.layer == "batch":
            return nn.BatchNorm(use_running_average=not train, momentum=self.momentum)(maps)
        if self.layer == "group":
            return nn.GroupNorm(num_groups=self.groups)(maps)
        return maps


class Network(NamedTuple):
    """A feature extractor, a task head, and the policy under which they run.

    Attributes:
        feature_extractor: `(images, *, train) -> features`.
        task_head: `(features, *, train) -> logits`.
        policy: A key of `LAYER_OF_POLICY`.
    """

    feature_extractor: nn.Module
    task_head: nn.Module
    policy: str


def _apply(
    network: Network,
    params: Mapping[str, Any],
    batch_stats: Mapping[str, Any],
    images: Array,
    *,
    train: bool,
    key: Key[Array, ""] | None,
    layers: Sequence[str],
) -> tuple[Outputs, dict[str, Any]]:
    """Runs the feature extractor and the head once over one array of pictures."""
    mutable = (["batch_stats"] if train else []) + (["layers"] if layers else [])
    kept: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    value = images
    for root in ("feature_extractor", "task_head"):
        module = getattr(network, root)
        variables = {"params": params.get(root, {})}
        if root in batch_stats:
            variables["batch_stats"] = batch_stats[root]
        rngs = {} if key is None else {"dropout": fold_in_name(key, root)}
        value, collections = module.apply(
            variables, value, train=train, rngs=rngs, mutable=mutable or ["layers_unused"]
        )
        if root == "feature_extractor":
            features = value
        sown: dict[str, Any] = traverse_util.flatten_dict(collections.get("layers", {}), sep="/")
        kept |= {name: maps[0] for name, maps in sown.items()}
        if "batch_stats" in collections:
            stats[root] = collections["batch_stats"]
    missing = [name for name in layers if name not in kept]
    if missing:
        raise ValueError(
            f"no layer is named {missing[0]!r}; this network has {', '.join(sorted(kept))}"
        )
    return Outputs(features, value, {name: kept[name] for name in layers}), stats


def initialize(
    network: Network, key: Key[Array, ""], images: Mapping[str, Array]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draws the parameters of a network.

    Args:
        network: The network.
        key: Each root draws from this key folded with its own name.
        images: A batch of pictures a domain; only shapes matter.

    Returns:
        `(params, batch_stats)`; under `per_domain` the statistics have a leading level by domain.
    """
    pictures = next(iter(images.values()))
    extractor = network.feature_extractor.init(
        fold_in_name(key, "feature_extractor"), pictures, train=False
    )
    features = network.feature_extractor.apply(extractor, pictures, train=False)
    head = network.task_head.init(fold_in_name(key, "task_head"), features, train=False)
    roots = {"feature_extractor": extractor, "task_head": head}
    params = {root: drawn.get("params", {}) for root, drawn in roots.items()}
    stats = {root: drawn["batch_stats"] for root, drawn in roots.items() if "batch_stats" in drawn}
    if network.policy == "per_domain":
        stats = {STATISTIC_OF_DOMAIN[domain]: stats for domain in images}
    return params, stats


def forward(
    network: Network,
    variables: Variables,
    images: Mapping[str, Float[Array, "batch *shape"]],
    *,
    key: Key[Array, ""],
    layers: Sequence[str] = (),
) -> tuple[dict[str, Outputs], Any]:
    """Runs the network in training mode over every domain of a batch.

    Args:
        network: The network.
        variables: `params` and `batch_stats` are read.
        images: Pictures by domain.
        key: Source of dropout masks; each domain folds in its own name, except under `joint`,
            where one mask covers all domains.
        layers: Names of inner activations to return.

    Returns:
        Outputs by domain, and the updated running statistics.
    """
    params, batch_stats = variables["params"], variables["batch_stats"]
    if network.policy == "joint":
        together, stats = _apply(
            network,
            params,
            batch_stats,
            jnp.concatenate(list(images.values())),
            train=True,
            key=key,
            layers=layers,
        )
        outputs, start = {}, 0
        for domain, pictures in images.items():
            part = slice(start, start + pictures.shape[0])
            outputs[domain] = jax.tree.map(lambda array, part=part: array[part], together)
            start = part.stop
        return outputs, stats

    outputs, updates = {}, {}
    for domain, pictures in images.items():
        statistic = STATISTIC_OF_DOMAIN[domain]
        outputs[domain], updates[domain] = _apply(
            network,
            params,
            batch_stats[statistic] if network.policy == "per_domain" else batch_stats,
            pictures,
            train=True,
            key=fold_in_name(key, domain),
            layers=layers,
        )
    if network.policy == "per_domain":
        merged = dict(batch_stats)
        for statistic in dict.fromkeys(STATISTIC_OF_DOMAIN[domain] for domain in images):
            merged[statistic] = _average(
                [updates[name] for name in images if STATISTIC_OF_DOMAIN[name] == statistic]
            )
        return outputs, merged
    return outputs, _average(list(updates.values()))


def _average(trees: list[Any]) -> Any:
    """Averages pytrees of the same structure."""
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trees)


def predict(
    network: Network,
    variables: Variables,
    images: Float[Array, "batch *shape"],
    domain: str,
    *,
    layers: Sequence[str] = (),
) -> Outputs:
    """Runs the network in evaluation mode: no dropout, running statistics.

    Args:
        network: The network.
        variables: `params` and `batch_stats` are read.
        images: Pictures of one domain.
        domain: The pictures' domain; it chooses the statistic under `per_domain`. A domain that
            was never trained on is evaluated with the first that was.
        layers: Names of inner activations to return.

    Returns:
        The outputs.
    """
    batch_stats = variables["batch_stats"]
    if network.policy == "per_domain":
        batch_stats = batch_stats.get(STATISTIC_OF_DOMAIN[domain], next(iter(batch_stats.values())))
    outputs, _ = _apply(
        network, variables["params"], batch_stats, images, train=False, key=None, layers=layers
    )
    return outputs
