"""Published class folders: found in a manual folder, checked, counted and made into records."""

from __future__ import annotations

import csv
import functools
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from common.data.builders.manual import check_manual, is_leftover
from common.data.picture import decode_picture
from common.data.picture_store import map_in_threads

# The first bytes of a JPEG, a PNG and a GIF file, whatever its name.
HEADERS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8")

# Bytes of pictures in one file of records. TFDS holds them in memory until the file is written.
SHARD_BYTES = 64 << 20

# Names shown of everything that is wrong in one way.
SHOWN = 8

# A key and the features.
Record: TypeAlias = tuple[str, dict[str, Any]]


class Picture(NamedTuple):
    """A published picture.

    Attributes:
        path: Its file.
        name: Its name within the domain's folder, with `/` between the parts.
        label: Name of its class.
    """

    path: Path
    name: str
    label: str


def read_counts(path: str | os.PathLike[str]) -> dict[str, dict[str, int]]:
    """Reads the published number of pictures of each class.

    Args:
        path: A CSV file: a header with `class` and one name a column, then one class a row.

    Returns:
        By column, the number by class, the classes in the order of the file.
    """
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name != "class"]
    return {column: {row["class"]: int(row[column]) for row in rows} for column in columns}


def folder_pattern(names: Sequence[str], inner: Sequence[str] = ("",), depth: int = 1) -> str:
    """Writes the pattern of a folder that lies in the manual folder or a little below it.

    Args:
        names: Names that the folder has in the layouts that circulate.
        inner: Folders within it that hold the classes in some layout, the most specific first.
        depth: How many folders may lie above it.

    Returns:
        Globs with `|` between them, the shallowest first.
    """
    return "|".join(
        "*/" * above + name + ("/" + within if within else "")
        for above in range(depth + 1)
        for within in inner
        for name in names
    )


def find_folder(
    manual_dir: Path, pattern: str, classes: Collection[str], meaning: str, instructions: str
) -> Path:
    """Finds the one folder that a pattern stands for.

    Domains of several sets have the same name, such as `amazon`. So the folder counts whose class
    folders differ least from the set's, and of several the first in the order of the globs.

    Args:
        manual_dir: The manual folder.
        pattern: Globs with `|` between them.
        classes: Names of the folders in it.
        meaning: What the folder is.
        instructions: How a person gets it.

    Returns:
        The folder.

    Raises:
        ValueError: There is none, there are two, or a link leads out of the manual folder.
    """
    matches = [
        (glob, path)
        for glob in pattern.split("|")
        for path in sorted(manual_dir.glob(glob))
        if path.is_dir() and not is_leftover(path.relative_to(manual_dir).parts)
    ]
    if not matches:
        check_manual(manual_dir, {pattern: meaning}, instructions)
        raise ValueError(f"what the manual folder {manual_dir} holds as {meaning} is no folder")
    differences = [_difference(path, classes) for _, path in matches]
    nearest = [
        match
        for match, difference in zip(matches, differences, strict=True)
        if difference == min(differences)
    ]
    found = [path for glob, path in nearest if glob == nearest[0][0]]
    if len(found) > 1:
        raise ValueError(
            f"the manual folder {manual_dir} holds {meaning} more than once, as "
            f"{_some(path.relative_to(manual_dir) for path in found)}; leave one of them"
        )
    if not lies_in(found[0], manual_dir):
        raise ValueError(
            f"{found[0]} is a link out of the manual folder; name the folder that it leads to, or "
            "one above it, as the manual folder"
        )
    return found[0]


def list_pictures(folder: Path, classes: Collection[str], manual_dir: Path) -> list[Picture]:
    """Lists the pictures of class folders, in the order of their names.

    Args:
        folder: A folder with one folder a class; files beside these are left alone.
        classes: The classes, all of which must be there, and no other.
        manual_dir: What no link may lead out of.

    Returns:
        The pictures, sorted by name.

    Raises:
        ValueError: With every class folder that is missing, empty, unknown or a link out of the
            manual folder, and every file that is no picture by its first bytes.
    """
    folders = {path.name: path for path in _visible(folder) if path.is_dir()}
    wrong: dict[str, list[str]] = {
        "lacks the class folders": [name for name in classes if name not in folders],
        "holds folders of no class": [name for name in folders if name not in classes],
        "holds links out of the manual folder": [],
        "has nothing in the class folders": [],
        "holds what is no picture": [],
    }
    pictures = []
    for label in (name for name in classes if name in folders):
        if not lies_in(folders[label], manual_dir):
            wrong["holds links out of the manual folder"].append(label)
            continue
        paths = _visible(folders[label])
        if not paths:
            wrong["has nothing in the class folders"].append(label)
        for path in paths:
            name = f"{label}/{path.name}"
            if path.is_symlink() and not lies_in(path, manual_dir):
                wrong["holds links out of the manual folder"].append(name)
            elif not is_picture(path):
                wrong["holds what is no picture"].append(name)
            pictures.append(Picture(path, name, label))
    refuse(folder, wrong)
    return sorted(pictures, key=lambda picture: picture.name)


