"""How the domains of a batch pass through one network, the same for every method.

Normalisation moves a baseline by many points, so it is a named policy, shared by every row of a
comparison:

- `joint`: one pass over all domains together, one running statistic.
- `separate`: a pass a domain, each normalised by its own batch; the moments of all domains are
  averaged into one update of the one running statistic, so that no domain is favoured for being
  last.
- `per_domain`: a pass a domain and a running statistic a domain; a picture is evaluated with the
  statistic of its own domain.
- `frozen`: every pass uses the statistics that were loaded with the weights and leaves them alone.
- `group`: group normalisation; there is no statistic, and no domain influences another.
- `none`: no normalisation layer.

Whatever the policy, `Network.evaluates` may name layers that are evaluated while others train: they
use their running statistics and keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, ArrayLike, Float, Key

from common.method import Outputs, Variables, fold_in_name
from common.models.mode import EVALUATION, TRAINING, Mode, computation_type
from common.training.replica import REPLICA, collect, enter, num_replicas, own_rows

LAYER_OF_POLICY = {
    "joint": "batch",
    "separate": "batch",
    "per_domain": "batch",
    "frozen": "batch",
    "group": "group",
    "none": "none",
}

# Labelled target pictures are target pictures: they share its statistic.
STATISTIC_OF_DOMAIN = {"source": "source", "target": "target", "target_labelled": "target"}

ROOTS = ("feature_extractor", "task_head")

# Of a batch normalisation, below the path of its layer.
PARAMETERS = ("BatchNorm_0/scale", "BatchNorm_0/bias")

# Nothing is switched off.
NO_MASKS: Mapping[str, Array] = MappingProxyType({})

# Weight of the past in the running statistics of every network.
MOMENTUM = 0.9


class Normalization(nn.Module):
    """The normalisation layer of a policy.

    Attributes:
        layer: `batch`, `group` or `none`, a value of `LAYER_OF_POLICY`.
        groups: Number of groups of channels, for `group`.
        momentum: Weight of the past in the running statistics, for `batch`.
        dtype: A name of `mode.DTYPES`; statistics are float32 under both.
    """

    layer: str
    groups: int = 4
    momentum: float = MOMENTUM
    dtype: str = "float32"

    @nn.compact
    def __call__(self, maps: Float[Array, "batch *axes"], *, mode: Mode) -> Array:
        """Normalises the last axis.

        Args:
            maps: Activations, channels last.
            mode: `batch_statistics`, `is_split` and `evaluates` are read.

        Returns:
            Activations of the same shape.

        Raises:
            ValueError: The channels cannot be divided into groups.
        """
        dtype = computation_type(self.dtype)
        if self.layer == "batch":
            layer = nn.BatchNorm(
                momentum=self.momentum,
                dtype=dtype,
                # Without the axis each copy under pmap would normalise by its own rows.
                axis_name=REPLICA if mode.batch_statistics and mode.is_split else None,
            )
            is_evaluated = not mode.batch_statistics or mode.evaluates("/".join(self.path))
            if isinstance(is_evaluated, bool):
                return layer(maps, use_running_average=is_evaluated)
            # The program does not know which of them it will be.
            evaluated = layer(maps, use_running_average=True)
            trained = layer(maps, use_running_average=False)
            return jnp.where(is_evaluated, evaluated, trained)
        if self.layer == "group":
            if maps.shape[-1] % self.groups:
                raise ValueError(
                    f"group normalisation divides the units of a layer into {self.groups} groups, "
                    f"but {'/'.join(self.path)} has {maps.shape[-1]} units; choose a multiple of "
                    f"{self.groups} in config.model.options, or another config.model.normalization"
                )
            return nn.GroupNorm(num_groups=self.groups, dtype=dtype)(maps)
        return maps


class Network(NamedTuple):
    """A feature extractor, a task head, and the policy under which they run.

    Attributes:
        feature_extractor: `(images, *, mode) -> features`.
        task_head: `(features, *, mode) -> logits`.
        policy: A key of `LAYER_OF_POLICY`.
        evaluates: None, or `(path, progress) -> whether` a batch normalisation at that path is
            evaluated during training, True, False or traced; and of a root's own path whether all
            of it is, so that it drops no unit either.
        map_layer: Name of the inner activation that the head reads in the place of the features, to
            say something of every pixel; it is then told the pictures' `size` too. "" for none.
    """

    feature_extractor: nn.Module
    task_head: nn.Module
    policy: str
    evaluates: Callable[[str, Float[ArrayLike, ""]], bool | Array] | None = None
    map_layer: str = ""


def _apply(
    network: Network,
    params: Mapping[str, Any],
    batch_stats: Mapping[str, Any],
    images: Array,
    *,
    mode: Mode,
    key: Key[Array, ""] | None,
    layers: Sequence[str] | None,
    masks: Mapping[str, Array] = NO_MASKS,
    progress: Float[ArrayLike, ""] = 1.0,
) -> tuple[Outputs, dict[str, Any]]:
    """Runs the feature extractor and the head once over one array of pictures.

    Whatever the layers compute in, losses see single precision or more.
    """
    mutable = ["batch_stats"] if mode.batch_statistics else []
    mutable += ["layers"] if layers is None or layers or network.map_layer else []
    kept: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    value = images
    for root in ROOTS:
        module = getattr(network, root)
        variables = {"params": params.get(root, {})}
        if root in batch_stats:
            variables["batch_stats"] = batch_stats[root]
        if masks:
            variables["masks"] = traverse_util.unflatten_dict(dict(masks), sep="/")
        rngs = {} if key is None else {"dropout": fold_in_name(key, root)}
        size: dict[str, Any] = {}
        if root == "task_head" and network.map_layer:
            value, size = _map_of(network, kept), {"size": images.shape[1:3]}
        value, collections = module.apply(
            variables,
            value,
            mode=_mode_of(network, root, mode, progress),
            rngs=rngs,
            mutable=mutable,
            **size,
        )
        if root == "feature_extractor":
            features = value
        sown: dict[str, Any] = traverse_util.flatten_dict(collections.get("layers", {}), sep="/")
        kept |= {name: maps[0] for name, maps in sown.items()}
        if "batch_stats" in collections:
            stats[root] = collections["batch_stats"]
    layers = tuple(kept) if layers is None else layers
    missing = [name for name in layers if name not in kept]
    if missing:
        raise ValueError(
            f"no layer is named {missing[0]!r}; this network has {', '.join(sorted(kept))}"
        )
    outputs = Outputs(features, value, {name: kept[name] for name in layers})
    return jax.tree.map(
        lambda array: array.astype(jnp.promote_types(array.dtype, jnp.float32)), outputs
    ), stats


def _mode_of(network: Network, root: str, mode: Mode, progress: Float[ArrayLike, ""]) -> Mode:
    """Returns the mode of a root, parts of which may be evaluated while others train."""
    evaluates = network.evaluates
    if evaluates is None or mode == EVALUATION:
        return mode
    return mode._replace(
        dropout=mode.dropout and evaluates(root, progress) is not True,
        evaluates=lambda path: evaluates(f"{root}/{path}", progress),
    )


def _keep(network: Network, before: Any, after: Any, progress: Float[ArrayLike, ""]) -> Any:
    """Puts back the statistics of the layers that are evaluated."""
    evaluates = network.evaluates
    if evaluates is None:
        return after
    if network.policy == "per_domain":
        joint = network._replace(policy="joint")
        return {name: _keep(joint, before[name], own, progress) for name, own in after.items()}

    def choose(keys, old, new):
        # Below a layer stand the name of Flax's own and that of the statistic.
        is_kept = evaluates("/".join(key.key for key in keys[:-2]), progress)
        if isinstance(is_kept, bool):
            return old if is_kept else new
        return jnp.where(is_kept, old, new)

    return jax.tree.map_with_path(choose, before, after)


def _map_of(network: Network, layers: Mapping[str, Array]) -> Array:
    """Returns the map that the head reads."""
    maps = {name: value for name, value in layers.items() if value.ndim == 4}
    if network.map_layer not in maps:
        raise ValueError(
            f"config.task.layer is {network.map_layer!r}; the maps of this network are "
            f"{', '.join(sorted(maps)) or 'none'}"
        )
    return maps[network.map_layer]


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
        fold_in_name(key, "feature_extractor"), pictures, mode=EVALUATION
    )
    features, collections = network.feature_extractor.apply(
        extractor, pictures, mode=EVALUATION, mutable=["layers"] if network.map_layer else []
    )
    size: dict[str, Any] = {}
    if network.map_layer:
        sown: dict[str, Any] = traverse_util.flatten_dict(collections.get("layers", {}), sep="/")
        features = _map_of(network, {name: maps[0] for name, maps in sown.items()})
        size = {"size": pictures.shape[1:3]}
    head = network.task_head.init(fold_in_name(key, "task_head"), features, mode=EVALUATION, **size)
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
    layers: Sequence[str] | None = (),
    progress: Float[ArrayLike, ""] = 1.0,
) -> tuple[dict[str, Outputs], Any]:
    """Runs the network in training mode over every domain of a batch.

    Args:
        network: The network.
        variables: `params` and `batch_stats` are read.
        images: Pictures by domain.
        key: Source of dropout masks; each domain folds in its own name, except under `joint`,
            where one mask covers all domains.
        layers: Names of inner activations to return; None for all.
        progress: Fraction of the run, in [0, 1], which `network.evaluates` takes.

    Returns:
        Outputs by domain, and the updated running statistics.
    """
    params, batch_stats = _network_params(variables), variables["batch_stats"]
    mode = TRAINING._replace(batch_statistics=network.policy != "frozen")

    def run(pictures, batch_stats, key):
        def apply(params, pictures, mode):
            return _apply(
                *(network, params, batch_stats, pictures),
                mode=mode,
                key=key,
                layers=layers,
                progress=progress,
            )

        copies = num_replicas()
        if copies == 1 or pictures.shape[0] % copies:
            # Rows that cannot be shared out evenly pass through every copy.
            return apply(params, pictures, mode)
        outputs, stats = apply(enter(params), own_rows(pictures), mode._replace(is_split=True))
        return collect(outputs), stats

    if network.policy == "joint":
        together, stats = run(jnp.concatenate(list(images.values())), batch_stats, key)
        outputs, start = {}, 0
        for domain, pictures in images.items():
            part = slice(start, start + pictures.shape[0])
            outputs[domain] = jax.tree.map(lambda array, part=part: array[part], together)
            start = part.stop
        return outputs, _keep(network, batch_stats, stats, progress)

    outputs, updates = {}, {}
    for domain, pictures in images.items():
        own = batch_stats
        if network.policy == "per_domain":
            own = batch_stats[STATISTIC_OF_DOMAIN[domain]]
        outputs[domain], updates[domain] = run(pictures, own, fold_in_name(key, domain))
    if network.policy == "frozen":
        return outputs, batch_stats
    if network.policy == "per_domain":
        merged = dict(batch_stats)
        for statistic in dict.fromkeys(STATISTIC_OF_DOMAIN[domain] for domain in images):
            merged[statistic] = _average(
                [updates[name] for name in images if STATISTIC_OF_DOMAIN[name] == statistic]
            )
        return outputs, _keep(network, batch_stats, merged, progress)
    return outputs, _keep(network, batch_stats, _average(list(updates.values())), progress)


def exact_statistics(
    network: Network, variables: Variables, images: Float[Array, "batch *shape"], domain: str
) -> Any:
    """Computes the statistics of a domain from all of its pictures at once.

    Layer by layer, each fed with what the layers before it make of their own new statistics; no
    unit is dropped.

    Args:
        network: The network; its policy has batch normalisation.
        variables: `params` and `batch_stats` are read.
        images: All pictures of the domain.
        domain: Whose statistics they are under `per_domain`.

    Returns:
        Statistics like `variables["batch_stats"]`, with the exact means and variances.
    """
    before = variables["batch_stats"]
    name = STATISTIC_OF_DOMAIN[domain]
    own = before[name] if network.policy == "per_domain" else before
    _, stats = _apply(
        network,
        _network_params(variables),
        # Of the past nothing is left to be taken in.
        jax.tree.map(jnp.zeros_like, own),
        images,
        mode=Mode(dropout=False, batch_statistics=True),
        key=None,
        layers=(),
    )
    exact = jax.tree.map(lambda leaf: leaf / (1 - MOMENTUM), stats)
    return {**before, name: exact} if network.policy == "per_domain" else exact


def _network_params(variables: Variables) -> dict[str, Any]:
    """Leaves out the parameters of terms."""
    return {root: tree for root, tree in variables["params"].items() if root in ROOTS}


def _average(trees: list[Any]) -> Any:
    """Averages pytrees of the same structure."""
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trees)


def predict(
    network: Network,
    variables: Variables,
    images: Float[Array, "batch *shape"],
    domain: str,
    *,
    layers: Sequence[str] | None = (),
    masks: Mapping[str, Array] = NO_MASKS,
) -> Outputs:
    """Runs the network in evaluation mode: no dropout, running statistics.

    Args:
        network: The network.
        variables: `params` and `batch_stats` are read.
        images: Pictures of one domain.
        domain: The pictures' domain; it chooses the statistic under `per_domain`. A domain that
            was never trained on is evaluated with the first that was.
        layers: Names of inner activations to return; None for all.
        masks: Factors of the channels of inner activations, by name, such as 0 for a channel
            that is switched off.

    Returns:
        The outputs.
    """
    batch_stats = variables["batch_stats"]
    if network.policy == "per_domain":
        batch_stats = batch_stats.get(STATISTIC_OF_DOMAIN[domain], next(iter(batch_stats.values())))
    outputs, _ = _apply(
        *(network, variables["params"], batch_stats, images),
        mode=EVALUATION,
        key=None,
        layers=layers,
        masks=masks,
    )
    return outputs
