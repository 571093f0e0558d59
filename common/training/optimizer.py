"""From a config to Optax updates: what is trained, how fast, and how clipped.

Each parameter root has an optimizer state and a clip norm of its own, so that a discriminator's
gradient cannot shrink the task head's step; what of a root is trained only from some share of the
run on has a state that begins there. The norm of each unit's incoming weights can be limited after
every update. The transformation is rebuilt inside the step from
traced values, so rates and decays may differ between the members of a population.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array, Float

from common.legal import check_name
from common.method import Group, HParams
from common.training.part import join, parts_of
from common.training.schedule import SCHEDULES

NAMES = ("sgd", "adam", "adamw")


class Optimizer(NamedTuple):
    """The optimizer of a run.

    Attributes:
        split: `params -> (trainable, frozen)`.
        init: `trainable -> state`, a state by parameter root, and by what of a root starts later.
        update: `(gradients, state, trainable, *, progress, hparams) -> (trainable, state)`; takes
            the trees of any subset of the roots and leaves the state of the others alone.
        learning_rate: `(progress, hparams) -> rate`, before the groups' factors.
        summary: One line a parameter: path, shape, group or frozen, decayed or not, limited or not.
    """

    split: Callable[[Mapping[str, Any]], tuple[dict[str, Any], dict[str, Any]]]
    init: Callable[[Mapping[str, Any]], dict[str, Any]]
    update: Callable[..., tuple[dict[str, Any], dict[str, Any]]]
    learning_rate: Callable[[Any, HParams], jax.Array]
    summary: tuple[str, ...]


def paths_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Flattens parameters to `{"root/layer/kernel": leaf}`.

    Args:
        tree: Nested parameters.

    Returns:
        Leaves by path.
    """
    return traverse_util.flatten_dict(tree, sep="/")


