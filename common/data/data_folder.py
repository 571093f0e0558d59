"""What lies prepared in the data folder, read from its small files alone."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from common.data.builder import needs_manual_folder
from common.data.builders.manual import sha256
from common.data.catalogue import DEFAULT_CONFIGS, check_set
from common.data.data_name import parse_name, prepare_command, resolve_data_dir

FORMAT = "array_record"
# Sizes and hashes of the files of a prepared set, which `preparation.py` writes beside them.
CHECKSUMS = "checksums.json"
UNFINISHED = "incomplete."
VERSION = re.compile(r"\d+\.\d+\.\d+")
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


class PreparedSet(NamedTuple):
    """One prepared data set.

    Attributes:
        name: Such as `mnist` or `office31/amazon`.
        version: Such as `1.0.0`; empty for what is not finished.
        folder: Where it lies.
        file_format: Such as `array_record`; only that one is read.
        splits: Numbers of examples.
        num_bytes: Size on disk.
        in_order: Whether its records stand in the order in which its builder made them.
        problem: Why it is not complete; empty where it is.
    """

    name: str
    version: str
    folder: Path
    file_format: str
    splits: Mapping[str, int]
    num_bytes: int
    in_order: bool
    problem: str

    @property
    def unreadable(self) -> str:
        """Why it cannot be read here, complete or not; empty where it can."""
        if not self.problem and self.file_format != FORMAT:
            return f"it is prepared as {self.file_format or 'an old format'}, not {FORMAT}"
        return self.problem


def versions_in(folder: Path) -> list[Path]:
    """Lists the versions of one set, the newest last.

    Args:
        folder: `<data folder>/<set>` or `<data folder>/<set>/<config>`.

    Returns:
        Their folders.
    """
    found = [own for own in _folders(folder) if VERSION.fullmatch(own.name)]
    return sorted(found, key=lambda own: [int(number) for number in own.name.split(".")])


def find_prepared(name: str, data_dir: str) -> PreparedSet:
    """Finds a prepared data set.

    Args:
        name: Such as `mnist` or `office31/amazon`.
        data_dir: As in `resolve_data_dir`.

    Returns:
        Its newest version, or the one that is named.

    Raises:
        ValueError: It is unknown, not there, not complete, or in a format that is not read.
    """
    parsed, root = parse_name(name), resolve_data_dir(data_dir)
    folder = root / parsed.set / (parsed.config or DEFAULT_CONFIGS.get(parsed.set, ""))
    versions = versions_in(folder)
    if parsed.version:
        versions = [own for own in versions if own.name == parsed.version]
    if not versions:
        configs = (
            [] if parsed.config else [own.name for own in _folders(folder) if versions_in(own)]
        )
        if configs:
            parts = ", ".join(f"{parsed.set}/{config}" for config in configs)
            raise ValueError(
                f"{name} has parts, of which one has to be named; prepared are {parts}"
            )
        if not folder.is_dir():
            check_set(parsed.set)
        raise ValueError(
            f"{name} is not prepared in {root}; prepare it by: {_command(name, data_dir)}"
        )
    found = describe(root, versions[-1])
    if found.problem:
        raise ValueError(
            f"{name} in {found.folder} is not complete ({found.problem}); remove that folder, or "
            f"prepare it again by: {_command(name, data_dir)}"
        )
    if found.file_format != FORMAT:
        raise ValueError(
            f"{name} in {found.folder} is prepared as {found.file_format or 'an old format'}, and "
            f"only {FORMAT} is read here; prepare it again in another folder by: "
            f"{_command(name, data_dir or 'OTHER_FOLDER')}"
        )
    return found


def _command(name: str, data_dir: str) -> str:
    """Writes the command that prepares a set, with a manual folder where it needs one."""
    return prepare_command(name, data_dir, "FOLDER" * needs_manual_folder(parse_name(name)))


def list_prepared(data_dir: str) -> list[PreparedSet]:
    """Lists what lies in the data folder.

    Args:
        data_dir: As in `resolve_data_dir`.

    Returns:
        All sets and versions by name, also those that a preparation did not finish.

    Raises:
        ValueError: The data folder is a file.
    """
    root = resolve_data_dir(data_dir)
    if root.exists() and not root.is_dir():
        raise ValueError(f"the data folder {root} is a file; name a folder by --data_dir")
    rows = []
    for folder in _folders(root):
        for place in (folder, *_folders(folder)) if folder.name != "downloads" else ():
            rows += [describe(root, own) for own in (*versions_in(place), *unfinished_in(place))]
    return rows


def unfinished_in(folder: Path) -> list[Path]:
    """Lists what preparations began, that were killed or still run.

    Args:
        folder: As in `versions_in`.

    Returns:
        Their folders.
    """
    return [own for own in _folders(folder) if own.name.startswith(UNFINISHED)]


def describe(root: Path, folder: Path, *, hashes: bool = False) -> PreparedSet:
    """Reads the small files of a prepared set and looks at the sizes of the large ones.

    Args:
        root: The data folder.
        folder: One version of a set in it.
        hashes: Whether to compare the content of all files with what was recorded, too.

    Returns:
        What it holds, with the first problem that was found.
    """
    name, version = folder.parent.relative_to(root).as_posix(), folder.name
    if version.startswith(UNFINISHED):
        ended = "its preparation was stopped or still runs"
        return PreparedSet(name, "", folder, "", {}, folder_size(folder), False, ended)
    sizes = {own.name: own.stat().st_size for own in folder.iterdir() if own.is_file()}
    row = PreparedSet(name, version, folder, "", {}, sum(sizes.values()), False, "")
    reading = "dataset_info.json"
    try:
        info = json.loads((folder / reading).read_text(encoding="utf-8"))
        splits = {own["name"]: sum(_counts(own)) for own in info.get("splits", ())}
        row = row._replace(
            file_format=info.get("fileFormat", ""),
            splits=splits,
            in_order=info.get("disableShuffling") is True,
        )
        expected: dict[str, Any] = dict.fromkeys(("features.json", *_shard_files(info)))
        if CHECKSUMS in sizes:
            reading = CHECKSUMS
            recorded = json.loads((folder / reading).read_text(encoding="utf-8"))
            expected |= {file: (own["bytes"], own["sha256"]) for file, own in recorded.items()}
        return row._replace(problem=_compare(folder, sizes, expected, hashes))
    except FileNotFoundError as error:
        return row._replace(problem=f"{Path(error.filename).name} is missing")
    except OSError as error:
        problem = f"{Path(error.filename).name} cannot be read ({error.strerror})"
        return row._replace(problem=problem)
    except (KeyError, TypeError, AttributeError, ValueError):
        return row._replace(problem=f"its {reading} is damaged")


def _compare(
    folder: Path, sizes: Mapping[str, int], expected: Mapping[str, Any], hashes: bool
) -> str:
    """Says which file is missing or not what was recorded."""
    for file, recorded in expected.items():
        if file not in sizes:
            return f"{file} is missing"
        if not sizes[file]:
            return f"{file} is empty"
        if recorded and recorded[0] != sizes[file]:
            return f"{file} has {sizes[file]} bytes instead of {recorded[0]}"
        if recorded and hashes and recorded[1] != sha256(folder / file):
            return f"{file} has another content than was written"
    return ""


def folder_size(folder: Path) -> int:
    """Adds up the files below a folder, while others may remove some.

    Args:
        folder: It need not exist.

    Returns:
        Bytes.
    """
    size = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += file.stat().st_size if file.is_file() else 0
    return size


def _counts(split: Mapping[str, Any]) -> list[int]:
    return [int(count) for count in split.get("shardLengths", ())]


def _shard_files(info: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names of the files that a `dataset_info.json` promises."""
    for split in info.get("splits", ()):
        counts = _counts(split)
        for number, count in enumerate(counts):
            words = {
                "DATASET": info["name"],
                "SPLIT": split["name"],
                "FILEFORMAT": info.get("fileFormat", "tfrecord"),
                "SHARD_INDEX": f"{number:05d}",
                "NUM_SHARDS": f"{len(counts):05d}",
                "SHARD_X_OF_Y": f"{number:05d}-of-{len(counts):05d}",
            }
            file = split.get("filepathTemplate") or TEMPLATE
            for word, value in words.items():
                file = file.replace(f"{{{word}}}", value)
            if count:
                yield file


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(own for own in folder.iterdir() if own.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
