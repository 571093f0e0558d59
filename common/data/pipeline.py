"""Which example is seen at which step, and how a picture becomes input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, Num

from common.legal import check_count, check_keys
from common.method import fold_in_name


def batch_sizes_of(config: Mapping[str, Any], domains: Iterable[str]) -> dict[str, int]:
    """Says how many examples of each domain a step sees.

    Args:
        config: `config.data`.
        domains: The domains of a batch.

    Returns:
        Examples by domain: `batch_size`, or what `batch_sizes` says of the domain.

    Raises:
        ValueError: `batch_sizes` names a domain that no batch holds, or holds no count.
    """
    domains = tuple(domains)
    check_keys("config.data.batch_sizes", config["batch_sizes"], domains)
    for domain, count in config["batch_sizes"].items():
        check_count(f"config.data.batch_sizes.{domain}", count)
    return {domain: config["batch_sizes"].get(domain, config["batch_size"]) for domain in domains}


def check_sizes(sizes: Mapping[str, int], batch_sizes: Mapping[str, int]) -> None:
    """Refuses batches that would hold an example twice, or none.

    Args:
        sizes: Examples in the training split, by domain.
        batch_sizes: Examples a step, by domain.

    Raises:
        ValueError: A batch larger than its domain, or not positive.
    """
    for domain, size in sizes.items():
        if not 0 < batch_sizes[domain] <= size:
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
) -> dict[str, Int[Array, "step batch"]]:
    """Draws the positions of the examples of some steps.

    Every domain is walked in epochs of its own: each epoch is a fresh permutation, and a batch
    may span two of them, so no example is dropped and none is seen twice in an epoch. The
    position depends on the step number alone, hence there is no iterator to save.

    Args:
        key: The run's key.
        first_step: Number of the first step.
        num_steps: Number of steps.
        sizes: Examples in the training split, by domain.
        batch_sizes: Examples a step, by domain.

    Returns:
        Positions in the training split, by domain.
    """
    drawn = {}
    for domain, size in sizes.items():
        batch = batch_sizes[domain]
        # Python integers: a 32-bit product of step and batch would overflow in long runs.
        epoch, offset = divmod(first_step * batch, size)
        drawn[domain] = _positions(
            fold_in_name(key, f"order of {domain}"), epoch, offset, num_steps, size, batch
        )
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
