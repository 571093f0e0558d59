"""Checks of the files that a person puts into a manual folder before a data set is prepared."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# What operating systems put between the published files, beside names that start with a dot.
LEFTOVERS = ("__MACOSX", "Thumbs.db", "desktop.ini")

# Names shown of what lies in a folder.
SHOWN = 8


def manual_folder(download_manager: Any) -> Path:
    """Finds the manual folder of a data set that is being prepared.

    Args:
        download_manager: The `tfds.download.DownloadManager` of the preparation.

    Returns:
        The folder, which exists and is not empty.

    Raises:
        ValueError: There is no such folder, or it is empty.
    """
    try:
        return Path(os.fspath(download_manager.manual_dir))
    except AssertionError as error:
        raise ValueError(" ".join(str(error).split())) from None


def check_manual(
    manual_dir: str | os.PathLike[str], needed: Mapping[str, str], instructions: str
) -> None:
    """Refuses a manual folder in which something is missing.

    Args:
        manual_dir: The folder.
        needed: What each pattern stands for, by the pattern: a glob relative to the folder, or
            several with `|` between them, of which one is enough.
        instructions: How a person gets the files and where they go.

    Raises:
        ValueError: With the folder, everything that is missing, what lies there instead, and the
            instructions.
    """
    folder = Path(manual_dir)
    if not folder.is_dir():
        raise ValueError(f"the manual folder {folder} is no folder; {_one_line(instructions)}")
    missing = [
        f"{pattern.replace('|', ' or ')} ({meaning})"
        for pattern, meaning in needed.items()
        if not find_manual(folder, pattern)
    ]
    if missing:
        raise ValueError(
            f"the manual folder {folder} lacks {', '.join(missing)}; it holds {_contents(folder)}; "
            f"{_one_line(instructions)}"
        )


def find_manual(manual_dir: str | os.PathLike[str], pattern: str) -> list[Path]:
    """Finds files of a manual folder.

    Args:
        manual_dir: The folder.
        pattern: A glob relative to the folder, or several with `|` between them.

    Returns:
        What matches the first glob that matches anything, sorted; empty where none does. What
        operating systems leave behind matches nothing.
    """
    folder = Path(manual_dir)
    for glob in pattern.split("|"):
        found = sorted(folder.glob(glob))
        found = [path for path in found if not is_leftover(path.relative_to(folder).parts)]
        if found:
            return found
    return []


def is_leftover(parts: Iterable[str]) -> bool:
    """Says whether a path is what operating systems leave behind.

    Args:
        parts: The names on the way to it.

    Returns:
        Whether one of them is of that kind.
    """
    return any(part.startswith(".") or part in LEFTOVERS for part in parts)


def check_sha256(where: str, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Refuses files that are not the published ones.

    Args:
        where: The folder or archive that holds the files.
        found: The SHA-256 sums in hexadecimal, by the names of the files that are there.
        expected: The sums of the published files.

    Raises:
        ValueError: With the names of the files that are missing and of those that differ, and the
            sums of the first that does.
    """
    missing = [name for name in expected if name not in found]
    different = [name for name in expected if name in found and found[name] != expected[name]]
    faults = []
    if missing:
        faults.append(f"lacks {_first(missing)}")
    if different:
        name = different[0]
        faults.append(
            f"has other content than was published in {_first(different)} (the SHA-256 of {name} "
            f"is {found[name]}, not {expected[name]})"
        )
    if faults:
        raise ValueError(f"{where} {' and '.join(faults)}; get these files again")


def sha256(path: str | os.PathLike[str]) -> str:
    """Computes the SHA-256 of a file, in hexadecimal.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_num_examples(where: str, found: int, expected: int) -> None:
    """Refuses a split with more or fewer examples than were published.

    Args:
        where: The file or folder that holds the split.
        found: Number of examples in it.
        expected: The published number.

    Raises:
        ValueError: With the place and both numbers.
    """
    if found != expected:
        raise ValueError(f"{where} holds {found} examples; the published one holds {expected}")


def _contents(folder: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    return _first(names) or "nothing"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _one_line(text: str) -> str:
    return " ".join(text.split())
