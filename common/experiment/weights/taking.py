"""What a run takes from a file of weights, and what does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from common.experiment.weights.pretrained import HEAD, Arrays, Config, load_weights
from common.models.normalization import ROOTS

# Names shown of a longer list.
SHOWN = 8


class Taken(NamedTuple):
    """What a run takes over.

    Attributes:
        params: Parameters by path.
        batch_stats: Running statistics by path.
        known: The paths of all statistics that the file has.
        note: What a person should know about it, or "".
    """

    params: Arrays
    batch_stats: Arrays
    known: tuple[str, ...]
    note: str


def take(config: Config, here: Mapping[str, Any], fresh: Mapping[str, Any]) -> Taken:
    """Decides what a run takes from its file of weights.

    Args:
        config: The resolved config; `init_from`, `model` and `data` are read.
        here: The run's parameters by path.
        fresh: Its statistics by path.

    Returns:
        That.

    Raises:
        ValueError: As `take_params`; or the file lacks statistics that `config.init_from.include`
            matches, or has them in another shape.
    """
    weights = load_weights(config, here)
    return Taken(
        take_params(config, here),
        _take_statistics(config, fresh, weights.batch_stats),
        tuple(sorted(weights.batch_stats)),
        _note_of_head(config, here, weights.params),
    )


def take_params(config: Config, here: Mapping[str, Any]) -> Arrays:
    """Decides which parameters a run takes from its file of weights.

    These are those of the network that `config.init_from.include` matches, with the head only where
    `config.init_from.head` asks for it: the classes of a file are rarely those of a task, and
    nothing in it says so. Terms of a loss, such as a discriminator, begin anew.

    Args:
        config: The resolved config; `init_from` and `model` are read.
        here: The run's parameters, or their shapes, by path.

    Returns:
        Parameters by path.

    Raises:
        ValueError: Weights that cannot be read, or that are of another network; a pattern without
            a match.
    """
    options = config["init_from"]
    include, key = re.compile(options["include"]), f"config.init_from.weights {options['weights']}"
    given = load_weights(config, here).params
    wanted = {path: leaf for path, leaf in here.items() if path.startswith(_roots(options))}
    wanted = {path: leaf for path, leaf in wanted.items() if include.fullmatch(path)}
    if not wanted:
        raise ValueError(
            f"config.init_from.include: {options['include']!r} matches no parameter that could be "
            f"taken from {options['weights']}; the paths are "
            f"{', '.join(path for path in here if path.startswith(_roots(options)))}"
        )
    if options["head"]:
        counts = [own.get(f"{HEAD}logits/bias", np.zeros(0)).shape[0] for own in (given, here)]
        if counts[0] != counts[1]:
            said = f"has a head of {counts[0]} classes" if counts[0] else "has no head"
            raise ValueError(
                f"{key} {said}, and the task has {counts[1]}: leave config.init_from.head False, "
                "so that the head begins anew"
            )
    found = {path: leaf for path, leaf in given.items() if path.startswith(_roots(options))}
    _compare(key, wanted, {path: leaf for path, leaf in found.items() if include.fullmatch(path)})
    return {path: given[path] for path in wanted}


def _take_statistics(config: Config, here: Mapping[str, Any], given: Arrays) -> Arrays:
    """Returns statistics by path; under `per_domain` each domain begins with the file's."""
    options = config["init_from"]
    include = re.compile(options["include"])
    per_domain = config["model"]["normalization"] == "per_domain"
    wanted, found = {}, {}
    for path, leaf in here.items():
        without_domain = path.partition("/")[2] if per_domain else path
        if not any(include.fullmatch(own) for own in (path, without_domain)):
            continue
        wanted[path] = leaf
        source = path if path in given else without_domain
        if source in given:
            found[path] = given[source]
    _compare(f"config.init_from.weights {options['weights']}", wanted, found)
    return found


def _note_of_head(config: Config, here: Mapping[str, Any], given: Arrays) -> str:
    """Says what became of a head that a file holds and the run does not take."""
    options, head = config["init_from"], given.get(f"{HEAD}logits/bias")
    if options["head"] or head is None:
        return ""
    count = len(here.get(f"{HEAD}logits/bias", ()))
    note = f"the head of {options['weights']}, of {len(head)} classes, is left out"
    if len(head) == count:
        return f"{note}: config.init_from.head=True takes it, where its classes are the task's"
    return f"{note}, since the task has {count}; the run's own begins anew"


def _roots(options: Config) -> tuple[str, ...]:
    """Returns the beginnings of the paths that may be taken."""
    return tuple(f"{root}/" for root in ROOTS if options["head"] or f"{root}/" != HEAD)


def _compare(key: str, wanted: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuses weights of another network, with all that does not fit."""
    problems = {
        "missing": [path for path in wanted if path not in given],
        "extra": [path for path in given if path not in wanted],
        "of another shape": [
            f"{path} has {given[path].shape} instead of {tuple(leaf.shape)}"
            for path, leaf in wanted.items()
            if path in given and given[path].shape != tuple(leaf.shape)
        ],
    }
    told = [f"{kind}: {_listed(names)}" for kind, names in problems.items() if names]
    if told:
        raise ValueError(
            f"{key} has other weights than this network; {'; '.join(told)} "
            "(config.init_from.include says which are taken)"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
