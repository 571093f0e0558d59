"""Many runs: packed into populations, trained one after the other, resumable."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.experiment import folder
from common.experiment.outcome import Stopped, StopRequest
from common.experiment.run import MakeMethod, check_population, train_population
from common.training.hparam import structure

Config = Mapping[str, Any]


def expand(file: str, config: Any, resolve: Callable[[Any], Config]) -> list[Config]:
    """Lists the runs of a config file: those that its `sweep(add)` adds, or its only one.

    Args:
        file: The config file, with `:argument` where there is one.
        config: Its config, for a file without `sweep`.
        resolve: Applies the command line's changes, which win over the grid's, and resolves.

    Returns:
        Resolved configs.

    Raises:
        ValueError: An argument for a file that has a grid of its own.
    """
    path, _, argument = file.partition(":")
    spec = importlib.util.spec_from_file_location("sweep_config", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "sweep"):
        return [resolve(config)]
    if argument:
        raise ValueError(
            f"{path} has a grid of its own: leave out ':{argument}', or train that run alone"
        )
    runs: list[Config] = []

    def add(argument: str = "", changes: Mapping[str, Any] | None = None) -> None:
        own = module.get_config(argument)
        own.update_from_flattened_dict(changes or {})
        runs.append(resolve(own))

    module.sweep(add)
    return runs


def pack(configs: Sequence[Config]) -> list[list[Config]]:
    """Groups runs of equal structure: each group trains in one program.

    Args:
        configs: Resolved configs.

    Returns:
        The groups, in the order of their first run.
    """
    groups: dict[str, list[Config]] = {}
    for config in configs:
        own = json.dumps(structure(config), sort_keys=True)
        groups.setdefault(own, []).append(config)
    return list(groups.values())


def plan(configs: Sequence[Config]) -> list[list[Config]]:
    """Decides which runs are still to be trained, and in which company.

    A population that was begun goes on as it was packed, since its composition decides the last
    bits of its results. The plan is written to `sweep.json` of each experiment.

    Args:
        configs: Resolved configs of all wanted runs.

    Returns:
        The populations to train.
    """
    populations: list[list[Config]] = []
    for root in dict.fromkeys(map(folder.experiment_folder, configs)):
        wanted = {
            folder.run_id(config): config
            for config in configs
            if folder.experiment_folder(config) == root
        }
        path = root / "sweep.json"
        written = json.loads(path.read_text())["populations"] if path.is_file() else []
        begun: list[list[str]] = []
        for names in written:
            known = all(name in wanted for name in names)
            saved = root / "populations" / folder.population_id(names)
            if known and all(folder.is_done(wanted[name]) for name in names):
                shutil.rmtree(saved, ignore_errors=True)
            elif (
                known
                and any(not _ended(wanted[name]) for name in names)
                and (saved.is_dir() or not any(_ended(wanted[name]) for name in names))
                and not any(_ended_elsewhere(wanted[name], names) for name in names)
                and not {name for other in begun for name in other} & set(names)
            ):
                begun.append(names)
        placed = {name for names in begun for name in names}
        fresh = pack(
            [config for name, config in wanted.items() if name not in placed and not _ended(config)]
        )
        todo = [[wanted[name] for name in names] for names in begun] + fresh
        if fresh:
            root.mkdir(parents=True, exist_ok=True)
            names = [[folder.run_id(config) for config in group] for group in fresh]
            folder.write_json(path, {"populations": written + names})
        populations += todo
    return populations


def _ended(config: Config) -> bool:
    """Says whether a run is done or has failed; the same program would fail again."""
    own = folder.run_folder(config)
    return folder.is_done(config) or (own / "failure.json").is_file()


def _ended_elsewhere(config: Config, names: Sequence[str]) -> bool:
    """Says whether a run was finished by another population, whose result must not be lost."""
    if not folder.is_done(config):
        return False
    result = json.loads((folder.run_folder(config) / "result.json").read_text())
    return result["population"]["id"] != folder.population_id(names)


def run_sweep(
    configs: Sequence[Config],
    make_method: MakeMethod,
    request: StopRequest,
    overrides: Sequence[str],
    say: Callable[[str], None],
) -> dict[str, str]:
    """Trains all runs that are not done.

    Args:
        configs: Resolved configs.
        make_method: `(config, num_classes) -> Method`.
        request: Looked at between two chunks.
        overrides: What the command line changed, for the record.
        say: Tells a person what happens.

    Returns:
        By run id, why a run failed.

    Raises:
        UsageError: A config asks for something that cannot be; nothing was trained.
        Stopped: A signal came; the state is saved.
    """
    for group in pack(configs):
        check_population(group, make_method)
    populations = plan(configs)
    left = sum(map(len, populations))
    say(f"{len(configs)} runs, {left} to train, in {len(populations)} programs")
    failures: dict[str, str] = {}
    for population in populations:
        if request:
            raise Stopped(f"{request.received}: run the same command to go on")
        failures |= train_population(population, make_method, request, overrides)
    for config in configs:
        path = folder.run_folder(config) / "failure.json"
        if path.is_file():
            failures[folder.run_id(config)] = json.loads(path.read_text())["reason"]
    return failures
