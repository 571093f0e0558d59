"""A population as something that another process trains: its command, its log, its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.experiment import folder, lock
from common.experiment.outcome import StopRequest, writing

Population = Sequence[Mapping[str, Any]]
# Trains a population in this process; by run id, why a run failed.
Train = Callable[[Population], dict[str, str]]

# Whether a population is to be trained, is trained by somebody, or has ended.
OPEN, BUSY, OVER = "open", "busy", "over"
LOGS = "logs"


class Settings(NamedTuple):
    """What executors are told.

    Attributes:
        request: Whether a signal asked this process to stop.
        say: Tells a person what happens.
        command: The command line that a population's own is made from, by `--only`.
        environment: The variables of the processes that are started.
        slots: How many of them at a time; None: what the executor takes to be right.
        retries: How often a population is tried again after it has ended in an unknown way.
        cluster: What SLURM is asked for, by the names of its options.
    """

    request: StopRequest
    say: Callable[[str], None] = print
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    slots: int | None = None
    retries: int = 1
    cluster: Mapping[str, Any] = {}


class Task(NamedTuple):
    """A population to be trained elsewhere.

    Attributes:
        name: The population's id.
        title: What is trained, for people.
        configs: The resolved configs of its runs.
        command: The command line that trains it, or goes on with it.
        log: What its processes say is added to this file.
    """

    name: str
    title: str
    configs: Population
    command: tuple[str, ...]
    log: Path


def make_tasks(populations: Sequence[Population], command: Sequence[str]) -> list[Task]:
    """Makes the command line of each population.

    Args:
        populations: Resolved configs.
        command: The sweep's own command line.

    Returns:
        A task for each population, in their order.
    """
    tasks = []
    for configs in populations:
        name = folder.population_folder(configs).name
        methods = "/".join(dict.fromkeys(str(config["method"]) for config in configs))
        count = f"{len(configs)} run{'s' * (len(configs) > 1)}"
        log = folder.experiment_folder(configs[0]) / LOGS / f"{name}.log"
        own = (*command, f"--only={name}")
        tasks.append(Task(name, f"{methods}, {count}", configs, own, log))
    return tasks


def look(task: Task) -> str:
    """Says what there is to do, by the run folders alone.

    Args:
        task: The population.

    Returns:
        `OVER` where each run is done or has failed, `BUSY` where a process holds one of them,
        else `OPEN`.
    """
    if all(map(folder.has_ended, task.configs)):
        return OVER
    return BUSY if lock.is_held([folder.run_folder(own) for own in task.configs]) else OPEN


def step_of(task: Task) -> int:
    """Reads how far a population is.

    Args:
        task: The population.

    Returns:
        The last step that one of its runs has recorded.
    """
    steps = [0]
    for config in task.configs:
        lines = tail(folder.run_folder(config) / "time.jsonl").splitlines()
        for line in lines[-2:]:
            # The last line may be half written.
            found = line.partition('"step": ')[2].rstrip("}")
            steps += [int(found)] if found.isdigit() else []
    return max(steps)


def tail(path: Path, size: int = 2000) -> str:
    """Reads the end of a file.

    Args:
        path: The file.
        size: Bytes to read at most.

    Returns:
        The text; "" where there is no file.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def last_line(path: Path) -> str:
    """Reads the last line of a file that says something.

    Args:
        path: The file.

    Returns:
        The line; "" where there is none.
    """
    lines = [line.strip() for line in tail(path).splitlines()]
    return next((line for line in reversed(lines) if line), "")


def make_logs(tasks: Sequence[Task]) -> None:
    """Makes the folders of the logs.

    Args:
        tasks: The populations.

    Raises:
        RunFailed: The file system refuses one.
    """
    for path in dict.fromkeys(task.log.parent for task in tasks):
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)


def of_runs(tasks: Sequence[Task], reasons: Mapping[str, str]) -> dict[str, str]:
    """Tells of each run that is left why it was not trained.

    Args:
        tasks: The populations.
        reasons: Why a population was given up, by its name.

    Returns:
        The reason by run id; runs that are done, or have a reason of their own, are left out.
    """
    return {
        folder.run_id(config): reasons[task.name]
        for task in tasks
        if task.name in reasons
        for config in task.configs
        if not folder.has_ended(config)
    }