def is_picture(path: Path) -> bool:
    """Says whether a file is a picture by its first bytes.

    Args:
        path: The file; anything but a file, such as a pipe, is not opened.

    Returns:
        Whether it is a file that starts like a picture.
    """
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(max(map(len, HEADERS))).startswith(HEADERS)


def lies_in(path: Path, folder: Path) -> bool:
    """Says whether a path lies in a folder when all links are followed.

    Args:
        path: The path.
        folder: The folder.

    Returns:
        Whether it does.
    """
    # Unlike Path.resolve, realpath bears links that lead in a circle.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def refuse(folder: Path, wrong: Mapping[str, Collection[str]]) -> None:
    """Refuses a folder in which anything is wrong.

    Args:
        folder: The folder.
        wrong: The names by what is wrong with them; empty where nothing is.

    Raises:
        ValueError: With all that is wrong.
    """
    said = [f"{what}: {_some(names)}" for what, names in wrong.items() if names]
    if said:
        raise ValueError(f"{folder} {'; it '.join(said)}")


def check_counts(where: Path, pictures: Iterable[Picture], published: Mapping[str, int]) -> None:
    """Refuses more or fewer pictures of a class than were published.

    Args:
        where: The folder that holds them.
        pictures: The pictures.
        published: The published number by class.

    Raises:
        ValueError: With both totals, and both numbers of every class that differs.
    """
    found = Counter(picture.label for picture in pictures)
    different = [
        f"{label} ({found[label]} of {count})"
        for label, count in published.items()
        if found[label] != count
    ]
    if different:
        raise ValueError(
            f"{where} holds {found.total()} pictures, the published set "
            f"{sum(published.values())}; different are {_some(different)}; get it again"
        )


def make_features(classes: Sequence[str], encoding_format: str) -> Any:
    """Describes a record: the picture as published, its class and its name.

    Args:
        classes: Names of the classes.
        encoding_format: `jpeg` or `png`, the format of the published files.

    Returns:
        A `tfds.features.FeaturesDict`.
    """
    import tensorflow_datasets as tfds

    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format=encoding_format),
            "label": tfds.features.ClassLabel(names=list(classes)),
            "file_name": tfds.features.Text(),
        }
    )


def make_shards(pictures: Iterable[Picture]) -> list[Callable[[], Iterator[Record]]]:
    """Divides pictures into files, in their order, for a `tfds.core.ShardBasedBuilder`.

    A `tfds.core.GeneratorBasedBuilder` would need TensorFlow for a split above 1,000 MiB, and
    memory for all of it where the order is kept.

    Args:
        pictures: The pictures, in the order of the records.

    Returns:
        For each file, what makes its records: one a picture, with the bytes of the published file.
        It raises a ValueError that names the first picture that cannot be decoded.
    """
    shards: list[list[Picture]] = [[]]
    size = 0
    for picture in pictures:
        size += picture.path.stat().st_size
        if shards[-1] and size > SHARD_BYTES:
            shards.append([])
            size = picture.path.stat().st_size
        shards[-1].append(picture)
    return [functools.partial(_make_records, shard) for shard in shards]


def _make_records(pictures: Sequence[Picture]) -> Iterator[Record]:
    contents = map_in_threads(lambda number: _read(pictures[number].path), range(len(pictures)))
    for (_, name, label), content in zip(pictures, contents, strict=True):
        yield name, {"image": content, "label": label, "file_name": name}


def _read(path: Path) -> bytes:
    """Reads a picture, and refuses one that training could not decode."""
    content = path.read_bytes()
    try:
        decode_picture(content)
    except ValueError as error:
        raise ValueError(f"the picture {path} cannot be read: {error}; get it again") from error
    return content


def _difference(folder: Path, classes: Collection[str]) -> tuple[bool, int]:
    """Says how far the folders in a folder are from the classes; less is nearer.

    A folder without any class, such as the one above `images`, is farther than all others.
    """
    names = {path.name for path in _visible(folder) if path.is_dir()}
    return names.isdisjoint(classes), len(names.symmetric_difference(classes))


def _visible(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not is_leftover((path.name,))]


def _some(names: Iterable[Any]) -> str:
    texts = [str(name) for name in names]
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more
