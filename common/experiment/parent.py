"""Starting from a finished run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from common.experiment.checkpoint import load_run
from common.training.optimizer import merge, paths_of
from common.training.state import State


def check_parent(config: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Refuses a parent run that cannot be gone on from.

    Args:
        config: The resolved config of the child; `init_from` is read.
        params: The child's parameters, or their shapes.

    Raises:
        ValueError: No finished run, no such selection, a pattern without a match, a parameter that
            the parent lacks or has in another shape.
    """
    options = config["init_from"]
    if options["run"]:
        loaded = load_run(Path(options["run"]), options["selection"])
        _match(options, paths_of(params), paths_of(loaded["params"]))


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
    if not any(config["init_from"]["run"] for config in configs):
        return state
    members = [_take_over(state, member, config) for member, config in enumerate(configs)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    if state.ema:
        stacked["ema"] = {name: stacked[name] for name in ("params", "batch_stats")}
    return state._replace(**stacked)


def _take_over(state: State, member: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one member's parameters and statistics after taking over the included ones."""
    options = config["init_from"]
    loaded = load_run(Path(options["run"]), options["selection"])
    own = {
        name: jax.tree.map(lambda leaf: np.asarray(leaf[member]), getattr(state, name))
        for name in ("params", "frozen", "batch_stats")
    }
    parent = paths_of(loaded["params"])
    matched = _match(options, paths_of(merge(own["params"], own["frozen"])), parent)

    def replace(tree, prefix=""):
        return {
            name: replace(value, f"{prefix}{name}/")
            if isinstance(value, Mapping)
            else (parent[f"{prefix}{name}"] if f"{prefix}{name}" in matched else value)
            for name, value in tree.items()
        }

    include = re.compile(options["include"])
    own["params"], own["frozen"] = replace(own["params"]), replace(own["frozen"])
    statistics = paths_of(loaded.get("batch_stats", {}))
    fresh = paths_of(own["batch_stats"])
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
                f"over: config.init_from.include must match it, and {options['run']} must have it; "
                f"it has {', '.join(sorted(statistics)) or 'none'}"
            )
    own["batch_stats"] = traverse_util.unflatten_dict(taken, sep="/")
    return own


def _match(
    options: Mapping[str, Any], here: Mapping[str, Any], parent: Mapping[str, Any]
) -> list[str]:
    """Lists the parameters to take over; refuses those that the parent cannot give."""
    include = re.compile(options["include"])
    matched = [path for path in here if include.fullmatch(path)]
    if not matched:
        raise ValueError(
            f"config.init_from.include: {options['include']!r} matches no parameter; the paths "
            f"are {', '.join(here)}"
        )
    for path in matched:
        if path not in parent:
            raise ValueError(
                f"config.init_from.include takes {path}, which {options['run']} does not have; "
                f"it has {', '.join(sorted(parent))}"
            )
        if parent[path].shape != here[path].shape:
            raise ValueError(
                f"config.init_from.include takes {path}, which has shape {here[path].shape} here "
                f"and {parent[path].shape} in {options['run']}"
            )
    return matched


def _starts(path: str) -> tuple[int, int]:
    """Begins a path at its root, also where the statistics of a domain stand above it."""
    return 0, path.index("/") + 1
