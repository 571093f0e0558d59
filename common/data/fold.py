"""Folds of the labelled examples of a run, one of which is held out to score by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.data.example import Examples

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


def hold_out(
    config: Mapping[str, Any], splits: Mapping[str, np.ndarray], role: str, examples: Examples
) -> Splits:
    """Takes one fold out of the labelled examples that a run learns from.

    All folds have one size, so that runs of different folds train in one program: what is left
    over by the division is in no fold, and always learned from. Every fold has each class; under a
    number of labels of each class equally often, else in the shares that the classes have. Pictures
    of the target stay among those that are seen without a label.

    Args:
        config: The resolved config; `data.folds`, `data.fold`, `data.split_seed` and
            `data.target_labels_per_class` are read.
        splits: Rows of the role by split.
        role: What `role_of_folds` returns.
        examples: Those of the role; labels and names of classes are read.

    Returns:
        The splits, with `held_out`, and without its rows in `labelled` of the target or in `train`
        of the source.

    Raises:
        ValueError: Fewer than two folds, more folds than examples of a class, or a fold that there
            is not.
    """
    data = config["data"]
    folds, fold, each = data["folds"], data["fold"], data["target_labels_per_class"]
    by_turns = role == "target" and bool(each)
    rows = splits["labelled" if by_turns else "train"]
    classes, counts = np.unique(examples.labels[rows], return_counts=True)
    least = int(counts.min())
    if not 2 <= folds <= least:
        rarest = examples.classes[classes[counts.argmin()]]
        what = f"there are {least} labelled examples of each class"
        more = f"set config.data.target_labels_per_class to at least {max(folds, 2)}, in a sweep "
        more += "for all of its runs"
        if not by_turns:
            what = f"the class {rarest!r} has {least} examples in the training split of the {role}"
            more = "leave the class out by config.data.classes"
        fewer = f"cut them into 2 to {least} folds, or " if least > 1 else ""
        raise ValueError(f"config.data.folds is {folds}; {what}: {fewer}{more}")
    if not 0 <= fold < folds:
        raise ValueError(f"config.data.fold is {fold}; of {folds} folds it is 0 to {folds - 1}")
    name = "labelled" if role == "target" else "train"
    if by_turns:
        # Rows of a budget stand in turns of one of each class, and shall do so afterwards.
        turns = rows.reshape(each, -1)
        taken = np.arange(each) // held_out_turns(each, folds) == fold
        return {**splits, name: turns[~taken].reshape(-1), "held_out": turns[taken].reshape(-1)}
    shuffled = np.random.default_rng([data["split_seed"], 17]).permutation(rows)
    # Class after class, dealt to the folds in turn: each gets as many of a class, or one more.
    by_class = shuffled[np.argsort(examples.labels[shuffled], kind="stable")]
    held_out = by_class[fold::folds]
    if len(held_out) > held_out_turns(len(rows), folds):
        # Other folds have one row less and each class, so this one has a class twice.
        own = examples.labels[held_out]
        held_out = np.delete(held_out, np.argmax(own == np.bincount(own).argmax()))
    return {**splits, name: np.setdiff1d(rows, held_out), "held_out": held_out}


def held_out_turns(count: int, folds: int) -> int:
    """Counts what a fold holds.

    Args:
        count: Examples, or examples of each class.
        folds: Number of folds.

    Returns:
        The largest number that all folds can have.
    """
    return count // folds
