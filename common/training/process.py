"""Several processes that train one run together: who they are, and what they agree on.

Every process reads the same files and takes the same decisions; the first one alone writes. A
process that was started alone never needs JAX to know that it is the first.
"""

from __future__ import annotations

import sys

import numpy as np

# What stands for a cluster whose environment names the processes.
FROM_ENVIRONMENT = "auto"
# A process that says nothing for so long is taken for dead, and the others stop.
SILENCE_SECONDS = 20
START_SECONDS = 120


def join(coordinator: str, num_processes: int, number: int) -> None:
    """Meets the other processes of a run; has to be called before JAX is used.

    Args:
        coordinator: "" for a process on its own; `auto` to read the environment of SLURM, Open
            MPI, Kubernetes or a TPU pod; else HOST:PORT of the first process.
        num_processes: How many processes there are; unused under `auto`.
        number: Which of them this is, from 0; unused under `auto`.

    Raises:
        ValueError: The keys do not fit together, or no cluster is found.
        ConnectionError: The others did not come.
    """
    keys = "config.runtime.coordinator, num_processes and process"
    if not coordinator:
        if num_processes or number:
            raise ValueError(f"{keys} belong together: coordinator is empty, the others are not")
        return
    if coordinator == FROM_ENVIRONMENT:
        address, total, own = None, None, None
    elif not 0 <= number < num_processes:
        raise ValueError(
            f"config.runtime.process is {number}; of {num_processes} processes "
            "(config.runtime.num_processes) it has to be one, counted from 0"
        )
    else:
        _, separator, port = coordinator.rpartition(":")
        if not separator or not port.isdigit():
            raise ValueError(
                f"config.runtime.coordinator is {coordinator!r}; legal are "
                f"{FROM_ENVIRONMENT} and HOST:PORT of the first process"
            )
        address, total, own = coordinator, num_processes, number
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            *(address, total, own),
            initialization_timeout=START_SECONDS,
            heartbeat_timeout_seconds=SILENCE_SECONDS,
            shutdown_timeout_seconds=SILENCE_SECONDS,
        )
    except RuntimeError as error:
        raise ConnectionError(
            f"process {own} of {total} did not meet the others at {address} within "
            f"{START_SECONDS} s: {str(error).splitlines()[0]}"
        ) from error
    except ValueError as error:
        if coordinator != FROM_ENVIRONMENT:
            raise
        raise ValueError(
            f"config.runtime.coordinator is {FROM_ENVIRONMENT!r}, but no SLURM, Open MPI, "
            f"Kubernetes or TPU environment names the processes: {error}"
        ) from error


def count() -> int:
    """Returns how many processes train together; 1 for a process on its own."""
    jax = sys.modules.get("jax")
    if jax is None or not jax.distributed.is_initialized():
        return 1
    return jax.process_count()


def is_first() -> bool:
    """Says whether this process writes."""
    return count() == 1 or sys.modules["jax"].process_index() == 0


def part() -> None:
    """Leaves the other processes; afterwards each is on its own, and the first one has time."""
    if count() > 1:
        sys.modules["jax"].distributed.shutdown()


def wait(name: str) -> None:
    """Waits until every process is here, so that what the first one wrote can be read.

    Args:
        name: Of the place in the program; the same for all processes.
    """
    if count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def any_of(value: bool) -> bool:
    """Says whether something is true in any process; all have to ask.

    Args:
        value: What this process knows.

    Returns:
        The same answer in every process.
    """
    if count() == 1:
        return value
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.asarray(value)).any())


def from_first(text: str) -> str:
    """Tells all processes what the first one says.

    Args:
        text: What this process would say.

    Returns:
        The first process's text.
    """
    if count() == 1:
        return text
    from jax.experimental import multihost_utils

    own = np.frombuffer(text.encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.asarray(own.size, np.int32)))
    told = own if own.size == size else np.zeros(size, np.uint8)
    return bytes(np.asarray(multihost_utils.broadcast_one_to_all(told))).decode()
