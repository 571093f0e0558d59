"""Devices: where members and batches live. Nothing else in the project touches devices.

The members of a population are spread over the devices and never communicate. A lone run spreads
the rows of its batches instead, in one of two modes that compute the same numbers:

- `jit`: one program over a mesh; the compiler splits the work along the batch.
- `pmap`: a copy of the program on each device; see `common/training/replica.py`.

Under both, a loss sees the global batch, so losses that are no means over examples (covariances,
class confusion, optimal transport) are those of one device.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array

from common.training import process
from common.training.replica import REPLICA

MODES = ("jit", "pmap")


class Placement(NamedTuple):
    """How arrays are laid over devices.

    Attributes:
        members: Sharding of arrays with a leading axis of members.
        shared: Sharding of arrays that all members read.
        batch: Sharding of the rows of a lone run's batch; None where they are not split, or are
            split by `pmap`.
        mode: `jit` or `pmap`.
        devices: The devices in use.
    """

    members: NamedSharding
    shared: NamedSharding
    batch: NamedSharding | None
    mode: str
    devices: tuple[Any, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names the devices in use."""
        return tuple(str(device.device_kind) for device in self.devices)


def make_placement(
    num_members: int, max_devices: int, batch_size: int = 1, mode: str = "jit"
) -> Placement:
    """Spreads the members of a population, or the batch of a lone run, evenly over devices.

    Args:
        num_members: Size of the population.
        max_devices: How many devices may be used; 0 for as many as help: all accelerators, the
            cores of a processor only for the members of a population, since a single small
            network is slower on cores that have to wait for each other.
        batch_size: Rows of a batch that are to be shared out: of one domain, or the greatest
            common divisor of all domains'.
        mode: `jit` or `pmap`.

    Returns:
        A placement over the largest number of devices that divides the members, or the batch.

    Raises:
        ValueError: An unknown mode, more devices than there are, or `pmap` for a population.
    """
    if mode not in MODES:
        raise ValueError(f"config.runtime.parallel is {mode!r}; legal are {', '.join(MODES)}")
    if mode == "pmap" and num_members > 1:
        raise ValueError(
            f"config.runtime.parallel is 'pmap', which trains one run at a time, but {num_members} "
            "runs were packed into one program; use 'jit'"
        )
    available = jax.devices()
    if not 0 <= max_devices <= len(available):
        raise ValueError(
            f"config.runtime.devices is {max_devices}; this machine has {len(available)} "
            "(0 stands for all)"
        )
    num_processes = process.count()
    if num_processes > 1 and (mode == "pmap" or max_devices):
        raise ValueError(
            f"{num_processes} processes train this run: config.runtime.parallel has to be 'jit', "
            "and config.runtime.devices 0, all there are"
        )
    is_alone = num_members == 1 and num_processes == 1
    if max_devices == 0 and is_alone and available[0].platform == "cpu":
        max_devices = 1
    available = available[: max_devices or None]
    divided = num_members if num_members > 1 else batch_size
    count = max(n for n in range(1, len(available) + 1) if divided % n == 0)
    if num_processes > 1 and count < len(available):
        raise ValueError(
            f"{num_processes} processes with {len(available)} devices in all cannot share out "
            f"{divided} examples evenly; change config.data.batch_size or the devices"
        )
    devices = tuple(available[:count])
    mesh = jax.make_mesh((count,), ("row",), axis_types=(AxisType.Auto,), devices=devices)
    rows, whole = NamedSharding(mesh, PartitionSpec("row")), NamedSharding(mesh, PartitionSpec())
    alone = num_members == 1
    split = alone and count > 1 and mode == "jit"
    return Placement(whole if alone else rows, whole, rows if split else None, mode, devices)


def free_memory(max_devices: int) -> tuple[int, int, bool]:
    """Tells how much memory there is for a population.

    Args:
        max_devices: How many devices may be used; 0 for all.

    Returns:
        Free bytes, of an accelerator those of one device, 0 where that is not known; how many
        devices there are; whether they share these bytes.
    """
    devices = jax.devices()[: max_devices or None]
    if devices[0].platform == "cpu":
        return _free_host_memory(), len(devices), True
    about = devices[0].memory_stats() or {}
    free = about.get("bytes_limit", 0) - about.get("bytes_in_use", 0)
    return max(0, free), len(devices), False


