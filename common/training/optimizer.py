"""From a config to Optax updates: what is trained, how fast, and how clipped.

Each parameter root has an optimizer state and a clip norm of its own, so that a discriminator's
gradient cannot shrink the task head's step. The transformation is rebuilt inside the step from
traced values, so rates and decays may differ between the members of a population.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array, ArrayLike, Float

from common.method import HParams


def constant(progress: Float[ArrayLike, ""], hparams: HParams) -> Float[Array, ""]:
    """Keeps the rate.

    Args:
        progress: Fraction of the run, in [0, 1].
        hparams: Not used.

    Returns:
        1.
    """
    del hparams
    return jnp.ones_like(jnp.asarray(progress))


def inverse_power(progress: Float[ArrayLike, ""], hparams: HParams) -> Float[Array, ""]:
    """Anneals by `(1 + gamma * progress) ** -power`, 10 and 0.75 in the DANN paper.

    Args:
        progress: Fraction of the run, in [0, 1].
        hparams: `optimizer.gamma` and `optimizer.power` are read.

    Returns:
        The factor of the learning rate.

    References:
        Ganin et al., JMLR 17 (2016), section 5.2.2.
    """
    return (1 + hparams["optimizer.gamma"] * progress) ** -hparams["optimizer.power"]


def cosine(progress: Float[ArrayLike, ""], hparams: HParams) -> Float[Array, ""]:
    """Falls from 1 to 0 along half a cosine.

    Args:
        progress: Fraction of the run, in [0, 1].
        hparams: Not used.

    Returns:
        The factor of the learning rate.
    """
    del hparams
    return (1 + jnp.cos(jnp.pi * jnp.asarray(progress))) / 2


SCHEDULES: dict[str, Callable[[Any, HParams], jax.Array]] = {
    "constant": constant,
    "inverse_power": inverse_power,
    "cosine": cosine,
}
NAMES = ("sgd", "adam", "adamw")


class Optimizer(NamedTuple):
    """The optimizer of a run.

    Attributes:
        split: `params -> (trainable, frozen)`.
        init: `trainable -> state`, a state by parameter root.
        update: `(gradients, state, trainable, *, progress, hparams) -> (trainable, state)`; takes
            the trees of any subset of the roots and leaves the state of the others alone.
        learning_rate: `(progress, hparams) -> rate`, before the groups' factors.
        summary: One line a parameter: path, shape, group or frozen, decayed or not.
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


def _match(patterns: Mapping[str, str], paths: list[str]) -> dict[str, str]:
    """Gives each path the name of the first pattern that matches all of it.

    Args:
        patterns: Regular expressions by name; the name is the config key they stand at.
        paths: Parameter paths.

    Returns:
        Names by path; paths without a match are left out.

    Raises:
        ValueError: A pattern that is no regular expression, or that matches no path.
    """
    matched: dict[str, str] = {}
    for name, pattern in patterns.items():
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{name}: {pattern!r} is no regular expression: {error}") from None
        hits = [path for path in paths if expression.fullmatch(path)]
        if not hits:
            raise ValueError(
                f"{name}: {pattern!r} matches no parameter; the paths are {', '.join(paths)}"
            )
        for path in hits:
            matched.setdefault(path, name)
    return matched


def make_optimizer(config: Mapping[str, Any], params: Mapping[str, Any]) -> Optimizer:
    """Builds the optimizer of a run.

    Args:
        config: `config.optimizer`.
        params: All parameters, or their shapes.

    Returns:
        The optimizer.

    Raises:
        ValueError: An unknown name or schedule, a pattern without a match, nothing left to train.
    """
    for key, legal in (("name", NAMES), ("schedule", SCHEDULES)):
        if config[key] not in legal:
            raise ValueError(
                f"config.optimizer.{key} is {config[key]!r}; legal are {', '.join(legal)}"
            )
    leaves = dict(sorted(paths_of(params).items()))
    paths = list(leaves)
    frozen = _match(
        {f"config.optimizer.freeze[{i}]": pattern for i, pattern in enumerate(config["freeze"])},
        paths,
    )
    trained = [path for path in paths if path not in frozen]
    if not trained:
        raise ValueError(
            f"config.optimizer.freeze matches every parameter: nothing is left to train; "
            f"the paths are {', '.join(paths)}"
        )
    groups = _match(
        {
            f"config.optimizer.groups.{name}.pattern": group["pattern"]
            for name, group in config["groups"].items()
        },
        trained,
    )
    decayed = _match({"config.optimizer.decay": config["decay"]}, paths) if config["decay"] else {}
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
                flat[path] = (factor * update).astype(update.dtype)
            return traverse_util.unflatten_dict(flat, sep="/")

        decay = optax.add_decayed_weights(
            hparams["optimizer.weight_decay"],
            mask=lambda tree: jax.tree.map_with_path(
                lambda path, _: "/".join([root, *(key.key for key in path)]) in decayed, tree
            ),
        )
        adam = optax.scale_by_adam(
            b1=config["betas"][0], b2=config["betas"][1], eps=config["epsilon"]
        )
        clip = optax.clip_by_global_norm(config["clip_norm"]) if config["clip_norm"] else None
        direction = {
            "sgd": (decay, optax.trace(hparams["optimizer.momentum"])),
            "adam": (decay, adam),
            "adamw": (adam, decay),
        }[config["name"]]
        steps = (clip, *direction, optax.stateless(scale))
        return optax.chain(*(step for step in steps if step is not None))

    def init(trainable):
        # Initial states hold zeros alone; the traced values do not enter them.
        unused = {"optimizer.momentum": 0.0, "optimizer.weight_decay": 0.0}
        return {
            root: transformation(root, 0.0, unused).init(tree) for root, tree in trainable.items()
        }

    def update(gradients, state, trainable, *, progress, hparams):
        new_params, new_state = dict(trainable), dict(state)
        for root, gradient in gradients.items():
            step, new_state[root] = transformation(root, progress, hparams).update(
                gradient, state[root], trainable[root]
            )
            new_params[root] = optax.apply_updates(trainable[root], step)
        return new_params, new_state

    def describe(path, leaf):
        group = groups.get(path, "").removeprefix("config.optimizer.groups.")
        group = f"trained in group {group.removesuffix('.pattern')}" if group else "trained"
        how = "frozen" if path in frozen else group
        return f"{path} {tuple(leaf.shape)} {how}{' decayed' if path in decayed else ''}"

    summary = tuple(describe(path, leaf) for path, leaf in leaves.items())
    return Optimizer(split, init, update, learning_rate, summary)
