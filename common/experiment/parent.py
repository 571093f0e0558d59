"""Starting from another run, once it has finished."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from common.experiment import folder
from common.experiment.checkpoint import load_run
from common.method import LABELLED
from common.training.optimizer import merge, paths_of
from common.training.state import State


def parent_folder(config: Mapping[str, Any]) -> Path | None:
    """Says where the run is that a run starts from.

    Args:
        config: The resolved config of the child; `init_from` is read.

    Returns:
        The folder that the config names, or that of a parent which is trained first; None for a
        run that starts from nothing.
    """
    options = config["init_from"]
    if options.get("method"):
        return folder.experiment_folder(config) / options["parent"]
    return Path(options["run"]) if options["run"] else None


def check_parent(config: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Refuses a parent run that cannot be gone on from.

    One that is trained first is looked at once it has finished.

    Args:
        config: The resolved config of the child; `init_from` is read.
        params: The child's parameters, or their shapes.

    Raises:
        ValueError: No finished run, no such selection, a pattern without a match, a parameter that
            the parent lacks or has in another shape.
    """
    if parent_folder(config) is None:
        return
    here = paths_of(params)
    _included(config["init_from"], here)
    if not _is_to_come(config):
        _match(config, here, paths_of(_load(config)["params"]))


def _is_to_come(config: Mapping[str, Any]) -> bool:
    """Says whether a run's parent is trained first and has not finished."""
    own = parent_folder(config)
    assert own is not None
    return bool(config["init_from"].get("method")) and not (own / "result.json").is_file()


def _load(config: Mapping[str, Any]) -> dict[str, Any]:
    """Loads the parent's variables."""
    own = parent_folder(config)
    assert own is not None
    if _is_to_come(config):
        raise ValueError(
            f"{folder.run_id(config)} starts from {own.name}, which has not finished; "
            "`launch.py train` and `launch.py sweep` train it first"
        )
    return load_run(own, config["init_from"]["selection"])


def take_over_parents(state: State, configs: Sequence[Mapping[str, Any]]) -> State:
    """Takes over the parameters and statistics of finished runs, a parent a member.

    Args:
        state: The stacked state before step 0.
        configs: The resolved configs of the members; `init_from` is read.

    Returns:
        The state, unchanged where no parent is named. Averages start from what was taken over.

    Raises:
        ValueError: No finished run, a pattern without a match, a parameter that the parent lacks
            or has in another shape, or a statistic that stays fresh under the policy `frozen`.
    """
    if all(parent_folder(config) is None for config in configs):
        return state
    members = [_take_over(state, member, config) for member, config in enumerate(configs)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    if state.ema:
        stacked["ema"] = {name: stacked[name] for name in ("params", "batch_stats")}
    return state._replace(**stacked)


def _take_over(state: State, member: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one member's parameters and statistics after taking over the included ones."""
    options, loaded = config["init_from"], _load(config)
    own = {
        name: jax.tree.map(lambda leaf: np.asarray(leaf[member]), getattr(state, name))
        for name in ("params", "frozen", "batch_stats")
    }
    parent = paths_of(loaded["params"])
    matched = _match(config, paths_of(merge(own["params"], own["frozen"])), parent)

    def replace(tree, prefix=""):
        return {
            name: replace(value, f"{prefix}{name}/")
            if isinstance(value, Mapping)
            else (parent[f"{prefix}{name}"] if f"{prefix}{name}" in matched else value)
            for name, value in tree.items()
        }

    include = re.compile(options["include"])
    own["params"], own["frozen"] = replace(own["params"]), replace(own["frozen"])
    fresh = paths_of(own["batch_stats"])
    statistics = paths_of(loaded.get("batch_stats", {}))
    has_labels = set(LABELLED) & set(config["domains"])
    if config["model"]["normalization"] == "per_domain" and not has_labels:
        # Without labels a target that the parent never saw goes on from what it was evaluated by.
        firsts = next(iter(loaded.get("batch_stats", {}).values()), {})
        for domain in own["batch_stats"]:
            seen = paths_of(loaded.get("batch_stats", {}).get(domain, firsts))
            statistics |= {f"{domain}/{path}": leaf for path, leaf in seen.items()}
    taken = {
        path: statistics[path]
        if any(include.fullmatch(path[start:]) for start in _starts(path))
        and path in statistics
        and statistics[path].shape == leaf.shape
        else leaf
        for path, leaf in fresh.items()
    }
    if config["model"]["normalization"] == "frozen":
        left = sorted(path for path, leaf in taken.items() if leaf is fresh[path])
        if left:
            raise ValueError(
                f"config.model.normalization is 'frozen', but the statistic {left[0]} is not taken "
                f"over: config.init_from.include must match it, and it must be in "
                f"{parent_folder(config)}; that has {', '.join(sorted(statistics)) or 'none'}"
            )
    own["batch_stats"] = traverse_util.unflatten_dict(taken, sep="/")
    return own


def _included(options: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Lists the parameters to take over; refuses a pattern without a match."""
    include = re.compile(options["include"])
    matched = [path for path in here if include.fullmatch(path)]
    if not matched:
        raise ValueError(
            f"config.init_from.include: {options['include']!r} matches no parameter; the paths "
            f"are {', '.join(here)}"
        )
    return matched


def _match(
    config: Mapping[str, Any], here: Mapping[str, Any], parent: Mapping[str, Any]
) -> list[str]:
    """Lists the parameters to take over; refuses those that the parent cannot give."""
    matched, name = _included(config["init_from"], here), parent_folder(config)
    for path in matched:
        if path not in parent:
            raise ValueError(
                f"config.init_from.include takes {path}, which {name} does not have; "
                f"it has {', '.join(sorted(parent))}"
            )
        if parent[path].shape != here[path].shape:
            raise ValueError(
                f"config.init_from.include takes {path}, which has shape {here[path].shape} here "
                f"and {parent[path].shape} in {name}"
            )
    return matched


def _starts(path: str) -> tuple[int, int]:
    """Begins a path at its root, also where the statistics of a domain stand above it."""
    return 0, path.index("/") + 1
