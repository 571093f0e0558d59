"""What domains of vectors share, whatever file they are read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int, Shaped

SPLITS = ("train", "val", "test")


def number_rows(counts: Mapping[str, int]) -> dict[str, Int[np.ndarray, "row"]]:
    """Numbers the examples of splits that follow each other.

    Args:
        counts: Sizes by split.

    Returns:
        Rows by split.
    """
    ends = np.cumsum(list(counts.values()))
    rows = np.split(np.arange(ends[-1], dtype=np.int32), ends[:-1])
    return dict(zip(counts, rows, strict=True))


def smallest_type(arrays: Sequence[Shaped[np.ndarray, "..."]], where: str) -> np.dtype:
    """Chooses how to store vectors.

    Args:
        arrays: All values.
        where: Where they stand, for messages.

    Returns:
        The smaller of uint8 and uint16 that holds all values exactly, or float32.

    Raises:
        ValueError: Values that are NaN, infinite or too large.
    """
    bad = sum(int((~np.isfinite(_as_float32(own))).sum()) for own in arrays)
    if bad:
        raise ValueError(
            f"{where} holds {bad} values that are NaN, infinite or too large for 32 bits; every "
            "value must be a finite number"
        )
    most = 0
    for own in arrays:
        if own.size and (own.min() < 0 or (own.dtype.kind == "f" and (own != np.trunc(own)).any())):
            return np.dtype(np.float32)
        most = max(most, own.max(initial=0))
    fitting = (np.dtype(own) for own in (np.uint8, np.uint16) if most <= np.iinfo(own).max)
    return next(fitting, np.dtype(np.float32))


def _as_float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def number_classes(
    labels: Shaped[np.ndarray, "example"],
) -> tuple[Int[np.ndarray, "example"], tuple[str, ...]]:
    """Counts the classes that labels name.

    Args:
        labels: Text or numbers, at least one.

    Returns:
        Class numbers, and the names of the classes: in the order of the text, or the numbers as
        text, in their own order.
    """
    values, numbers = np.unique(labels, return_inverse=True)
    names = [
        str(value if isinstance(value, str) or value != int(value) else int(value))
        for value in values.tolist()
    ]
    return numbers.astype(np.int32), tuple(names)