def merge(trainable: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
    """Puts the trainable and the frozen parameters together again.

    Args:
        trainable: Nested parameters.
        frozen: Nested parameters with other paths.

    Returns:
        All parameters, nested.
    """
    return traverse_util.unflatten_dict(
        dict(sorted({**paths_of(trainable), **paths_of(frozen)}.items())), sep="/"
    )


def _join(root: str, keys: tuple[Any, ...]) -> str:
    """Returns a parameter's path from its root and its keys within that root's tree."""
    return "/".join([root, *(key.key for key in keys)])


def _match(
    patterns: Mapping[str, Any], paths: list[str], frozen: Collection[str] = ()
) -> dict[str, str]:
    """Gives each path the name of the first pattern that matches all of it.

    Args:
        patterns: Regular expressions by name; the name is the config key they stand at.
        paths: Parameter paths.
        frozen: Paths that no pattern may stand for, for messages.

    Returns:
        Names by path; paths without a match are left out.

    Raises:
        ValueError: A pattern that is no text, no regular expression, or that matches no path.
    """
    matched: dict[str, str] = {}
    for name, pattern in patterns.items():
        if not isinstance(pattern, str):
            raise ValueError(f"{name} is {pattern!r}; it must be text, a regular expression")
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{name}: {pattern!r} is no regular expression: {error}") from None
        hits = [path for path in paths if expression.fullmatch(path)]
        if not hits:
            other = " but frozen ones" if any(map(expression.fullmatch, frozen)) else ""
            raise ValueError(
                f"{name}: {pattern!r} matches no parameter{other}; the paths are {', '.join(paths)}"
            )
        for path in hits:
            matched.setdefault(path, name)
    return matched


def limit_units(
    weights: Float[Array, "*inputs unit"], radius: float
) -> Float[Array, "*inputs unit"]:
    """Projects the incoming weights of each unit onto the ball around 0.

    Args:
        weights: Weights, units last.
        radius: Largest Euclidean norm of one unit's weights.

    Returns:
        The weights; those of a unit within the ball are the same bit for bit.

    References:
        Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR
        15 (2014), section 5.1.
    """
    units = weights.reshape(-1, weights.shape[-1])
    limited = jax.vmap(optax.projections.projection_l2_ball, (1, None), 1)(units, radius)
    # The projection multiplies all units; a factor of 1 may come out rounded.
    outside = jnp.linalg.norm(units, axis=0, keepdims=True) > radius
    return jnp.where(outside, limited, units).reshape(weights.shape)


def make_optimizer(
    config: Mapping[str, Any],
    params: Mapping[str, Any],
    trains: str = ".*",
    own_groups: Sequence[Group] = (),
) -> Optimizer:
    """Builds the optimizer of a run.

    Args:
        config: `config.optimizer`.
        params: All parameters, or their shapes.
        trains: `Method.trains`.
        own_groups: `Method.groups`; `config.optimizer.groups` multiply their factors.

    Returns:
        The optimizer.

    Raises:
        ValueError: An unknown name or schedule, a pattern without a match, nothing left to train.
    """
    for key, legal in (("name", NAMES), ("schedule", SCHEDULES)):
        check_name(f"config.optimizer.{key}", config[key], legal)
    leaves = dict(sorted(paths_of(params).items()))
    paths = list(leaves)
    frozen = _match(
        {f"config.optimizer.freeze[{i}]": pattern for i, pattern in enumerate(config["freeze"])},
        paths,
    )
    frozen |= {path: "method" for path in paths if not re.fullmatch(trains, path)}
    trained = [path for path in paths if path not in frozen]
    if trains and not trained:
        of_method = "" if trains == ".*" else f" that the method trains, {trains}"
        raise ValueError(
            f"config.optimizer.freeze matches every parameter{of_method}: nothing is left to "
            f"train; the paths are {', '.join(paths)}"
        )
    groups = _match(
        {
            f"config.optimizer.groups.{name}.pattern": group["pattern"]
            for name, group in config["groups"].items()
        },
        trained,
        frozen,
    )
    own = {
        path: group
        # The first that matches counts.
        for group in reversed(own_groups)
        for path in trained
        if re.fullmatch(group.pattern, path)
    }
    parts = parts_of(trained, {path: group.start for path, group in own.items()})
    decayed = _match({"config.optimizer.decay": config["decay"]}, paths) if config["decay"] else {}
    limited = (
        _match({"config.optimizer.max_norm_pattern": config["max_norm_pattern"]}, trained, frozen)
        if config["max_norm"]
        else {}
    )
    schedule = SCHEDULES[config["schedule"]]

    def split(params):
        flat = paths_of(params)
        kept = {path: flat[path] for path in sorted(flat) if path not in frozen}
        still = {path: flat[path] for path in sorted(flat) if path in frozen}
        return (
            traverse_util.unflatten_dict(kept, sep="/"),
            traverse_util.unflatten_dict(still, sep="/"),
        )

    def learning_rate(progress, hparams):
        warmup = hparams["optimizer.warmup"]
        rising = jnp.where(warmup > 0, jnp.minimum(1, progress / jnp.maximum(warmup, 1e-12)), 1)
        return hparams["optimizer.learning_rate"] * rising * schedule(progress, hparams)

    def transformation(root, progress, hparams):
        def scale(updates, params):
            del params
            rate = learning_rate(progress, hparams)
            flat: dict[str, Any] = traverse_util.flatten_dict(updates, sep="/")
            for path, update in flat.items():
                factor = -rate
                group = groups.get(f"{root}/{path}")
                if group is not None:
                    key = group.removeprefix("config.").removesuffix(".pattern")
                    factor = factor * hparams[f"{key}.learning_rate_factor"]
                if f"{root}/{path}" in own:
                    factor = factor * own[f"{root}/{path}"].factor(hparams)
                flat[path] = (factor * update).astype(update.dtype)
            return traverse_util.unflatten_dict(flat, sep="/")

        decay = optax.add_decayed_weights(
            hparams["optimizer.weight_decay"],
            mask=lambda tree: jax.tree.map_with_path(
                lambda keys, _: _join(root, keys) in decayed, tree
            ),
        )
        adam = optax.scale_by_adam(
            b1=config["betas"][0], b2=config["betas"][1], eps=config["epsilon"]
        )
        direction = {
            "sgd": (decay, optax.trace(hparams["optimizer.momentum"])),
            "adam": (decay, adam),
            "adamw": (adam, decay),
        }[config["name"]]
        return optax.chain(*direction, optax.stateless(scale))

    def init(trainable):
        # Initial states hold zeros alone; the traced values do not enter them.
        unused = {"optimizer.momentum": 0.0, "optimizer.weight_decay": 0.0}
        return {
            name: transformation(root, 0.0, unused).init(part.take(tree))
            for root, tree in trainable.items()
            for name, part in parts[root].items()
        }

    def clip(root, gradient, progress):
        """Clips the gradient of what of a root has started; that of the rest is 0."""
        zeros = jax.tree.map(jnp.zeros_like, gradient)
        gradient = join(
            [
                part.hold(part.take(gradient), part.take(zeros), progress)
                for part in parts[root].values()
            ]
        )
        if config["clip_norm"]:
            norm = optax.clip_by_global_norm(config["clip_norm"])
            clipped: Any = norm.update(gradient, optax.EmptyState())[0]
            return clipped
        return gradient

    def limit(root, tree):
        return jax.tree.map_with_path(
            lambda keys, leaf: (
                limit_units(leaf, config["max_norm"]) if _join(root, keys) in limited else leaf
            ),
            tree,
        )

    def update(gradients, state, trainable, *, progress, hparams):
        new_params, new_state = dict(trainable), dict(state)
        for root, gradient in gradients.items():
            gradient, moved = clip(root, gradient, progress), []
            for name, part in parts[root].items():
                before = part.take(trainable[root])
                step, after = transformation(root, progress, hparams).update(
                    part.take(gradient), state[name], before
                )
                now = limit(root, optax.apply_updates(before, step))
                moved.append(part.hold(now, before, progress))
                new_state[name] = part.hold(after, state[name], progress)
            new_params[root] = join(moved)
        return new_params, new_state

    def describe(path, leaf):
        group = groups.get(path, "").removeprefix("config.optimizer.groups.")
        group = f"trained in group {group.removesuffix('.pattern')}" if group else "trained"
        how = "frozen" if path in frozen else group
        start = own[path].start if path in own else 0
        how += f" from {start:g} of the run on" if start else ""
        norm = f", each unit's norm at most {config['max_norm']:g}" if path in limited else ""
        return f"{path} {tuple(leaf.shape)} {how}{' decayed' if path in decayed else ''}{norm}"

    summary = tuple(describe(path, leaf) for path, leaf in leaves.items())
    return Optimizer(split, init, update, learning_rate, summary)
