"""Trains populations in processes of this machine, a few at a time, each on its accelerator."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from common.experiment.executors import schedule, table
from common.experiment.executors.task import (
    Population,
    Settings,
    Task,
    Train,
    last_line,
    look,
    make_logs,
    make_tasks,
    of_runs,
)
from common.experiment.outcome import writing

# Which accelerators a process sees, the first of these that is set.
VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
# JAX takes three quarters of a device's memory when it starts; processes that share one share this.
MEMORY, SHARED_MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION", 0.9


class Accelerators(NamedTuple):
    """The accelerators of this machine.

    Attributes:
        variable: The environment variable that says which of them a process sees.
        names: What to set it to, one by one; none on a machine with processors alone.
    """

    variable: str
    names: tuple[str, ...]


def find_accelerators(environment: Mapping[str, str], devices: Path = Path("/dev")) -> Accelerators:
    """Finds accelerators without starting JAX, which would take their memory.

    Args:
        environment: The variables that processes would be started with.
        devices: Where the machine's device files are.

    Returns:
        Those that a variable names; else, NVIDIA's, by their device files; none where
        `JAX_PLATFORMS` asks for processors.
    """
    if environment.get("JAX_PLATFORMS") == "cpu":
        return Accelerators(VARIABLES[0], ())
    for variable in VARIABLES:
        if variable in environment:
            names = tuple(filter(None, re.split(r"[,\s]+", environment[variable])))
            return Accelerators(variable, names)
    numbers = [re.fullmatch(r"nvidia(\d+)", path.name) for path in devices.glob("nvidia*")]
    found = sorted(int(number[1]) for number in numbers if number)
    return Accelerators(VARIABLES[0], tuple(map(str, found)))


def environment_of(
    slot: int, accelerators: Accelerators, slots: int, environment: Mapping[str, str]
) -> dict[str, str]:
    """Makes the environment of the process in a slot.

    Args:
        slot: Its number.
        accelerators: Those of the machine; neighbouring slots take different ones.
        slots: Processes on each of them.
        environment: The variables of all processes.

    Returns:
        These, and which accelerator it sees.
    """
    own = dict(environment)
    if names := accelerators.names:
        own[accelerators.variable] = names[slot % len(names)]
        if slots > 1:
            own.setdefault(MEMORY, f"{SHARED_MEMORY / slots:.3f}")
    return own


def cores_of(slot: int, slots: int, cores: Sequence[int]) -> set[int]:
    """Parts the cores of a machine without accelerators among its slots.

    Processes that each spread their threads over all cores wait for each other's: two of them on
    two cores spent half of their time in the kernel.

    Args:
        slot: The number of a slot.
        slots: How many there are.
        cores: What may be used.

    Returns:
        Neighbouring cores, as many for each slot as can be; one where there are more slots than
        cores.
    """
    first, last = (number * len(cores) // slots for number in (slot, slot + 1))
    return set(cores[first : max(last, first + 1)])


class Child(NamedTuple):
    """A process that was started here.

    Attributes:
        process: The process.
        log: What it says.
        task: What it trains.
    """

    process: subprocess.Popen[bytes]
    log: IO[bytes]
    task: Task


def run_locally(
    populations: Sequence[Population], train: Train, settings: Settings
) -> dict[str, str]:
    """Trains populations in processes of this machine.

    Args:
        populations: Resolved configs.
        train: Unused.
        settings: `slots` are processes on each accelerator, or in all where there is none.

    Returns:
        By run id, why a run was not trained.

    Raises:
        RunFailed: A file cannot be written.
        Stopped: A signal came; the processes have saved and ended.
    """
    del train
    tasks = make_tasks(populations, settings.command)
    make_logs(tasks)
    accelerators = find_accelerators(settings.environment)
    slots, count = settings.slots or 1, max(len(accelerators.names), 1)

    def start(pairs: Sequence[tuple[int, Task]]) -> list[Child]:
        started = []
        for slot, task in pairs:
            with writing(task.log):
                log = task.log.open("ab")
            own = environment_of(slot, accelerators, slots, settings.environment)
            # In a session of its own: Ctrl-C reaches this process alone, which then tells all.
            process = subprocess.Popen(
                task.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=own,
                start_new_session=True,
            )
            if not accelerators.names and hasattr(os, "sched_setaffinity"):
                with contextlib.suppress(ProcessLookupError):
                    cores = sorted(os.sched_getaffinity(0))
                    os.sched_setaffinity(process.pid, cores_of(slot, slots, cores))
            started.append(Child(process, log, task))
        return started

    def place(slot: int) -> str:
        if not accelerators.names:
            return f"slot {slot}"
        name = accelerators.names[slot % count]
        return f"slot {slot}, {accelerators.variable}={name}"

    backend = schedule.Backend(slots * count, start, poll, stop, place)
    with table.open_table(tasks, settings.say) as show:
        given_up = schedule.run_tasks(
            tasks, backend, settings.request, retries=settings.retries, look=look, show=show
        )
    return of_runs(tasks, given_up)


def poll(child: Child) -> schedule.Ending | None:
    """Says how a process ended.

    Args:
        child: The process.

    Returns:
        None while it runs.
    """
    code = child.process.poll()
    if code is None:
        return None
    child.log.close()
    if code < 0:
        number: Any = -code
        with contextlib.suppress(ValueError):
            number = signal.Signals(-code).name
        return schedule.Ending(code, f"its process was killed by {number}; see {child.task.log}")
    said = last_line(child.task.log)
    return schedule.Ending(code, f"exit code {code}: {said} (see {child.task.log})")


def stop(child: Child) -> None:
    """Asks a process to save and end.

    Args:
        child: The process.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.process.pid, signal.SIGTERM)
