"""Trains one run, and before it those that it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.experiment import folder
from common.experiment.check import MakeMethod, check_population
from common.experiment.outcome import RunFailed, Stopped, StopRequest
from common.experiment.run import train_population
from common.training import process


def train_family(
    configs: Sequence[Mapping[str, Any]],
    make_method: MakeMethod,
    request: StopRequest,
    overrides: Sequence[str] = (),
) -> None:
    """Trains one run, and before it the one that it starts from, where that is not done.

    Args:
        configs: The resolved configs of the parent, if any, and of the run.
        make_method: `(config, num_classes) -> Method`.
        request: Looked at between two chunks.
        overrides: What the command line changed, for the record.

    Raises:
        UsageError: One of them asks for something that cannot be; nothing was written.
        RunFailed: One of them cannot go on.
        Stopped: A signal came; the state is saved.
    """
    *parents, config = configs
    check_population([config], make_method)
    for parent in parents:
        if folder.is_done(parent):
            continue
        name = folder.run_id(parent)
        for reason in train_population([parent], make_method, request, overrides).values():
            raise RunFailed(f"{folder.run_id(config)} starts from {name}, which failed: {reason}")
        if process.any_of(bool(request)):
            name = request.received or "a signal to another process"
            raise Stopped(f"{name}: run the same command to go on")
    train_alone(config, make_method, request, overrides)


def train_alone(
    config: Mapping[str, Any],
    make_method: MakeMethod,
    request: StopRequest,
    overrides: Sequence[str] = (),
) -> None:
    """Trains one run.

    Args:
        config: The resolved config.
        make_method: `(config, num_classes) -> Method`.
        request: Looked at between two chunks.
        overrides: What the command line changed, for the record.

    Raises:
        RunFailed: The run cannot go on.
    """
    failures = train_population([config], make_method, request, overrides)
    for reason in failures.values():
        raise RunFailed(reason)
