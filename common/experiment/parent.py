"""Starting from another run, once it has finished, or from a file of weights."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from common.experiment import folder
from common.experiment.base import NO_BASE, Base, of_variables, of_weights
from common.experiment.checkpoint import load_run
from common.experiment.outcome import RunFailed
from common.experiment.weights import pretrained, taking
from common.method import LABELLED
from common.models.adapter import merge_variables
from common.training.optimizer import merge, paths_of
from common.training.state import State


def parent_folder(config: Mapping[str, Any]) -> Path | None:
    """Says where the run is that a run starts from.

    Args:
        config: The resolved config of the child; `init_from` is read.

    Returns:
        The folder that the config names, or that of a parent which is trained first; None for a
        run that starts from nothing, or from a file of weights.
    """
    options = config["init_from"]
    if options.get("method"):
        return folder.experiment_folder(config) / options["parent"]
    return Path(options["run"]) if options["run"] else None


def _starts_from_weights(config: Mapping[str, Any]) -> bool:
    """Says whether a run starts from a file itself; with a parent, the first ancestor does."""
    return bool(config["init_from"].get("weights")) and parent_folder(config) is None


def check_parent(config: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Refuses a parent run that cannot be gone on from.

    One that is trained first is looked at once it has finished.

    Args:
        config: The resolved config of the child; `init_from` is read.
        params: The child's parameters, or their shapes.

    Raises:
        ValueError: No finished run, no such selection, a pattern without a match, a parameter that
            the parent or the file lacks or has in another shape, or a file that cannot be read.
    """
    here = paths_of(params)
    if _starts_from_weights(config):
        taking.take_params(config, here)
        return
    if parent_folder(config) is None:
        return
    _included(config["init_from"], here)
    if not _is_to_come(config):
        _match(config, here, paths_of(_load(config)["params"]))


def _is_to_come(config: Mapping[str, Any]) -> bool:
    """Says whether a run's parent is trained first and has not finished."""
    own = parent_folder(config)
    assert own is not None
    return bool(config["init_from"].get("method")) and not (own / "result.json").is_file()


def _load(config: Mapping[str, Any]) -> dict[str, Any]:
    """Loads the parent's variables; adapters are merged into the kernels that they belong to."""
    own = parent_folder(config)
    assert own is not None
    if _is_to_come(config):
        raise ValueError(
            f"{folder.run_id(config)} starts from {own.name}, which has not finished; "
            "`launch.py train` and `launch.py sweep` train it first"
        )
    return merge_variables(load_run(own, config["init_from"]["selection"]))


def base_of(config: Mapping[str, Any], params: Mapping[str, Any]) -> Base:
    """Loads what a run starts from, as it is stored.

    Args:
        config: The resolved config of the run.
        params: Its parameters by path.

    Returns:
        That; nothing where the run starts from nothing, or from what is gone by now.
    """
    options, own = config["init_from"], parent_folder(config)
    try:
        if _starts_from_weights(config):
            name = {key: options[key] for key in ("weights", "sha256")}
            return Base(name, of_weights(config, params))
        if own is not None:
            name = {"run": str(own), "selection": options["selection"]}
            return Base(name, of_variables(load_run(own, options["selection"])))
    except (RunFailed, ValueError) as error:
        logging.getLogger(__name__).warning("the checkpoint is kept whole: %s", error)
    return NO_BASE


def take_over_parents(state: State, configs: Sequence[Mapping[str, Any]]) -> State:
    """Takes over the parameters and statistics of finished runs or files, a parent a member.

    Args:
        state: The stacked state before step 0.
        configs: The resolved configs of the members; `init_from` is read.

    Returns:
        The state, unchanged where no parent is named. Averages start from what was taken over.

    Raises:
        ValueError: No finished run, a pattern without a match, a parameter that the parent lacks
            or has in another shape, or a statistic that stays fresh under the policy `frozen`.
    """
    if not any(parent_folder(config) or _starts_from_weights(config) for config in configs):
        return state
    taken = [_take_over(state, member, config) for member, config in enumerate(configs)]
    pretrained.forget()
    for note in dict.fromkeys(note for _, note in taken if note):
        logging.getLogger(__name__).warning("%s", note)
    members = [own for own, _ in taken]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    if state.ema:
        stacked["ema"] = {name: stacked[name] for name in ("params", "batch_stats")}
    return state._replace(**stacked)


def _take_over(state: State, member: int, config: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Returns one member's parameters and statistics after taking over the included ones.

    With them comes what a person should know about it, or "".
    """
    own = {
        name: jax.tree.map(lambda leaf: np.asarray(leaf[member]), getattr(state, name))
        for name in ("params", "frozen", "batch_stats")
    }
    here, fresh = paths_of(merge(own["params"], own["frozen"])), paths_of(own["batch_stats"])
    if _starts_from_weights(config):
        params, statistics, known, note = taking.take(config, here, fresh)
        place = config["init_from"]["weights"]
    else:
        params, statistics, known = _from_run(config, here, fresh)
        place, note = parent_folder(config), ""

    def replace(tree, prefix=""):
        return {
            name: replace(value, f"{prefix}{name}/")
            if isinstance(value, Mapping)
            else params.get(f"{prefix}{name}", value)
            for name, value in tree.items()
        }

    own["params"], own["frozen"] = replace(own["params"]), replace(own["frozen"])
    if config["model"]["normalization"] == "frozen":
        left = sorted(set(fresh) - set(statistics))
        if left:
            raise ValueError(
                f"config.model.normalization is 'frozen', but the statistic {left[0]} is not taken "
                f"over: config.init_from.include must match it, and it must be in {place}; that "
                f"has {', '.join(sorted(known)) or 'none'}"
            )
    own["batch_stats"] = traverse_util.unflatten_dict(fresh | statistics, sep="/")
    return own, note


def _from_run(
    config: Mapping[str, Any], here: Mapping[str, Any], fresh: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Returns parameters and statistics to take over from a run, and all that it has of these."""
    loaded = _load(config)
    parent = paths_of(loaded["params"])
    params = {path: parent[path] for path in _match(config, here, parent)}
    statistics = paths_of(loaded.get("batch_stats", {}))
    has_labels = set(LABELLED) & set(config["domains"])
    if config["model"]["normalization"] == "per_domain" and not has_labels:
        # Without labels a target that the parent never saw goes on from what it was evaluated by.
        firsts = next(iter(loaded.get("batch_stats", {}).values()), {})
        for domain in {path.partition("/")[0] for path in fresh}:
            seen = paths_of(loaded.get("batch_stats", {}).get(domain, firsts))
            statistics |= {f"{domain}/{path}": leaf for path, leaf in seen.items()}
    include = re.compile(config["init_from"]["include"])
    taken = {
        path: statistics[path]
        for path, leaf in fresh.items()
        if any(include.fullmatch(path[start:]) for start in _starts(path))
        and path in statistics
        and statistics[path].shape == leaf.shape
    }
    return params, taken, statistics


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
