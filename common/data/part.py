"""Which records of a prepared data set are its `train`, `val` and `test`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.data.record import Piece

# The published splits that a part is taken from where the config names none.
DEFAULTS = {"train": ("train",), "val": ("validation", "val"), "test": ("test",)}
# Written instead of a split expression, it leaves a part to the random split.
NONE = "none"


def choose_parts(splits: Mapping[str, Any], parts: Mapping[str, str]) -> dict[str, list[Piece]]:
    """Finds the records of each part.

    Args:
        splits: `info.splits` of a data set.
        parts: As in `read_prepared`.

    Returns:
        Records by part, in the order train, val, test; parts that are not published are left out.

    Raises:
        ValueError: A wrong expression, one without examples, or parts that share examples.
    """
    published = {name: own.num_examples for name, own in splits.items() if own.num_examples}
    if not published:
        raise ValueError("it holds no examples")
    only = list(published) if len(published) == 1 else []
    chosen: dict[str, list[Piece]] = {}
    for part, names in DEFAULTS.items():
        written = parts.get(part, "").strip()
        names = only if only and part == "train" else [own for own in names if own not in only]
        default = next((own for own in names if own in published), "")
        if written != NONE and (expression := written or default):
            chosen[part] = _locate(part, expression, splits, published)
    if not chosen:
        raise ValueError(f"none of train, val and test is chosen; published are {_list(published)}")
    _check_disjoint(chosen, parts)
    return chosen


def _locate(
    part: str, expression: str, splits: Mapping[str, Any], published: Mapping[str, int]
) -> list[Piece]:
    try:
        found = splits[expression].file_instructions
    # TFDS raises errors of many kinds over an expression, and says them on several lines.
    except Exception as error:
        raise ValueError(
            f"{part} is {expression!r}, which is no split of it; published are "
            f"{_list(published)}, and train[:90%], train[:5000]+test are ways to take some of them"
        ) from error
    pieces = [Piece(str(own.filename), own.skip, own.take) for own in found if own.take > 0]
    if not pieces:
        raise ValueError(f"{part} is {expression!r}, which has no example; {_list(published)}")
    return pieces


def _check_disjoint(chosen: Mapping[str, Sequence[Piece]], parts: Mapping[str, str]) -> None:
    """Refuses an example that stands in two parts, or twice in one."""
    order = sorted(
        (piece.file, piece.first, piece, part) for part in chosen for piece in chosen[part]
    )
    for (_, _, piece, part), (_, _, after, other) in zip(order, order[1:], strict=False):
        if piece.file == after.file and piece.first + piece.count > after.first:
            both = [own for own in chosen if own in (part, other)]
            said = [f"{own}: {parts.get(own) or 'the published split'}" for own in both]
            raise ValueError(
                f"{' and '.join(both)} would hold the same examples twice ({', '.join(said)}); "
                f"give them parts that share none, or {NONE!r} for a random split of train"
            )


def _list(published: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in published.items())
