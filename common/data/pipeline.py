"""Which example is seen at which step, and how a picture becomes input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Num

from common.data.fold import held_out_turns
from common.data.labelled import LABELLED_BATCH
from common.legal import check_count, check_keys
from common.method import fold_in_name

BALANCED = ("target_labelled",)
EMPTY: Mapping[str, int] = MappingProxyType({})
NO_SHARES: Mapping[str, tuple[int, ...]] = MappingProxyType({})


def batch_sizes_of(config: Mapping[str, Any], domains: Iterable[str]) -> dict[str, int]:
    """Says how many examples of each domain a step sees.

    Args:
        config: `config.data`.
        domains: The domains of a batch.

    Returns:
        Examples by domain: what `batch_sizes` says of the domain, or `batch_size`; of labelled
        target examples under `target_labels_per_class` `LABELLED_BATCH`.

    Raises:
        ValueError: `batch_sizes` names a domain that no batch holds, or holds no count.
    """
    domains = tuple(domains)
    check_keys("config.data.batch_sizes", config["batch_sizes"], domains)
    for domain, count in config["batch_sizes"].items():
        check_count(f"config.data.batch_sizes.{domain}", count)
    default = dict.fromkeys(domains, config["batch_size"])
    if config.get("target_labels_per_class") and "target_labelled" in default:
        default["target_labelled"] = LABELLED_BATCH
    return {domain: config["batch_sizes"].get(domain, own) for domain, own in default.items()}


def balanced_classes(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, int]:
    """Names the domains of which every step sees each class equally often.

    Args:
        config: `config.data`.
        sizes: Examples that are drawn from, by domain.

    Returns:
        Number of classes by domain: of labelled target examples under `target_labels_per_class`.
    """
    each = config.get("target_labels_per_class", 0)
    if each and config.get("fold") is not None:
        each -= held_out_turns(each, config["folds"])
    return {domain: size // each for domain, size in sizes.items() if each and domain in BALANCED}


def shares_of(domains: Iterable[str], origin: Any) -> dict[str, tuple[int, ...]]:
    """Counts the training examples of each of several sources.

    Args:
        domains: The domains of a batch.
        origin: The number of the source of each training row, in order; None for one source.

    Returns:
        The counts under `source`, where a batch holds several.
    """
    if origin is None or "source" not in domains:
        return {}
    return {"source": tuple(int(count) for count in np.bincount(np.asarray(origin)))}


def check_sizes(
    sizes: Mapping[str, int],
    batch_sizes: Mapping[str, int],
    classes: Mapping[str, int] = EMPTY,
    shares: Mapping[str, tuple[int, ...]] = NO_SHARES,
) -> None:
    """Refuses batches that would hold an example twice, or none.

    Args:
        sizes: Examples in the training split, by domain.
        batch_sizes: Examples a step, by domain.
        classes: From `balanced_classes`; these domains may be smaller than their batch.
        shares: From `shares_of`.

    Raises:
        ValueError: A batch larger than its domain, or not positive, or one that several sources
            cannot share evenly.
    """
    for domain, own in shares.items():
        batch, most = batch_sizes[domain], len(own) * min(own)
        if batch % len(own) or not 0 < batch <= most:
            raise ValueError(
                f"config.data.batch_size is {batch}, which {len(own)} sources share evenly; the "
                f"smallest has {min(own)} training examples, so multiples of {len(own)} up to "
                f"{most} are possible (config.data.batch_sizes.{domain} is this domain's own)"
            )
    for domain, size in sizes.items():
        if domain not in classes and not 0 < batch_sizes[domain] <= size:
            raise ValueError(
                f"config.data.batch_size is {batch_sizes[domain]}; the training split of {domain} "
                f"has {size} examples, so 1 to {size} are possible "
                f"(config.data.batch_sizes.{domain} is this domain's own)"
            )


def indices(
    key: Key[Array, ""],
    first_step: int,
    num_steps: int,
    sizes: Mapping[str, int],
    batch_sizes: Mapping[str, int],
    classes: Mapping[str, int] = EMPTY,
    shares: Mapping[str, tuple[int, ...]] = NO_SHARES,
) -> dict[str, Int[Array, "step batch"]]:
    """Draws the positions of the examples of some steps.

    Every domain is walked in epochs of its own: each epoch is a fresh permutation, and a batch
    may span two of them, so no example is dropped and none is seen twice in an epoch. The
    position depends on the step number alone, hence there is no iterator to save.

    Of a domain in `classes` every step draws anew: each class is seen equally often up to one, and
    so is each example of a class, also where there are fewer than a batch takes.

    Several sources are walked each in epochs of its own and take turns in a batch, so that any
    even part of it holds as many of each.

    Args:
        key: The run's key.
        first_step: Number of the first step.
        num_steps: Number of steps.
        sizes: Examples in the training split, by domain.
        batch_sizes: Examples a step, by domain.
        classes: From `balanced_classes`. Such a domain has an example of each class in turn.
        shares: From `shares_of`.

    Returns:
        Positions in the training split, by domain.
    """
    drawn = {}
    for domain, size in sizes.items():
        batch = batch_sizes[domain]
        own = fold_in_name(key, f"order of {domain}")
        if domain in classes:
            each = size // classes[domain]
            drawn[domain] = _balanced_positions(
                own, first_step, num_steps, classes[domain], each, batch
            )
            continue
        if domain in shares:
            each, start, parts = batch // len(shares[domain]), 0, []
            for number, count in enumerate(shares[domain]):
                epoch, offset = divmod(first_step * each, count)
                part = fold_in_name(own, f"source {number}")
                parts.append(start + _positions(part, epoch, offset, num_steps, count, each))
                start += count
            drawn[domain] = jnp.stack(parts, axis=2).reshape(num_steps, batch)
            continue
        # Python integers: a 32-bit product of step and batch would overflow in long runs.
        epoch, offset = divmod(first_step * batch, size)
        drawn[domain] = _positions(own, epoch, offset, num_steps, size, batch)
    return drawn


@partial(jax.jit, static_argnames=("num_steps", "size", "batch"))
def _positions(key, epoch, offset, num_steps, size, batch):
    """Reads `num_steps * batch` entries from the sequence of epochs, beginning at an offset."""
    epochs = -(-(num_steps * batch + size - 1) // size)
    orders = jax.vmap(lambda e: jax.random.permutation(jax.random.fold_in(key, e), size))(
        epoch + jnp.arange(epochs)
    )
    flat = jax.lax.dynamic_slice(orders.reshape(-1), (offset,), (num_steps * batch,))
    return flat.reshape(num_steps, batch)


@partial(jax.jit, static_argnames=("num_steps", "classes", "each", "batch"))
def _balanced_positions(key, first_step, num_steps, classes, each, batch):
    """Draws steps in which the classes take turns, and so do the examples of each class."""
    turn, place = jnp.divmod(jnp.arange(batch), classes)

    def of_step(step):
        of_classes, of_examples = jax.random.split(jax.random.fold_in(key, step))
        # One order in all turns, so that the last, which is cut, repeats no class.
        number = jnp.argsort(jax.random.uniform(of_classes, (classes,)))[place]
        examples = jnp.argsort(jax.random.uniform(of_examples, (classes, each)), axis=1)
        return examples[number, turn % each] * classes + number

    return jax.vmap(of_step)(first_step + jnp.arange(num_steps))


def scale_images(
    images: Num[Array, "batch *shape"], maximum: Float[Array, ""]
) -> Float[Array, "batch *shape"]:
    """Turns stored pictures into numbers from 0 to 1.

    Args:
        images: Pictures as stored, or vectors.
        maximum: The largest value that a stored picture can have; 1 for vectors.

    Returns:
        The scaled pictures in the default float type.
    """
    return images.astype(maximum.dtype) / maximum
