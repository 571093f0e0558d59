"""The domains of a task, each read as its role asks, and several sources put together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from common.data import reader
from common.data.arrangement import arrange, check_sources
from common.data.domain import DOMAINS, Domain, load_examples
from common.data.example import Examples
from common.data.pool import pool
from common.data.split import split_domain
from common.legal import suggest
from common.task_kind import OF_CLASSES

Config = Mapping[str, Any]


def read_domain(config: Config, role: str, name: str) -> Examples:
    """Reads or draws one domain of a task.

    Args:
        config: The resolved config.
        role: `source` or `target`, whose options of `config.data` hold.
        name: The domain.

    Returns:
        Its examples, with the classes that it is published with.

    Raises:
        ValueError: A domain that is unknown, cannot be read, or has labels of another kind than
            the task's.
    """
    key, kind = f"config.{role}", config["task"]["kind"]
    legal = ("npz",) if kind == "segmentation" else reader.OF_VALUES
    if kind not in OF_CLASSES and name.partition(":")[0] not in legal:
        raise ValueError(
            f"{key} is {name!r}, whose labels are classes, and config.task.kind is {kind!r}; name "
            f"a domain with such labels, {' or '.join(f'{own}:...' for own in legal)}"
        )
    if not reader.is_read(name):
        if name not in DOMAINS:
            raise ValueError(
                f"{key} is {name!r}; {suggest(name, [*sorted(DOMAINS), *reader.FORMS])}"
            )
        return load_examples(name, config["data"], key)
    options = json.dumps(reader.options_of(config, role), sort_keys=True)
    try:
        return reader.read(name, options)
    except ValueError as error:
        raise ValueError(f"{key} {name!r}: {error}") from error


def pool_sources(
    config: Config, sources: Sequence[str], read_sources: Sequence[Examples]
) -> Domain:
    """Numbers the classes of all sources alike, and puts them together.

    Args:
        config: The resolved config.
        sources: Their names.
        read_sources: Their examples, as read.

    Returns:
        One domain.

    Raises:
        ValueError: Sources of other classes or shapes than the first, or a split that is empty.
    """
    renamed, wanted = config["data"]["rename_classes"], config["data"]["classes"]
    arranged = [arrange(own, renamed, wanted, must_have=wanted) for own in read_sources]
    check_sources(config, sources, arranged)
    classes = arranged[0].classes
    others = [arrange(own, renamed, classes) for own in read_sources[1:]]
    return pool_all(config, sources, [arranged[0], *others])


def pool_all(config: Config, sources: Sequence[str], examples: Sequence[Examples]) -> Domain:
    """Splits each source as if it were alone, and puts them together.

    Args:
        config: The resolved config.
        sources: Their names.
        examples: Their examples, with the same labels in the same order.

    Returns:
        One domain.

    Raises:
        ValueError: Sources of other shapes than the first, or a split that is empty.
    """
    return pool(
        config["source"],
        [
            Domain(name, own, split_domain(config, "source", name, own))
            for name, own in zip(sources, examples, strict=True)
        ],
    )
