"""Where the members of a population live. Nothing else in the project touches devices."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec


class Placement(NamedTuple):
    """How arrays are laid over devices.

    Attributes:
        members: Sharding of arrays with a leading axis of members.
        shared: Sharding of arrays that all members read.
        kinds: Names of the devices in use.
    """

    members: NamedSharding
    shared: NamedSharding
    kinds: tuple[str, ...]


def make_placement(num_members: int, max_devices: int) -> Placement:
    """Spreads members evenly over devices.

    Members never communicate, so a plain jit over this sharding makes no collectives.

    Args:
        num_members: Size of the population.
        max_devices: How many devices may be used; 0 for all there are.

    Returns:
        A placement over the largest number of devices that divides the members.
    """
    available = jax.devices()
    available = available[:max_devices] if max_devices else available
    count = max(n for n in range(1, len(available) + 1) if num_members % n == 0)
    mesh = jax.make_mesh(
        (count,), ("member",), axis_types=(AxisType.Auto,), devices=available[:count]
    )
    kinds = tuple(str(device.device_kind) for device in available[:count])
    return Placement(
        NamedSharding(mesh, PartitionSpec("member")), NamedSharding(mesh, PartitionSpec()), kinds
    )


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Puts arrays on devices.

    Args:
        tree: Arrays of the host or of a device.
        sharding: A sharding of a `Placement`.

    Returns:
        The same tree on the devices.
    """
    return jax.device_put(tree, sharding)


def use_processor_cores() -> None:
    """Shows JAX a device for each core of a machine without an accelerator.

    Members of a population then train side by side. It has to be called before JAX is used.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    jax.config.update("jax_num_cpu_devices", cores or 1)
