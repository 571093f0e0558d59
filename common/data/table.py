"""From domains to the arrays that a program reads; pictures may stay where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from common.data.domain import Domain
from common.data.scaling import Scaling, check_counts, fit_scaling, parse_scaling, scaled_blocks
from common.legal import check_name

PATHS = ("auto", "resident", "streamed")
SPLITS = ("train", "val", "test")
CENTERS = ("none", "source")

# Rows of pictures taken into memory at a time; fixed, since it decides the last bits of a mean.
BLOCK = 1024


def is_streamed(tasks: Sequence[Mapping[str, Domain]], runtime: Mapping[str, Any]) -> bool:
    """Decides whether pictures stay on the host.

    Args:
        tasks: The members' source and target.
        runtime: `config.runtime`: `data_path` and `resident_bytes`.

    Returns:
        True for `streamed`, and under `auto` for pictures that take more than `resident_bytes`.

    Raises:
        ValueError: An unknown path.
    """
    check_name("config.runtime.data_path", runtime["data_path"], PATHS)
    if runtime["data_path"] != "auto":
        return runtime["data_path"] == "streamed"
    images = {
        (role, id(task[role].examples)): task[role].examples.images
        for task in tasks
        for role in ("source", "target")
    }
    size = sum(int(np.prod(array.shape)) * array.dtype.itemsize for array in images.values())
    return size > runtime["resident_bytes"]


def make_tables(
    tasks: Sequence[Mapping[str, Domain]], center: str, scaling: str = "none"
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Lists what a population reads.

    Args:
        tasks: The members' source and target. Members whose seeds drew other examples have rows
            of their own in what all of them share.
        center: `config.data.center`: `source` subtracts the mean of the source's scaled training
            inputs from every input, since no row's input may depend on the target.
        scaling: `config.data.scaling`.

    Returns:
        By role two things. First `label` and `maximum`, which all members share, and with a
        leading axis of members the rows of each split and, for the source, `mean` and, where
        inputs are scaled, `scaling`; of several sources `origin`, which all share. Then the
        stored pictures, which all members share.

    Raises:
        ValueError: An unknown centre, a scaling that is unknown or does not fit the examples, or
            members whose examples do not fit into one program.
    """
    check_name("config.data.center", center, CENTERS)
    tables: dict[str, dict[str, Any]] = {}
    images: dict[str, Any] = {}
    for role in ("source", "target"):
        images[role], labels, starts = _concatenate([task[role] for task in tasks])
        maximum = np.float32(tasks[0][role].examples.maximum)
        tables[role] = {"label": labels, "maximum": maximum}
        for split in tasks[0][role].splits:
            rows = [
                task[role].splits[split] + start for task, start in zip(tasks, starts, strict=True)
            ]
            tables[role][split] = np.stack(rows)
    origin = tasks[0]["source"].origin
    if origin is not None:
        others = [task["source"].origin for task in tasks]
        if any(own is None or not np.array_equal(own, origin) for own in others):
            raise ValueError(
                f"config.source {tasks[0]['source'].name!r} gives runs that train together other "
                "numbers of training examples of each source; train them one by one"
            )
        tables["source"]["origin"] = origin
    source, maximum = images["source"], tasks[0]["source"].examples.maximum
    steps = parse_scaling(scaling, source.shape[1:])
    for role, stored in images.items():
        check_counts(steps, stored, f"config.{role} {tasks[0][role].name!r}")
    fitted: dict[bytes, tuple[Scaling, np.ndarray]] = {}
    for rows in tables["source"]["train"]:
        # Members with one split share what is fitted to it.
        if rows.tobytes() not in fitted:
            own = fit_scaling(steps, source, rows, maximum)
            mean = np.zeros((1,) * len(source.shape), np.float32)
            if center == "source":
                mean = mean_picture(source, rows, maximum, own)
            fitted[rows.tobytes()] = own, mean
    members = [fitted[rows.tobytes()] for rows in tables["source"]["train"]]
    scalings, means = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    tables["source"]["mean"] = means
    if steps:
        tables["source"]["scaling"] = scalings
    return tables, images


def _concatenate(domains: Sequence[Domain]) -> tuple[Any, np.ndarray, list[np.int32]]:
    """Returns the pictures and labels of all members, and the row at which each one's begin.

    Examples that members share are there once; where all share them, nothing is copied.
    """
    distinct = {id(own.examples): own.examples for own in domains}
    first, *others = distinct.values()
    if not others:
        return first.images, first.labels, [np.int32(0)] * len(domains)
    if any(type(own.images) is not np.ndarray for own in distinct.values()):
        raise ValueError(
            f"config.data.{domains[0].name}.seed differs between runs that train together, whose "
            "pictures are read from a store; give them one seed, or train them one by one"
        )
    forms = [
        (own.examples.images.shape, own.examples.images.dtype.name, own.examples.maximum)
        + tuple(len(own.splits[split]) for split in SPLITS)
        for own in domains
    ]
    for form in forms:
        if form != forms[0]:
            raise ValueError(
                f"config.data.{domains[0].name} gives runs that train together examples of "
                f"different form (shape, type, maximum, splits), {forms[0]} and {form}; train them "
                "one by one"
            )
    starts = dict(zip(distinct, np.arange(len(distinct)) * len(first.labels), strict=True))
    return (
        np.concatenate([own.images for own in distinct.values()]),
        np.concatenate([own.labels for own in distinct.values()]),
        [np.int32(starts[id(own.examples)]) for own in domains],
    )


def mean_picture(
    images: Any, rows: np.ndarray, maximum: float, scaling: Scaling = ()
) -> np.ndarray:
    """Averages pictures, or vectors, without holding all of them.

    Args:
        images: Stored pictures: anything that gives an array for `images[rows]`.
        rows: Which of them.
        maximum: The largest value that a stored picture can have.
        scaling: What is done to them first.

    Returns:
        The mean of the scaled pictures as float32, with a leading axis of 1.
    """
    total = np.zeros(images.shape[1:], np.float64)
    if scaling:
        for block in scaled_blocks(images, rows, maximum, scaling):
            total += block.sum(axis=0, dtype=np.float64)
        return (total / len(rows)).astype(np.float32)[None]
    for start in range(0, len(rows), BLOCK):
        total += np.asarray(images[rows[start : start + BLOCK]]).sum(axis=0, dtype=np.float64)
    return (total / len(rows) / maximum).astype(np.float32)[None]
