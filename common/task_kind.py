"""What a label can be, and the heads of a task that has several."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from common.legal import check_count, check_keys, check_name, check_number

# One class of several; one of two; a 0 or 1 for each of several labels; numbers; several of these;
# a class at every pixel.
KINDS = ("multi_class", "binary", "multi_label", "regression", "multi_task", "segmentation")
# Labels of these are class numbers.
OF_CLASSES = ("multi_class", "binary")
OF_HEADS = ("multi_class", "multi_label", "regression")


class Head(NamedTuple):
    """One of several heads.

    Attributes:
        name: Its name.
        kind: One of `OF_HEADS`.
        columns: Which columns of the labels it learns.
        weight: Of its loss.
        units: How many outputs it has.
        first: Number of the first of them among the outputs of all heads.
    """

    name: str
    kind: str
    columns: tuple[int, ...]
    weight: float
    units: int
    first: int


def heads_of(task: Mapping[str, Any]) -> tuple[Head, ...]:
    """Lists the heads of a task of several.

    Args:
        task: `config.task`; at `heads`, by name, `kind`, `columns`, `weight` and, of classes,
            `num_classes`.

    Returns:
        The heads in their order.

    Raises:
        ValueError: No head, or one with options that cannot be.
    """
    if not task["heads"]:
        raise ValueError(
            "config.task.kind is 'multi_task', and config.task.heads is empty; name heads, such as "
            "{'age': {'kind': 'regression', 'columns': (0,), 'weight': 1.0}}"
        )
    heads: list[Head] = []
    for name, own in task["heads"].items():
        key = f"config.task.heads.{name}"
        if not re.fullmatch(r"\w+", name):
            raise ValueError(f"{key}: a head's name must be letters, digits and _")
        needed = ("kind", "columns", "weight")
        check_keys(key, own, (*needed, "num_classes"), needed)
        check_name(f"{key}.kind", own["kind"], OF_HEADS)
        check_number(f"{key}.weight", own["weight"])
        columns = tuple(own["columns"])
        for index, column in enumerate(columns):
            check_count(f"{key}.columns[{index}]", column, 0)
        is_class = own["kind"] == "multi_class"
        if not columns or len(set(columns)) < len(columns) or (is_class and len(columns) > 1):
            wanted = "one column" if is_class else "columns, each once"
            raise ValueError(f"{key}.columns is {columns}; name {wanted}")
        if is_class != ("num_classes" in own):
            said = "counts no classes" if "num_classes" in own else "must count its classes"
            raise ValueError(f"{key}: a head of kind {own['kind']!r} {said} by num_classes")
        if is_class:
            check_count(f"{key}.num_classes", own["num_classes"], 2)
        units = own["num_classes"] if is_class else len(columns)
        first = heads[-1].first + heads[-1].units if heads else 0
        heads.append(Head(name, own["kind"], columns, float(own["weight"]), units, first))
    if not any(head.weight for head in heads):
        raise ValueError("config.task.heads: every weight is 0; one must be larger")
    return tuple(heads)


def part_of_head(head: Head, outputs: Any, labels: Any) -> tuple[Any, Any]:
    """Cuts out what one head says and what it learns.

    Args:
        head: The head.
        outputs: Of all heads, `[example, output]`; traced or not.
        labels: All columns, `[example, column]`; NaN in the rows of examples without.

    Returns:
        Its outputs, and labels in the form of its kind: class numbers, -1 without, or columns.
    """
    own = outputs[:, head.first : head.first + head.units]
    columns = labels[:, np.asarray(head.columns)]
    if head.kind != "multi_class":
        return own, columns
    numbers, space = columns[:, 0], columns.__array_namespace__()
    return own, space.where(space.isnan(numbers), -1, numbers).astype(np.int32)


def check_heads(task: Mapping[str, Any], labels: np.ndarray, names: tuple[str, ...]) -> None:
    """Refuses labels that the heads cannot learn.

    Args:
        task: `config.task`.
        labels: Of a domain, `[example, column]`; NaN where an example has none.
        names: Of the columns; empty for a domain without labels.

    Raises:
        ValueError: A column that does not exist, or values that are not of its head's kind.
    """
    for head in heads_of(task) if names else ():
        key = f"config.task.heads.{head.name}"
        if max(head.columns) >= len(names):
            raise ValueError(
                f"{key}.columns is {head.columns}, and labels have the columns 0 to "
                f"{len(names) - 1} ({', '.join(names)})"
            )
        values = labels[:, head.columns]
        values = values[~np.isnan(values)]
        count = head.units if head.kind == "multi_class" else 2
        if head.kind != "regression" and not np.isin(values, range(count)).all():
            raise ValueError(
                f"{key} is of kind {head.kind!r}, and its columns {head.columns} hold values other "
                f"than the whole numbers from 0 to {count - 1}"
            )
