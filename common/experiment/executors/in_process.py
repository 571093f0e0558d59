"""Trains populations in this process, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from common.experiment.executors.task import Population, Settings, Train
from common.experiment.outcome import Stopped


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
        if settings.request:
            raise Stopped(f"{settings.request.received}: run the same command to go on")
        failures |= train(population)
    return failures
