"""Published lists of files with the numbers of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.data.builders.class_folders import Picture, is_picture, lies_in, refuse


def read_list(path: Path, classes: Sequence[str], first: int) -> dict[str, str]:
    """Reads a published list: on each line a file's name, a space and the number of its class.

    Args:
        path: The list.
        classes: The classes.
        first: Number of the first class.

    Returns:
        The classes' names by file name, in the order of the list.

    Raises:
        ValueError: With the first line that is not of that form or repeats a file.
    """
    listed: dict[str, str] = {}
    numbers = {str(first + place): name for place, name in enumerate(classes)}
    for place, line in enumerate(
        path.read_text(encoding="utf-8", errors="replace").splitlines(), 1
    ):
        if not line.strip():
            continue
        name, _, number = line.strip().rpartition(" ")
        if not name or number not in numbers:
            raise ValueError(
                f"{path}, line {place}, reads {line.strip()!r}; it must be a file's name, a space "
                f"and a class from {first} to {first + len(classes) - 1}"
            )
        if name in listed:
            raise ValueError(f"{path}, line {place}, names {name} a second time; get it again")
        listed[name] = numbers[number]
    return listed


def listed_pictures(folder: Path, listed: Mapping[str, str], manual_dir: Path) -> list[Picture]:
    """Lists the pictures that a list names, in the order of their names.

    Args:
        folder: The folder that the names are relative to.
        listed: The class by file name.
        manual_dir: What neither a name nor a link may lead out of.

    Returns:
        The pictures, sorted by name.

    Raises:
        ValueError: With every file that is missing, no picture, or outside the manual folder.
    """
    wrong: dict[str, list[str]] = {
        "lacks": [],
        "holds what is no picture": [],
        "is left, out of the manual folder, by": [],
    }
    pictures = [Picture(folder / name, name, listed[name]) for name in sorted(listed)]
    for picture in pictures:
        if not lies_in(picture.path, manual_dir):
            wrong["is left, out of the manual folder, by"].append(picture.name)
        elif not picture.path.exists():
            wrong["lacks"].append(picture.name)
        elif not is_picture(picture.path):
            wrong["holds what is no picture"].append(picture.name)
    refuse(folder, wrong)
    return pictures
