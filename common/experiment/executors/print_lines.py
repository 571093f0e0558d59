"""Prints a command line for each population, for whatever starts processes on other machines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from common.experiment.executors.task import Population, Settings, Train, make_tasks
from common.experiment.outcome import HandedOver


def print_commands(
    populations: Sequence[Population], train: Train, settings: Settings
) -> dict[str, str]:
    """Prints a command line for each population, quoted for a shell.

    Args:
        populations: Resolved configs.
        train: Unused.
        settings: `command` is used.

    Returns:
        Nothing; where there was no population, the sweep goes on to those that come next.

    Raises:
        HandedOver: Lines were printed; what comes after these populations has to wait for them.
    """
    del train
    for task in make_tasks(populations, settings.command):
        print(shlex.join(task.command), flush=True)
    if populations:
        raise HandedOver(
            f"{len(populations)} command lines; once they have ended, run this again: it prints "
            "what starts from their runs or was not finished, and nothing when all is done"
        )
    return {}
