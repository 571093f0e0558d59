"""The flags of executors: which one, how much at a time, and what to ask a cluster for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from common.experiment.executors.executor import EXECUTORS
from common.experiment.executors.slurm import check_cluster
from common.experiment.executors.task import Population, Settings, Train
from common.experiment.outcome import StopRequest
from common.legal import check_name, suggest

# Those of the executors that have them.
OF_EXECUTORS = {
    "slots": ("local", "slurm"),
    "retries": ("local", "slurm"),
    "partition": ("slurm",),
    "account": ("slurm",),
    "time_limit": ("slurm",),
    "slurm": ("slurm",),
}
# None of them is repeated in the command line of a population.
OF_LAUNCHER = ("executor", *OF_EXECUTORS)


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("executor", "in_process", f"Who trains: {', '.join(EXECUTORS)}.")
    flags.DEFINE_string("only", None, "The id of the one population of the sweep to train.")
    flags.DEFINE_integer("slots", None, "Processes or jobs at a time.", lower_bound=1)
    flags.DEFINE_integer("retries", None, "Times that a process is tried again.", lower_bound=0)
    flags.DEFINE_string("partition", None, "SLURM's partition.")
    flags.DEFINE_string("account", None, "SLURM's account.")
    flags.DEFINE_integer("time_limit", None, "Minutes that SLURM gives a job.", lower_bound=1)
    flags.DEFINE_string("slurm", None, "Other options of sbatch: name=value,name=value.")


def read() -> dict[str, Any]:
    """Reads what the flags are given.

    Returns:
        Values by name; None for one that is not given.
    """
    return {name: flags.FLAGS[name].value for name in (*OF_LAUNCHER, "only")}


def check(values: Mapping[str, Any]) -> None:
    """Refuses an executor that there is not, and flags that it would ignore.

    Args:
        values: What the flags are given, by name; None where they are not.

    Raises:
        ValueError: In one sentence.
        UsageError: The executor cannot work here.
    """
    name = values["executor"]
    check_name("--executor", name, EXECUTORS)
    for flag, executors in OF_EXECUTORS.items():
        if values[flag] is not None and name not in executors:
            owners = " and ".join(f"--executor={own}" for own in executors)
            raise ValueError(f"--{flag} is of {owners}, not of --executor={name}")
    if values["only"] is not None and name != "in_process":
        raise ValueError(
            f"--only trains one population in this process; leave out --executor={name}"
        )
    parse_cluster(values)
    if name == "slurm":
        check_cluster()


def parse_cluster(values: Mapping[str, Any]) -> dict[str, Any]:
    """Reads what to ask SLURM for.

    Args:
        values: What the flags are given, by name.

    Returns:
        `partition`, `account`, `time_limit` and the names of `--slurm`, as far as they are given.

    Raises:
        ValueError: Text that is no `name=value`, or a name that has a flag of its own.
    """
    own = ("partition", "account", "time_limit")
    cluster = {name: values[name] for name in own if values[name] is not None}
    for part in filter(None, (values["slurm"] or "").split(",")):
        name, separator, value = part.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not separator or not name:
            raise ValueError(
                f"--slurm has {part!r}; write options of sbatch as gpus_per_node=1,mem=32G"
            )
        if name in (*own, "time"):
            raise ValueError(
                f"--slurm has {name!r}; {suggest(name, [f'--{flag}' for flag in own])}"
            )
        cluster[name] = value
    return cluster


def without(words: Sequence[str], names: Sequence[str] = (*OF_LAUNCHER, "only")) -> list[str]:
    """Leaves flags out of a command line.

    Args:
        words: The command line.
        names: The flags to leave out, as `--name=value` or `--name value`.

    Returns:
        The other words.
    """
    kept: list[str] = []
    is_value = False
    for word in words:
        name, separator, _ = word.partition("=")
        is_own = name.startswith("-") and name.lstrip("-") in names
        if not is_own and not is_value:
            kept.append(word)
        is_value = is_own and not separator
    return kept


def worker_command(verb: str, words: Sequence[str]) -> tuple[str, ...]:
    """Makes the command line that populations' own are made from.

    Args:
        verb: The verb.
        words: What stands behind it.

    Returns:
        How this process was started, with this interpreter, the verb, and those words that are no
        flag of an executor.
    """
    # What Python was told, such as -X or -m, and the program.
    before = len(sys.orig_argv) - len(sys.argv)
    program = (sys.executable, *sys.orig_argv[1 : before + 1])
    return (*program, verb, *without(words))


def make_execute(
    values: Mapping[str, Any],
    words: Sequence[str],
    request: StopRequest,
    say: Callable[[str], None],
) -> Callable[[Sequence[Population], Train], dict[str, str]] | None:
    """Makes what trains the populations of a sweep.

    Args:
        values: What the flags are given, by name; they are checked.
        words: The words of the command line behind the verb.
        request: Whether a signal came.
        say: Tells a person what happens.

    Returns:
        A function of populations and of what trains one of them in this process; None where this
        process trains all of them.
    """
    name = values["executor"]
    if name == "in_process":
        return None
    command = worker_command("sweep", words)
    if name == "print":
        # To be read on other machines, where Python lies elsewhere.
        command = (sys.orig_argv[0], *command[1:])
    settings = Settings(
        request,
        say,
        command=command,
        environment=dict(os.environ),
        slots=values["slots"],
        retries=1 if values["retries"] is None else values["retries"],
        cluster=parse_cluster(values),
    )
    execute = EXECUTORS[name]
    return lambda populations, train: execute(populations, train, settings)
