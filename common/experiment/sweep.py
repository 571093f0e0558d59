"""Many runs: packed into populations, trained one after the other, resumable."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from common.experiment import config_file, fitting, folder, json_file, lock
from common.experiment.check import MakeMethod, check_population
from common.experiment.executors.in_process import train_here
from common.experiment.executors.task import Population, Settings, Train
from common.experiment.outcome import StopRequest, UsageError, writing
from common.experiment.parent import parent_folder
from common.experiment.run import train_population
from common.training import process
from common.training.hparam import structure

Config = Mapping[str, Any]


def expand(
    file: str, config: Any, resolve: Callable[[Any], Sequence[Config]], folds: int = 0
) -> list[Config]:
    """Lists the runs of a config file: those that its `sweep` adds, or its only one.

    A run that others start from stands there once, whether or not it is a row itself.

    A file's grid is `sweep(add)`, or `sweep(add, argument)` where there is more than one.

    Args:
        file: The config file, with `:argument` where there is one.
        config: Its config, for a file without `sweep`.
        resolve: Applies the command line's changes, which win over the grid's, and resolves;
            gives the run, and before it those that it starts from.
        folds: Where not 0, each run is replaced by that many, each of which holds out a fold.

    Returns:
        Resolved configs, each once: the command line may make runs of the grid equal.

    Raises:
        ValueError: An argument for a file that has a grid of its own, a file that raises, or a
            grid without a run.
    """
    path, _, argument = file.partition(":")
    module = config_file.load_module(path)
    runs: list[Config] = []

    def include(own: Any) -> None:
        for fold in range(folds) if folds else (None,):
            folded = own.copy_and_resolve_references()
            folded.data.folds, folded.data.fold = folds, fold
            runs.extend(resolve(folded if folds else own))

    if not hasattr(module, "sweep"):
        include(config)
        return _distinct(runs)
    takes_argument = len(inspect.signature(module.sweep).parameters) > 1
    if argument and not takes_argument:
        raise ValueError(
            f"{path} has a grid of its own: leave out ':{argument}', or train that run alone"
        )

    def add(argument: str = "", changes: Mapping[str, Any] | None = None) -> None:
        own = module.get_config(argument)
        own.update_from_flattened_dict(changes or {})
        include(own)

    with config_file.blaming(path):
        module.sweep(add, *([argument] if takes_argument else []))
    if not runs:
        raise ValueError(f"the sweep of {path} adds no run")
    return _distinct(runs)


def _distinct(runs: Sequence[Config]) -> list[Config]:
    """Keeps each run once: the command line may make runs of a grid equal."""
    return list({(folder.run_folder(run), folder.run_id(run)): run for run in runs}.values())


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
        if config["runtime"]["parallel"] == "pmap" or process.count() > 1:
            # They spread the batch of one run over the devices, not the members of a population.
            own = folder.run_id(config)
        groups.setdefault(own, []).append(config)
    return list(groups.values())


def plan(
    configs: Sequence[Config], fit: Callable[[list[Config]], list[list[Config]]] | None = None
) -> list[list[Config]]:
    """Decides which runs are still to be trained, and in which company.

    A population that was begun goes on as it was packed, since its composition decides the last
    bits of its results. The plan is written to `sweep.json` of each experiment, by one process at
    a time. Two sweeps may share an experiment as long as they share no run: a second sweep of the
    same grid plans the same populations, and the lock of their runs turns it away.

    Args:
        configs: Resolved configs of all wanted runs.
        fit: Parts a fresh population into those that fit into memory; None: it stays whole.

    Returns:
        The populations to train.

    Raises:
        UsageError: A `sweep.json` that cannot be read.
        RunFailed: The file system refuses a file.
    """
    populations: list[list[Config]] = []
    for root in dict.fromkeys(map(folder.experiment_folder, configs)):
        wanted = {
            folder.run_id(config): config
            for config in configs
            if folder.experiment_folder(config) == root
        }
        with lock.hold([root], ".sweep.lock", wait=True):
            own = _plan(root, wanted, fit or _whole) if process.is_first() else []
        names = [[folder.run_id(config) for config in group] for group in own]
        # Later processes might read what the first one has just written.
        told = json.loads(process.from_first(json.dumps(names)))
        populations += [[wanted[name] for name in group] for group in told]
    return populations


def _whole(group: list[Config]) -> list[list[Config]]:
    return [group]


def _plan(
    root: Path,
    wanted: Mapping[str, Config],
    fit: Callable[[list[Config]], list[list[Config]]],
) -> list[list[Config]]:
    """Plans the runs of one experiment, which no other process plans at the same time."""
    path = root / "sweep.json"
    written = read_plan(path) if path.is_file() else []
    begun: list[list[str]] = []
    for names in written:
        known = all(name in wanted for name in names)
        saved = root / "populations" / folder.population_id(names)
        if known and all(folder.is_done(wanted[name]) for name in names):
            shutil.rmtree(saved, ignore_errors=True)
        elif (
            known
            and any(not folder.has_ended(wanted[name]) for name in names)
            and (saved.is_dir() or not any(folder.has_ended(wanted[name]) for name in names))
            and not any(folder.is_done_elsewhere(wanted[name], names) for name in names)
            and not {name for other in begun for name in other} & set(names)
        ):
            begun.append(names)
    placed = {name for names in begun for name in names}
    left = [
        config
        for name, config in wanted.items()
        if name not in placed and not folder.has_ended(config)
    ]
    fresh = [population for group in pack(left) for population in fit(group)]
    todo = [[wanted[name] for name in names] for names in begun] + fresh
    if fresh:
        names = [[folder.run_id(config) for config in group] for group in fresh]
        json_file.write_json(path, {"populations": written + names})
    return todo


def read_plan(path: Path) -> list[list[str]]:
    """Reads the populations of a `sweep.json`.

    Args:
        path: The file.

    Returns:
        The run ids of each population.

    Raises:
        UsageError: The file holds none.
    """
    try:
        return [list(map(str, names)) for names in json_file.read_json(path)["populations"]]
    except (KeyError, TypeError):
        raise UsageError(f"{path} holds no populations; delete it to begin anew") from None


def generations(configs: Sequence[Config]) -> list[list[Config]]:
    """Parts runs by how many others of the sweep are trained before them, one after the other.

    Args:
        configs: Resolved configs.

    Returns:
        Those that start from no other, those that start from these, and so on.
    """
    parents = {folder.run_id(config): config["init_from"].get("parent") for config in configs}

    def depth(name: str | None) -> int:
        parent = parents.get(name or "")
        return 0 if parent is None else 1 + depth(parent)

    depths = [depth(folder.run_id(config)) for config in configs]
    return [
        [config for config, own in zip(configs, depths, strict=True) if own == level]
        for level in range(max(depths, default=-1) + 1)
    ]


def with_parents(configs: Sequence[Config]) -> list[Config]:
    """Fails the runs whose parent has failed, for as long as it has.

    Args:
        configs: Resolved configs.

    Returns:
        The others.

    Raises:
        RunFailed: The file system refuses a file.
    """
    kept = []
    for config in configs:
        parent, own = parent_folder(config), folder.run_folder(config)
        is_waiting = config["init_from"].get("method") and not folder.is_done(config)
        if parent is None or not is_waiting:
            kept.append(config)
        elif (parent / "failure.json").is_file():
            why = json_file.read_json(parent / "failure.json").get("reason")
            with writing(own):
                own.mkdir(parents=True, exist_ok=True)
            reason = f"it starts from {parent.name}, which failed: {why}"
            json_file.write_json(own / "failure.json", {"reason": reason, "parent": parent.name})
        else:
            path = own / "failure.json"
            if process.is_first() and path.is_file() and "parent" in json_file.read_json(path):
                with writing(path):
                    path.unlink(missing_ok=True)
            kept.append(config)
    process.wait("parents")
    return kept


def waiting_for(configs: Sequence[Config]) -> dict[str, str]:
    """Finds the runs whose parent is to be trained first and has not ended.

    Args:
        configs: Resolved configs.

    Returns:
        By run id, what such a run waits for.
    """
    found = {}
    for config in configs:
        parent = parent_folder(config)
        if parent is None or not config["init_from"].get("method") or folder.has_ended(config):
            continue
        if not any((parent / name).is_file() for name in ("result.json", "failure.json")):
            found[folder.run_id(config)] = f"it starts from {parent.name}, which has not finished"
    return found


def _anywhere(configs: Sequence[Config]) -> list[Config]:
    """Leaves open how many devices there are, where other machines will train."""
    return [{**own, "runtime": {**own["runtime"], "devices": 0}} for own in configs]


def run_sweep(
    configs: Sequence[Config],
    make_method: MakeMethod,
    request: StopRequest,
    overrides: Sequence[str],
    say: Callable[[str], None],
    execute: Callable[[Sequence[Population], Train], dict[str, str]] | None = None,
) -> dict[str, str]:
    """Trains all runs that are not done, those that others start from first.

    Args:
        configs: Resolved configs.
        make_method: `(config, num_classes) -> Method`.
        request: Looked at between two chunks.
        overrides: What the command line changed, for the record.
        say: Tells a person what happens.
        execute: Trains populations that do not depend on each other, given what trains one here;
            None: one after the other in this process.

    Returns:
        By run id, why a run failed.

    Raises:
        UsageError: A config asks for something that cannot be; nothing was trained.
        RunFailed: A file cannot be written, or another process trains one of the runs; what was
            saved is whole.
        Stopped: A signal came; the state is saved.
    """
    for group in pack(configs):
        check_population(group if execute is None else _anywhere(group), make_method)

    def train(population: Population) -> dict[str, str]:
        return train_population(population, make_method, request, overrides)

    is_here = execute is None
    execute = execute or partial(train_here, settings=Settings(request))
    failures: dict[str, str] = {}
    for generation in generations(configs):
        ready = with_parents(generation)
        waiting = waiting_for(ready)
        populations = plan(
            [config for config in ready if folder.run_id(config) not in waiting],
            # Of the memory of other machines this one knows nothing.
            partial(fitting.fit, make_method=make_method, say=say) if is_here else None,
        )
        left = sum(map(len, populations))
        say(f"{len(generation)} runs, {left} to train, in {len(populations)} programs")
        failures |= waiting | execute(populations, train)
    for config in configs:
        path = folder.run_folder(config) / "failure.json"
        if path.is_file():
            failures[folder.run_id(config)] = str(json_file.read_json(path).get("reason"))
    return failures
