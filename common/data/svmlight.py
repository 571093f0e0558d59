"""Domains in svmlight files: sparse vectors as text."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np

from common.data.example import Examples
from common.data.vector import SPLITS, number_classes, number_rows, smallest_type

SUFFIXES = ("", ".svmlight", ".libsvm", ".txt", ".dat")
PACKED = (".gz", ".bz2")
ENDINGS = tuple(suffix + packed for packed in ("", *PACKED) for suffix in SUFFIXES)

# A table is dense; one mistaken index would make it wider than any memory.
MAX_BYTES = 2**34

MAX_SHOWN = 60
_NUMBER = rb"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"
_LINE = re.compile(
    rb"\s*(?:" + _NUMBER + rb"(?:\s+qid:\d+)?((?:\s+\d{1,9}:" + _NUMBER + rb")*)\s*)?(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)

_BROKEN = (OSError, ValueError, OverflowError, EOFError, zlib.error)


def read_svmlight(path: str, num_features: int = 0) -> Examples:
    """Reads a domain from svmlight files, one example a line: `label index:value index:value ...`.

    An index is the number of its input, as it stands: nothing is shifted and nothing is guessed.
    In files whose indices count from 1, input 0 is zero everywhere.

    Args:
        path: A file, which holds all examples; or a folder with some of `train`, `val` and `test`,
            each bare or with one of the endings `.svmlight`, `.libsvm`, `.txt`, `.dat`, then
            `.gz` or `.bz2` where it is packed; or the beginning of such names, as `reviews/books`
            for `reviews/books_train.svmlight`.
        num_features: Number of inputs; 0 for one more than the largest index in the files.

    Returns:
        The examples. Classes are the labels as text, in the order of the numbers.

    Raises:
        ValueError: Files that are missing or broken, an index of at least `num_features`, values
            that are no finite numbers, or fewer than two classes.
    """
    place = Path(path).expanduser()
    tables, labels = {}, {}
    for part, file in _find_files(place).items():
        tables[part], labels[part] = _read_svmlight_file(file)
    widths = {part: table.shape[1] for part, table in tables.items()}
    width = num_features or max(widths.values())
    for part, own in widths.items():
        if own > width:
            raise ValueError(
                f"{_describe(place, part)} holds the index {own - 1}, but config.data.num_features "
                f"is {width}; indices count from 0, so it must be at least {own}"
            )
    dtype = smallest_type([table.data for table in tables.values()], str(place))
    counts = {part: table.shape[0] for part, table in tables.items()}
    size = sum(counts.values()) * width * dtype.itemsize
    if size > MAX_BYTES:
        raise ValueError(
            f"{place} would take {size / 2**30:.0f} GiB as a dense table of {sum(counts.values())} "
            f"x {width}; the limit is {MAX_BYTES / 2**30:.0f} GiB: keep fewer inputs or examples"
        )
    images = np.zeros((sum(counts.values()), width), dtype)
    for table, rows in zip(tables.values(), number_rows(counts).values(), strict=True):
        table.resize(len(rows), width)
        table.astype(dtype).toarray(out=images[rows[0] : rows[-1] + 1])
    numbers, classes = number_classes(np.concatenate(list(labels.values())))
    if len(classes) < 2:
        raise ValueError(
            f"{place} holds the label {', '.join(classes)} alone; it must hold at least two"
        )
    return Examples(images, numbers, classes, 1.0, None if "" in counts else number_rows(counts))


def _find_files(place: Path) -> dict[str, Path]:
    """Returns the files of a domain by split; one file for all examples has the split ""."""
    if place.is_file():
        return {"": place}
    folder, prefix = (place, "") if place.is_dir() else (place.parent, f"{place.name}_")
    files = {}
    for part in SPLITS:
        found = [folder / f"{prefix}{part}{suffix}" for suffix in ENDINGS]
        found = [file for file in found if file.is_file()]
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise ValueError(f"{folder} holds the split {part} more than once: {names}; keep one")
        files.update((part, file) for file in found)
    if files:
        return files
    if not place.is_dir():
        raise ValueError(
            f"{place} is neither a file nor a folder, and no file is called {prefix}train.svmlight"
        )
    there = ", ".join(sorted(file.name for file in place.iterdir())[:5]) or "nothing"
    raise ValueError(
        f"{place} holds none of {', '.join(SPLITS)}, bare or with one of "
        f"{', '.join(SUFFIXES[1:])}, packed as {' or '.join(PACKED)} or not; it holds {there}"
    )


def _describe(place: Path, part: str) -> str:
    return f"the split {part} of {place}" if part else str(place)


def _read_svmlight_file(file: Path) -> tuple[Any, np.ndarray]:
    """Returns a sparse table as wide as its largest index asks for, and its labels."""
    from sklearn.datasets import load_svmlight_file

    try:
        loaded: Any = load_svmlight_file(str(file), zero_based=cast(Any, True))
        table, labels = loaded
    except _BROKEN as error:
        raise ValueError(_tell_broken_line(file, error)) from error
    if not len(labels):
        raise ValueError(f"{file} holds no example")
    if not np.isfinite(labels).all():
        row = int(np.argmin(np.isfinite(labels)))
        raise ValueError(f"{file}: the label of example {row + 1} is {labels[row]}, no number")
    return table, labels


def _tell_broken_line(file: Path, error: Exception) -> str:
    """Finds the line that made a file unreadable."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines if file.suffix not in PACKED else (), 1):
                if not _is_sound(line):
                    text = line.strip()[:MAX_SHOWN].decode("utf-8", "replace")
                    return (
                        f"{file}, line {number}, is {text!r}; it must be "
                        "'label index:value index:value ...' with numbers and rising indices"
                    )
    except _BROKEN as unreadable:
        error = unreadable
    return f"{file} is no svmlight file that can be read: {error}"


def _is_sound(line: bytes) -> bool:
    found = _LINE.fullmatch(line)
    if not found:
        return False
    indices = [int(pair.split(b":")[0]) for pair in (found[1] or b"").split()]
    return all(one < other for one, other in zip(indices, indices[1:], strict=False))
