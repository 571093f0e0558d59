"""The training, validation and test examples of a domain, where it is published without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from common.data import reader
from common.data.domain import split_drawn
from common.data.example import Examples

Config = Mapping[str, Any]
Rows = Int[np.ndarray, "row"]


def split_domain(config: Config, role: str, name: str, examples: Examples) -> Mapping[str, Rows]:
    """Splits a domain of a task.

    Args:
        config: The resolved config.
        role: `source` or `target`.
        name: The domain.
        examples: Its examples.

    Returns:
        Disjoint rows for `train`, `val` and `test`.

    Raises:
        ValueError: A split would be empty.
    """
    data = config["data"]
    if reader.is_read(name):
        half = ("source", "target").index(role) if data["disjoint_halves"] else None
        return complete_splits(
            examples,
            *(data["val_share"], data["test_share"], data["split_seed"]),
            half=half,
            key=f"config.{role} {name!r}",
        )
    return split_drawn(name, examples, data, data["split_seed"])


def complete_splits(
    examples: Examples,
    val_share: float,
    test_share: float,
    seed: int,
    *,
    half: int | None = None,
    key: str = "the domain",
) -> dict[str, Rows]:
    """Draws the splits that a domain is published without from its training split.

    They are drawn at random, never by label: a split balanced by class would carry target labels
    into training.

    Args:
        examples: The examples. Without splits all of them count as `train`.
        val_share: Share of the published training split that becomes `val`, where there is none.
        test_share: Share that becomes `test`, where there is none.
        seed: `config.data.split_seed`.
        half: 0 or 1 to keep the even or odd rows of the published training split; two domains
            whose rows show the same things in the same order then share none, also where the rows
            of some classes are left out.
        key: Where the domain stands in the config, for messages.

    Returns:
        Disjoint rows for `train`, `val` and `test`.

    Raises:
        ValueError: A split would be empty.
    """
    given = examples.splits or {"train": np.arange(len(examples.labels))}
    if "train" not in given:
        raise ValueError(f"{key} has no split train, but {', '.join(given) or 'none'}")
    pool = given["train"] if half is None else given["train"][given["train"] % 2 == half]
    drawn = {"test": test_share, "val": val_share}
    counts = {part: round(share * len(pool)) for part, share in drawn.items() if part not in given}
    order = pool[np.random.default_rng([seed, 7]).permutation(len(pool))]
    splits, start = {}, 0
    for part in drawn:
        stop = start + counts.get(part, 0)
        splits[part] = given[part] if part in given else np.sort(order[start:stop])
        start = stop
    splits["train"] = np.sort(order[start:])
    for part, rows in splits.items():
        if not len(rows):
            why = f"{len(pool)} examples are to be split by config.data.val_share {val_share} and "
            why += f"config.data.test_share {test_share}"
            published = part in given and part != "train"
            raise ValueError(
                f"{key}: the split {part} would be empty; "
                + ("it is published empty" if published else why)
            )
    return {part: np.asarray(splits[part], np.int32) for part in ("train", "val", "test")}
