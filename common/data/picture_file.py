"""Files that should hold pictures: all checked first, then kept in memory or read when needed."""

from __future__ import annotations

import logging
import os
import stat
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from common.data.example import Examples
from common.data.picture import Form, adapt, decode_picture
from common.data.picture_store import Pictures, map_in_threads

PARTS = ("train", "val", "test")

# Pictures that take more memory than this are read anew whenever they are needed.
KEPT_BYTES = 2**28
# A larger file is no picture; it would be read as a whole to find that out.
MAX_FILE_BYTES = 2**29
NUM_NAMED = 5


class PictureFile(NamedTuple):
    """A file that should hold a picture.

    Attributes:
        part: One of `PARTS`; empty where there are no splits.
        label: The class; empty where there is no label.
        shown: The path from the domain's folder.
        values: Labels or values where labels are no classes, NaN where there are none.
    """

    part: str
    label: str
    shown: str
    values: tuple[float, ...] = ()


def normal_name(name: str) -> str:
    """Writes a name in Unicode's normal form C: macOS and Linux write `ä` differently.

    Args:
        name: As stored.

    Returns:
        The name by which classes and files are compared.
    """
    return unicodedata.normalize("NFC", name)


def name_few(names: Iterable[str]) -> str:
    """Shows the first of many names.

    Args:
        names: In the order to show. Whoever quotes them with repr keeps line breaks out.

    Returns:
        Part of a sentence.
    """
    names = list(names)
    rest = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
    return ", ".join(names[:NUM_NAMED]) + rest


def is_below(path: str, root: str) -> bool:
    """Says whether a path is that of a folder or lies in it.

    Args:
        path: Absolute, with all links resolved.
        root: The folder, likewise.

    Returns:
        True or False.
    """
    return os.path.commonpath([root, path]) == root


def read_files(
    path: str, root: str, files: Sequence[PictureFile], form: Form, *, skip_bad: bool
) -> tuple[Examples, list[PictureFile]]:
    """Decodes every picture once to check it, and keeps them where all of them are small.

    Args:
        path: How the user names the domain, for messages.
        root: Where the paths of the files start.
        files: In the order of the examples.
        form: What all pictures are brought to.
        skip_bad: Leave out files that are no readable pictures, and log the names of all.

    Returns:
        The examples, in memory where they take at most `KEPT_BYTES`, else as a store; and the file
        of each.

    Raises:
        ValueError: Files that are no readable pictures, of which the log names all where they are
            many; a class of which no picture is left, or pictures of several shapes.
        OSError: A file that exists but cannot be read.
    """
    kept: dict[int, np.ndarray] = {}
    num_bytes = 0
    lock = threading.Lock()

    def check(number: int) -> tuple[int, int, int] | str:
        nonlocal num_bytes
        try:
            picture = adapt(decode_picture(_read_bytes(root, files[number].shown)), form)
        except ValueError as error:
            return str(error)
        with lock:
            num_bytes += picture.nbytes
            if num_bytes <= KEPT_BYTES:
                kept[number] = picture
            else:
                kept.clear()
        height, width, channels = picture.shape
        return height, width, channels

    outcomes = list(map_in_threads(check, range(len(files))))
    bad = [
        f"{file.shown!r} ({reason})"
        for file, reason in zip(files, outcomes, strict=True)
        if isinstance(reason, str)
    ]
    count = f"{len(bad)} of {len(files)} files of {path!r} are no readable pictures"
    summary = f"{count}: {name_few(bad)}"
    if skip_bad and bad:
        _log_names(f"{count}; they are left out", bad)
    elif len(bad) > NUM_NAMED:
        _log_names(count, bad)
    if bad and not skip_bad:
        logged = " (the log names all)" if len(bad) > NUM_NAMED else ""
        raise ValueError(
            f"{summary}{logged}; mend or remove them, or leave them out with "
            "config.data.skip_bad=true"
        )
    good = [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, str)]
    own = [files[number] for number in good]
    classes = sorted({file.label for file in own} - {""})
    lost = sorted({file.label for file in files} - {"", *classes})
    if lost or not own:
        raise ValueError(
            f"{summary}; config.data.skip_bad would leave nothing of "
            f"{name_few(map(repr, lost)) or 'them'}, so mend these"
        )
    shape = _agree(path, own, [shape for shape in outcomes if not isinstance(shape, str)])

    def read(row: int) -> np.ndarray:
        try:
            return adapt(decode_picture(_read_bytes(root, own[row].shown)), form)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{own[row].shown!r} of {path!r} could be read at first, but no longer: {error}"
            ) from error

    if num_bytes <= KEPT_BYTES:
        images: Any = np.stack([kept.pop(number) for number in good])
    else:
        images = Pictures(read, len(own), shape)
    numbers = {label: number for number, label in enumerate(classes)} | {"": -1}
    labels = np.array([numbers[file.label] for file in own], np.int32)
    parts = np.array([file.part for file in own])
    splits = {
        part: np.flatnonzero(parts == part).astype(np.int32)
        for part in PARTS
        if any(file.part == part for file in files)
    }
    names = tuple(file.shown for file in own)
    return Examples(images, labels, tuple(classes), 255.0, splits or None, names), own


def _log_names(told: str, names: Sequence[str]) -> None:
    """Logs a sentence and below it every name, one a line, for whoever mends many files."""
    logging.getLogger(__name__).warning("%s:\n%s", told, "\n".join(names))


def _agree(
    path: str, files: Sequence[PictureFile], shapes: Sequence[tuple[int, int, int]]
) -> tuple[int, int, int]:
    """Returns the shape of all pictures."""
    for what, key, change in (
        (slice(0, 2), "sizes", "set config.data.size to bring them to one size"),
        (slice(2, 3), "numbers of channels", "set config.data.channels to 1 or 3"),
    ):
        first = {}
        for file, shape in zip(files, shapes, strict=True):
            first.setdefault(" x ".join(map(str, shape[what])), file.shown)
        if len(first) > 1:
            shown = name_few(f"{size} ({name!r})" for size, name in first.items())
            raise ValueError(f"the pictures of {path!r} have the {key} {shown}; {change}")
    return shapes[0]


def _read_bytes(root: str, shown: str) -> bytes:
    """Reads a file; what is no ordinary file could block for ever."""
    path = os.path.join(root, shown)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError("it is missing") from None
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no ordinary file")
    if status.st_size > MAX_FILE_BYTES:
        raise ValueError(f"it takes {status.st_size} bytes, and at most {MAX_FILE_BYTES} are read")
    with open(path, "rb") as file:
        return file.read()
