"""The task of a run: its source and its target, with the same classes in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.data import reader
from common.data.arrangement import (
    arrange,
    check_classes,
    check_renaming,
    check_target_classes,
    list_names,
    lost_rows,
)
from common.data.domain import Domain
from common.data.example import Examples
from common.data.fold import hold_out, role_of_folds
from common.data.labelled import draw_labelled
from common.data.pool import list_sources
from common.data.role import pool_all, pool_sources, read_domain
from common.data.split import split_domain
from common.data.task_check import check_halves, check_labels, check_missing, check_shapes
from common.data.vocabulary import encode_task, fit_vocabulary
from common.task_kind import OF_CLASSES, check_heads

Config = Mapping[str, Any]


def load_task(config: Config) -> dict[str, Domain]:
    """Loads the source and the target of a run; see `_load`. Texts are written as numbers.

    Args:
        config: The resolved config.

    Returns:
        `source` and `target`.

    Raises:
        ValueError: Whatever of the config or its files cannot be.
    """
    task = _load(config)
    return encode_task(task, config["data"]) if reader.is_text(config["source"]) else task


def _load(config: Config) -> dict[str, Domain]:
    """Loads the source and the target of a run, texts as they are read.

    Classes are compared by name. `config.data.classes` names those that the task is about, in their
    order; the target may lack some of them. Without it the source's are taken, and the target must
    have the same, or no label at all; several sources must agree, and are pooled.
    `config.data.target_classes` leaves the target, in all its splits, the examples of these
    classes; the task keeps the source's.

    Args:
        config: The resolved config.

    Returns:
        `source` and `target`. With `config.data.transductive` the target's test pictures are
        trained on too. With `config.data.target_labels_per_class` a target whose labels are trained
        on has the split `labelled`, which is part of `train`. With `config.data.fold` the labelled
        role has the split `held_out`.

    Raises:
        ValueError: Files that are missing or broken, keys that would be ignored, an empty split,
            fewer than two classes, labels that are needed and missing, or domains whose classes or
            picture shapes differ.
    """
    data = config["data"]
    sources = list_sources(config["source"])
    names = {"source": sources, "target": [config["target"]]}
    reader.check_unread(config, names)
    if len(sources) > 1 and config["evaluation"]["reverse_validation"]:
        raise ValueError(
            f"config.evaluation.reverse_validation trains back to one source, and config.source is "
            f"{config['source']!r}; set it to False"
        )
    read_sources = [read_domain(config, "source", name) for name in sources]
    read_target = read_domain(config, "target", config["target"])
    if data["disjoint_halves"]:
        check_halves(config, names)
    if config["task"]["kind"] not in OF_CLASSES:
        return _load_values(config, sources, read_sources, read_target)
    renamed = data["rename_classes"]
    check_renaming(renamed, [*read_sources, read_target])
    pooled = pool_sources(config, sources, read_sources)
    source = pooled.examples
    shown = arrange(read_target, renamed, ())
    check_classes(config, source, shown)
    if config["task"]["kind"] == "binary" and len(source.classes) != 2:
        raise ValueError(
            f"config.task.kind is 'binary', and config.source {config['source']!r} gives the task "
            f"{len(source.classes)} classes; name two by config.data.classes"
        )
    check_target_classes(config, source, shown)
    kept = data["target_classes"]
    target = arrange(read_target, renamed, source.classes, kept=kept)
    check_shapes(config, source, target)
    target_splits = split_domain(config, "target", config["target"], target)
    task = {"source": pooled, "target": Domain(config["target"], target, target_splits)}
    check_labels(config, task)
    has_labels = "target_labelled" in config["domains"]
    if data["transductive"] and has_labels and not data["target_labels_per_class"]:
        raise ValueError(
            "config.data.transductive with the domain target_labelled would train on test labels; "
            "set it to False, or the number of labels by config.data.target_labels_per_class"
        )
    trained = ("train", "val", *["test"] * data["transductive"])
    splits = dict(task["target"].splits)
    if has_labels and data["target_labels_per_class"]:
        named = [name for name in kept or target.classes if name in shown.classes]
        splits["labelled"] = draw_labelled(config, target, splits["train"], named)
    role = role_of_folds(config)
    if role == "target":
        splits = hold_out(config, splits, role, target)
    if data["transductive"]:
        splits["train"] = np.sort(np.concatenate([splits["train"], splits["test"]]))
    chosen = lost_rows(read_target, target, trained)
    if role == "source":
        if pooled.origin is not None:
            raise ValueError(
                "config.data.fold holds examples of one source out, and config.source is "
                f"{config['source']!r}; cross-validate with one source"
            )
        held_out = hold_out(config, pooled.splits, role, source)
        task["source"] = pooled._replace(splits=held_out)
    return {**task, "target": Domain(config["target"], target, splits, chosen)}


def load_vocabulary(config: Config) -> tuple[str, ...]:
    """Lists the words that have a number for a run on texts.

    Args:
        config: The resolved config.

    Returns:
        The words, as `fit_vocabulary` gives them.
    """
    source = _load(config)["source"]
    texts = source.examples.images[source.splits["train"]].tolist()
    return fit_vocabulary(texts, config["data"]["vocabulary_size"])


def _load_values(
    config: Config, sources: Sequence[str], read_sources: Sequence[Examples], target: Examples
) -> dict[str, Domain]:
    """Puts together a task whose labels are several of an example, or values."""
    first = read_sources[0]
    if not first.classes:
        raise ValueError(
            f"config.source is {config['source']!r}, which has no labels; a source needs them"
        )
    named = dict(zip(sources, read_sources, strict=True)) | {config["target"]: target}
    for name, own in named.items():
        if own.classes and own.classes != first.classes:
            raise ValueError(
                f"config.source {sources[0]!r} has the labels {list_names(first.classes)}, "
                f"{name!r} {list_names(own.classes)}; they must be the same in the same order"
            )
    if config["task"]["kind"] == "multi_task":
        for own in named.values():
            check_heads(config["task"], own.labels, own.classes)
    if not target.classes:
        if config["task"]["kind"] != "segmentation":
            unknown = np.full((len(target.labels), len(first.classes)), np.nan, np.float32)
            target = target._replace(labels=unknown)
    pooled = pool_all(config, sources, read_sources)
    check_shapes(config, pooled.examples, target)
    splits = dict(split_domain(config, "target", config["target"], target))
    task = {"source": pooled, "target": Domain(config["target"], target, splits)}
    check_missing(config, task)
    if config["data"]["transductive"]:
        if "target_labelled" in config["domains"]:
            raise ValueError(
                "config.data.transductive with the domain target_labelled would train on test "
                "labels; set it to False"
            )
        splits["train"] = np.sort(np.concatenate([splits["train"], splits["test"]]))
    return task
