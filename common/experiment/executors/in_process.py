"""Trains populations in this process, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from common.experiment.executors.task import Population, Settings, Train
from common.experiment.outcome import Stopped
from common.training import process


def train_here(
    populations: Sequence[Population], train: Train, settings: Settings
) -> dict[str, str]:
    """Trains populations in this process.

    Args:
        populations: Resolved configs.
        train: Trains one of them.
        settings: `request` is looked at between two of them.

    Returns:
        By run id, why a run failed.

    Raises:
        Stopped: A signal came; what was saved is whole.
    """
    failures: dict[str, str] = {}
    for population in populations:
        if process.any_of(bool(settings.request)):
            name = settings.request.received or "a signal to another process"
            raise Stopped(f"{name}: run the same command to go on")
        failures |= train(population)
    return failures
