"""Labels that are not one class: several of an example, numbers, or classes of its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Shaped


def read_values(
    given: Mapping[str, Shaped[np.ndarray, "..."] | None],
    counts: Mapping[str, int],
    names: tuple[str, ...],
    place: Path,
    kind: str,
) -> tuple[Float[np.ndarray, "example value"], tuple[str, ...]]:
    """Checks the labels of the splits of a file and puts them behind one another.

    Args:
        given: By split, `[example]` or `[example, value]`; None for a split without labels.
        counts: Examples by split.
        names: Of the labels or values; empty where the file gives none.
        place: The file, for messages.
        kind: `multi_label`: 0 or 1, and -1 or NaN all along the row of an example that has no
            labels. `regression`: numbers, and NaN where an example has none.

    Returns:
        One column a label or value, NaN in the rows of examples without; and the columns' names,
        their numbers where the file gives none. Without any label, no column and no name.

    Raises:
        ValueError: Labels that do not fit the examples, each other, their names or their kind.
    """
    labels = {part: own for part, own in given.items() if own is not None}
    width: int | None = None
    read = {}
    for part, own in labels.items():
        where = f"{place}: {part}_labels" if part else f"{place}: labels"
        fits = own.ndim in (1, 2) and len(own) == counts[part] and own.dtype.kind in "buif"
        if not fits or own.ndim == 2 and own.shape[1] == 0:
            raise ValueError(
                f"{where} has the type {own.dtype} and the shape {own.shape}; for config.task.kind "
                f"{kind!r} it must hold numbers [{counts[part]}] or [{counts[part]}, value]"
            )
        values = own.astype(np.float32).reshape(len(own), -1)
        width = values.shape[1] if width is None else width
        if values.shape[1] != width:
            raise ValueError(
                f"{where} has {values.shape[1]} columns and another split {width}; they must be "
                "the same"
            )
        read[part] = check_values(values, where, kind)
    if names and width is not None and len(names) != width:
        raise ValueError(
            f"{place}: classes lists {len(names)} names, and labels have {width} columns; name each"
        )
    if width is None:
        return np.full((sum(counts.values()), 0), np.nan, np.float32), ()
    missing = {part: np.full((count, width), np.nan, np.float32) for part, count in counts.items()}
    together = np.concatenate([read.get(part, missing[part]) for part in counts])
    return together, names or tuple(map(str, range(width)))


def check_values(
    values: Float[np.ndarray, "example value"], where: str, kind: str
) -> Float[np.ndarray, "example value"]:
    """Checks labels or values.

    Args:
        values: A column each.
        where: Where they stand, for messages.
        kind: As for `read_values`.

    Returns:
        They, NaN all along the row of an example that has none.

    Raises:
        ValueError: A value that is not legal, or an example that has some and lacks others.
    """
    if kind == "multi_label":
        values = np.where(values == -1, np.float32(np.nan), values)
    absent = np.isnan(values)
    allowed = np.isin(values, (0, 1)) if kind == "multi_label" else np.isfinite(values)
    if not (allowed | absent).all():
        legal = "0, 1, or -1" if kind == "multi_label" else "finite, or NaN"
        raise ValueError(
            f"{where} holds {values[~(allowed | absent)][0]}; for config.task.kind {kind!r} every "
            f"value must be {legal} where there is none"
        )
    if (absent.any(axis=1) & ~absent.all(axis=1)).any():
        row = int(np.flatnonzero(absent.any(axis=1) & ~absent.all(axis=1))[0])
        raise ValueError(
            f"{where} lacks some of the values of example {row}; an example has all or none"
        )
    return values


def read_pixels(
    given: Mapping[str, Shaped[np.ndarray, "..."] | None],
    counts: Mapping[str, int],
    size: tuple[int, ...],
    names: tuple[str, ...],
    place: Path,
) -> tuple[Int[np.ndarray, "example height width"], tuple[str, ...]]:
    """Checks the labels of pixels of the splits of a file and puts them behind one another.

    Args:
        given: By split, whole numbers `[example, height, width]` that count `names` from 0, and -1
            where a pixel does not count; None for a split without labels.
        counts: Examples by split.
        size: Height and width of the pictures.
        names: Of the classes; empty where the file gives none.
        place: The file, for messages.

    Returns:
        Class numbers, -1 in the pixels of examples without; and the classes' names, the numbers up
        to the largest where the file gives none. Without any label, no name.

    Raises:
        ValueError: Labels that do not fit the pictures or their names.
    """
    parts, largest = [], -1
    for part, count in counts.items():
        own = given[part]
        if own is None:
            parts.append(np.full((count, *size), -1, np.int32))
            continue
        where = f"{place}: {part}_labels" if part else f"{place}: labels"
        if own.shape != (count, *size) or own.dtype.kind not in "iu":
            raise ValueError(
                f"{where} has the type {own.dtype} and the shape {own.shape}; labels of pixels "
                f"must be whole numbers {(count, *size)}"
            )
        least, most = int(own.min()), int(own.max())
        if least < -1 or (names and most >= len(names)) or most > 255:
            raise ValueError(
                f"{where} has values from {least} to {most}; they must count the classes from 0 to "
                f"{len(names) - 1 if names else 255}, with -1 where a pixel does not count"
            )
        largest = max(largest, most)
        parts.append(own.astype(np.int32))
    if all(own is None for own in given.values()):
        names = ()
    elif not names:
        names = tuple(map(str, range(largest + 1)))
    return np.concatenate(parts), names
