"""All executors by name: each trains populations that do not depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from common.experiment.executors.in_process import train_here
from common.experiment.executors.local import run_locally
from common.experiment.executors.print_lines import print_commands
from common.experiment.executors.slurm import run_on_cluster
from common.experiment.executors.task import Population, Settings, Train

Executor = Callable[[Sequence[Population], Train, Settings], dict[str, str]]

EXECUTORS: dict[str, Executor] = {
    "in_process": train_here,
    "local": run_locally,
    "slurm": run_on_cluster,
    "print": print_commands,
}
