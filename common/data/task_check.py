"""What of a task cannot be: shapes that differ, labels that are missing, halves that overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.data import reader
from common.data.arrangement import list_names
from common.data.data_folder import find_prepared
from common.data.domain import Domain
from common.data.example import Examples, is_labelled
from common.data.part import NONE

Config = Mapping[str, Any]


def check_shapes(config: Config, source: Examples, target: Examples) -> None:
    """Refuses domains whose examples differ in shape.

    Args:
        config: The resolved config.
        source: The source's examples.
        target: The target's.

    Raises:
        ValueError: Such domains.
    """
    shapes = [examples.images.shape[1:] for examples in (source, target)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"config.source is {config['source']!r} with examples of shape {shapes[0]}, "
            f"config.target {config['target']!r} with {shapes[1]}; they must be the same "
            "(config.data.size and config.data.channels bring pictures from files to one shape, "
            "config.data.num_features vectors)"
        )


def check_labels(config: Config, task: Mapping[str, Domain]) -> None:
    """Refuses labels that are missing, and classes that no training example shows.

    Args:
        config: The resolved config.
        task: `source` and `target`.

    Raises:
        ValueError: Such labels or classes.
    """
    check_missing(config, task)
    source = task["source"]
    shown = source.examples.labels[source.splits["train"]]
    counts = np.bincount(shown, minlength=len(source.examples.classes))
    missing = [source.examples.classes[number] for number in np.flatnonzero(counts == 0)]
    if missing:
        raise ValueError(
            f"config.source is {source.name!r}, of whose {len(shown)} training examples none shows "
            f"{list_names(missing)}; a class without one cannot be learnt: leave it out by "
            "config.data.classes, or give the training split more examples"
        )


def check_missing(config: Config, task: Mapping[str, Domain]) -> None:
    """Refuses labels that are missing where they are trained on or chosen by.

    Args:
        config: The resolved config.
        task: `source` and `target`.

    Raises:
        ValueError: Such labels.
    """
    needed = [("source", part) for part in ("train", "val")]
    if "target_labelled" in config["domains"] and not config["data"]["target_labels_per_class"]:
        needed.append(("target", "train"))
    for role, part in needed:
        domain = task[role]
        count = int((~is_labelled(domain.examples.labels[domain.splits[part]])).sum())
        if count:
            raise ValueError(
                f"config.{role} is {domain.name!r}, of whose {len(domain.splits[part])} examples "
                f"in the split {part} {count} have no label; this run needs them"
            )


def check_halves(config: Config, names: Mapping[str, Sequence[str]]) -> None:
    """Refuses halves of rows that do not stand in the published order in both domains.

    Args:
        config: The resolved config.
        names: The domains by role.

    Raises:
        ValueError: Such domains, or splits that are named another way too.
    """
    for role, name in [(role, own) for role, listed in names.items() for own in listed]:
        key = f"config.{role}"
        for part, written in config["data"][f"{role}_splits"].items():
            if written.strip() not in ("", NONE):
                raise ValueError(
                    f"config.data.disjoint_halves takes every second row of the published splits, "
                    f"and config.data.{role}_splits.{part} is {written!r}: empty one or set the "
                    "other to False"
                )
        is_prepared = name.startswith("tfds:")
        if not reader.is_read(name):
            said = f"{key} is {name!r}"
        elif (
            is_prepared
            and not (found := find_prepared(name, config["runtime"]["data_dir"])).in_order
        ):
            said = f"{key} {name!r} (version {found.version}) was shuffled when it was prepared"
        else:
            continue
        raise ValueError(
            "config.data.disjoint_halves needs domains in their published order, such as "
            f"tfds:mnist:4.0.0 and tfds:mnist_m; {said}: name such a domain or set it to False"
        )
