"""Folds of the labelled examples of a run, one of which is held out to score by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Splits = dict[str, np.ndarray]


def role_of_folds(config: Mapping[str, Any]) -> str | None:
    """Names the role whose labelled examples are cut into folds.

    Args:
        config: The resolved config.

    Returns:
        `target` for a run with labelled target examples, which are what it is for; else `source`;
        None for a run that holds out none.

    Raises:
        ValueError: A run that learns from no label and is to hold some out.
    """
    if config["data"].get("fold") is None:
        return None
    pretrains = "reconstruction" in config.get("transfer", {})
    if pretrains or not {"source", "target_labelled"} & set(config["domains"]):
        raise ValueError(
            f"config.data.fold holds out labelled examples, and the row {config['method']!r} "
            "learns from none; leave it out of the cross-validation"
        )
    return "target" if "target_labelled" in config["domains"] else "source"


def hold_out(config: Mapping[str, Any], splits: Mapping[str, np.ndarray], role: str) -> Splits:
    """Takes one fold out of the labelled examples that a run learns from.

    All folds have one size, so that runs of different folds train in one program: what is left
    over by the division is in no fold, and always learned from. Under a number of labels of each
    class every fold has each class equally often. Pictures of the target stay among those that
    are seen without a label.

    Args:
        config: The resolved config; `data.folds`, `data.fold`, `data.split_seed` and
            `data.target_labels_per_class` are read.
        splits: Rows of the role by split.
        role: What `role_of_folds` returns.

    Returns:
        The splits, with `held_out`, and without its rows in `labelled` of the target or in `train`
        of the source.

    Raises:
        ValueError: Fewer than two folds, more folds than examples, or a fold that there is not.
    """
    data = config["data"]
    folds, fold, each = data["folds"], data["fold"], data["target_labels_per_class"]
    by_class = role == "target" and bool(each)
    rows = splits["labelled" if by_class else "train"]
    # Rows of a budget stand in turns of one of each class.
    turns = rows.reshape(each, -1) if by_class else rows[:, None]
    if not 2 <= folds <= len(turns):
        what = "labelled examples of each class" if by_class else f"examples of the {role}"
        raise ValueError(
            f"config.data.folds is {folds}; there are {len(turns)} {what}: cut them into 2 to "
            f"{len(turns)} folds"
        )
    if not 0 <= fold < folds:
        raise ValueError(f"config.data.fold is {fold}; of {folds} folds it is 0 to {folds - 1}")
    if not by_class:
        turns = turns[np.random.default_rng([data["split_seed"], 17]).permutation(len(turns))]
    taken = np.arange(len(turns)) // held_out_turns(len(turns), folds) == fold
    kept = turns[~taken].reshape(-1)
    name = "labelled" if role == "target" else "train"
    return {
        **splits,
        name: kept if by_class else np.sort(kept),
        "held_out": turns[taken].reshape(-1),
    }


def held_out_turns(count: int, folds: int) -> int:
    """Counts what a fold holds.

    Args:
        count: Examples, or examples of each class.
        folds: Number of folds.

    Returns:
        The largest number that all folds can have.
    """
    return count // folds