def _free_host_memory() -> int:
    """Reads what the system can give without swapping, within the limit of a job's group."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        limit, used = ((group / f"memory.{name}").read_text() for name in ("max", "current"))
        found.append(max(0, int(limit) - int(used)))
    if not found:
        # macOS tells the whole memory alone.
        with contextlib.suppress(OSError, ValueError):
            found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    return min(found, default=0)


def _same(tree: Any) -> Any:
    return tree


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Puts arrays on devices.

    Args:
        tree: Arrays of the host or of a device.
        sharding: A sharding of a `Placement`.

    Returns:
        The same tree on the devices.
    """
    if process.count() == 1:
        return jax.device_put(tree, sharding)
    # What the devices of several processes share, typed keys among it, moves by a program alone.
    move = jax.jit(_same, out_shardings=sharding)
    return jax.tree.map(
        lambda leaf: move(leaf) if isinstance(leaf, Array) else jax.device_put(leaf, sharding), tree
    )


def split_rows(tree: Any, placement: Placement | None) -> Any:
    """Tells the compiler to split rows over devices.

    Without this, every device would repeat the work of all.

    Args:
        tree: Arrays inside a compiled function, rows first.
        placement: Where the program runs; None for one device.

    Returns:
        The same tree. Arrays whose rows cannot be split evenly are left alone.
    """
    if placement is None or placement.batch is None:
        return tree
    return jax.tree.map(
        lambda leaf: (
            jax.lax.with_sharding_constraint(leaf, placement.batch)
            if leaf.shape[0] % len(placement.devices) == 0
            else leaf
        ),
        tree,
    )


def place_block(block: np.ndarray, placement: Placement | None) -> Array:
    """Puts pictures read on the host where the program expects them.

    Args:
        block: `[member, step, row, ...]`; of the rows those of `process_rows`.
        placement: Where the program runs; None for one device.

    Returns:
        The block of all processes, split over devices along members or rows.
    """
    if placement is None:
        return jnp.asarray(block)
    if placement.batch is None:
        return place(block, placement.members)
    sharding = NamedSharding(placement.batch.mesh, PartitionSpec(None, None, "row"))
    return jax.make_array_from_process_local_data(sharding, block)


def whole(tree: Any, placement: Placement | None) -> Any:
    """Lets every process read all rows of arrays that the devices of several share.

    Args:
        tree: What a compiled function returned.
        placement: Where the program runs; None for one device.

    Returns:
        The same tree; on several processes every device then holds all of it.
    """
    if placement is None or process.count() == 1:
        return tree
    return jax.jit(_same, out_shardings=placement.shared)(tree)


def process_rows(num_rows: int, placement: Placement | None) -> slice:
    """Says which rows of a batch the devices of this process work on.

    Args:
        num_rows: Rows of the whole batch.
        placement: Where the program runs; None for one device.

    Returns:
        Consecutive rows: all of them where this process is the only one.
    """
    if placement is None or placement.batch is None:
        return slice(0, num_rows)
    parts = placement.batch.addressable_devices_indices_map((num_rows,)).values()
    bounds = [part[0].indices(num_rows) for part in parts if part is not None]
    return slice(min(start for start, *_ in bounds), max(stop for _, stop, _ in bounds))


def on_host():
    """Runs what is inside on the processor, whatever the accelerator is busy with."""
    return jax.default_device(jax.local_devices(backend="cpu")[0])


def compile_training(function: Callable, placement: Placement | None) -> Callable:
    """Compiles a training function `(state, *others) -> (state, ...)`; the state is donated.

    Args:
        function: A pure function. Under `pmap` it runs once a device, and every copy returns the
            same values.
        placement: Where it runs; None for one device.

    Returns:
        The compiled function.
    """
    if placement is None or placement.mode == "jit":
        return jax.jit(function, donate_argnums=0)
    count = len(placement.devices)

    def on_replica(number, state, others):
        del number
        return function(state, *others)

    replicas = jax.pmap(
        on_replica,
        axis_name=REPLICA,
        in_axes=(0, None, None),
        out_axes=None,
        devices=placement.devices,
        donate_argnums=1,
    )
    return lambda state, *others: replicas(jnp.arange(count), state, others)


def use_processor_cores() -> None:
    """Shows JAX a device for each core of a machine without an accelerator.

    Members of a population then train side by side. It has to be called before JAX is used. A
    number in the environment, JAX_NUM_CPU_DEVICES, stands.
    """
    if "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    jax.config.update("jax_num_cpu_devices", cores or 1)


def keep_to_processor() -> None:
    """Keeps JAX off accelerators, whose memory other processes need.

    It has to be called before JAX is used.
    """
    jax.config.update("jax_platforms", "cpu")
