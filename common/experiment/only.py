"""One population of a sweep: what `sweep --only=ID` trains, on whatever machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.experiment import folder, json_file, sweep
from common.experiment.check import MakeMethod
from common.experiment.outcome import RunFailed, Stopped, StopRequest, UsageError
from common.experiment.run import train_population
from common.legal import suggest

Config = Mapping[str, Any]


def find_population(configs: Sequence[Config], name: str) -> list[Config]:
    """Finds a population of a sweep by its id.

    Args:
        configs: The resolved configs of the sweep.
        name: The id.

    Returns:
        The configs of its runs: as `sweep.json` packed them, else as they would be packed anew,
        which needs no file of another machine.

    Raises:
        UsageError: No population has this id.
    """
    populations: list[list[Config]] = []
    for root in dict.fromkeys(map(folder.experiment_folder, configs)):
        own = {folder.run_id(run): run for run in configs if folder.experiment_folder(run) == root}
        path = root / "sweep.json"
        for names in sweep.read_plan(path) if path.is_file() else []:
            if all(run in own for run in names):
                populations.append([own[run] for run in names])
        for generation in sweep.generations(list(own.values())):
            populations += sweep.pack(generation)
    found = {folder.population_folder(population).name: population for population in populations}
    if name not in found:
        raise UsageError(f"--only is {name!r}, which is no population; {suggest(name, found)}")
    return found[name]


def train_only(
    configs: Sequence[Config],
    name: str,
    make_method: MakeMethod,
    request: StopRequest,
    overrides: Sequence[str],
    say: Callable[[str], None],
) -> dict[str, str]:
    """Trains one population of a sweep, or goes on with it.

    Args:
        configs: The resolved configs of the sweep.
        name: The population's id.
        make_method: `(config, num_classes) -> Method`.
        request: Looked at between two chunks.
        overrides: What the command line changed, for the record.
        say: Tells a person what happens.

    Returns:
        By run id, why a run failed.

    Raises:
        UsageError: No population has this id, or it asks for something that cannot be.
        RunFailed: A run from which one of these starts has failed, or a file cannot be written.
        Stopped: A signal came and the state is saved, or a run from which one of these starts has
            not finished.
    """
    population = find_population(configs, name)
    say(f"{name}: {', '.join(map(folder.run_id, population))}")
    ready = sweep.with_parents(population)
    if waiting := sweep.waiting_for(ready):
        run, why = next(iter(waiting.items()))
        raise Stopped(f"{run}: {why}: run the same command once it has")
    if 0 < len(ready) < len(population):
        raise RunFailed(
            "some of these runs start from one that has failed; run the sweep again, which packs "
            "the others anew"
        )
    failures: dict[str, str] = {}
    if not all(map(folder.has_ended, population)):
        failures = train_population(population, make_method, request, overrides)
    for config in population:
        path = folder.run_folder(config) / "failure.json"
        if path.is_file():
            failures[folder.run_id(config)] = str(json_file.read_json(path).get("reason"))
    return failures
