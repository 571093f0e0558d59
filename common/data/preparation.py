"""Preparing data sets with TFDS builders: whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.data.builder import find_builder
from common.data.builders.manual import sha256
from common.data.data_folder import (
    CHECKSUMS,
    FORMAT,
    UNFINISHED,
    PreparedSet,
    describe,
)
from common.data.data_name import parse_name, resolve_data_dir
from common.data.preparation_error import explain
from common.data.progress import reporting
from common.data.record import count_records
from common.experiment import lock
from common.experiment.outcome import RunFailed, writing

# Beside the versions of a data set; whoever holds the set's lock may remove it.
STAGING = f"{UNFINISHED}preparing"
Show = Callable[[str], None]


class _Task(NamedTuple):
    """One part of a data set that is to be prepared."""

    name: str
    builder: Any
    root: Path
    final: Path
    staging: Path
    manual_dir: str


def prepare(name: str, *, manual_dir: str, data_dir: str, show: Show) -> None:
    """Prepares a data set, or all its parts, as ArrayRecord.

    A part appears in the data folder by a single rename, when it is complete. What is there already
    is checked by its hashes and left alone.

    Args:
        name: Such as `mnist`, `office31` for all its parts, or `office31/amazon`.
        manual_dir: Where the files lie that a person has to get; empty for none.
        data_dir: The data folder; empty for the default of TFDS.
        show: Shows a line. Whatever else is printed meanwhile is kept silent, so it has to hold on
            to the stream that it writes to; it is called from another thread, too.

    Raises:
        ValueError: An unknown name, or a manual folder that lacks something; a note on the error
            holds the instructions of the builder.
        RunFailed: Another process prepares this set, a package or the network is missing, the disk
            is full, or the builder failed.
    """
    manual = os.path.expanduser(manual_dir)
    if manual and not os.path.isdir(manual):
        raise ValueError(f"--manual_dir is {manual_dir!r}, which is no folder")
    parsed, root = parse_name(name), resolve_data_dir(data_dir)
    builder_class, configs = find_builder(parsed)
    with lock.hold([root / parsed.set]):
        staging = root / parsed.set / STAGING
        for config in configs:
            with _emptied(staging):
                with _without_warnings():
                    builder = builder_class(data_dir=str(staging), config=config or None)
                final = root / Path(builder.data_dir).relative_to(staging)
                own = final.parent.relative_to(root).as_posix()
                _prepare_one(_Task(own, builder, root, final, staging, manual), show)


@contextlib.contextmanager
def _emptied(staging: Path) -> Iterator[None]:
    """Removes what a killed preparation left behind, and whatever is left of this one."""
    with writing(staging):
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps TFDS from warning of parts that its builders make by their name."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _prepare_one(task: _Task, show: Show) -> None:
    if task.final.exists():
        found = describe(task.root, task.final, hashes=True)
        if not found.problem and found.file_format != FORMAT:
            raise RunFailed(
                f"{task.name} is there as {found.file_format}, and only {FORMAT} is read here: "
                f"remove {task.final} or give another --data_dir"
            )
        if not found.problem:
            show(f"{_summary(found)}: finished before, its files are unchanged")
            return
        show(f"{task.name} in {task.final} is damaged ({found.problem}): preparing it again")
    show(f"{task.name}: preparing it in {task.final}")
    _build(task, show)
    built = Path(task.builder.data_dir)
    with writing(task.final):
        _count_records(built, task)
        _write_checksums(built)
        _publish(task, built)
    show(f"{_summary(describe(task.root, task.final))}: finished")


def _build(task: _Task, show: Show) -> None:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    # Ten tries to connect take three minutes and print a line each; five take six seconds.
    downloader.MAX_RETRIES = 5
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    downloads = task.root / "downloads"
    for left in (downloads / task.builder.name).rglob("*.tmp.*"):
        shutil.rmtree(left, ignore_errors=True)
    manual = task.manual_dir or downloads / "manual"
    try:
        with (
            reporting(task.name, task.builder, [downloads / task.builder.name, task.staging], show),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            task.builder.download_and_prepare(
                file_format=FORMAT,
                download_dir=str(downloads),
                download_config=tfds.download.DownloadConfig(
                    manual_dir=str(manual), try_download_gcs=False
                ),
            )
    except Exception as error:
        instructions = task.builder.MANUAL_DOWNLOAD_INSTRUCTIONS or ""
        raise explain(error, task.name, task.root, instructions) from error
    finally:
        for folder in (downloads / "extracted", downloads):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _count_records(folder: Path, task: _Task) -> None:
    """Refuses files that hold less than was written into them."""
    for split in task.builder.info.splits.values():
        for file, count in zip(split.filepaths, split.shard_lengths, strict=True):
            if (found := count_records(folder / file.name)) != count:
                raise RunFailed(
                    f"{task.name}: {file.name} holds {found} of {count} records; is the disk full?"
                )


def _write_checksums(folder: Path) -> None:
    files = sorted(own for own in folder.iterdir() if own.is_file() and own.name != CHECKSUMS)
    sums = {own.name: {"bytes": own.stat().st_size, "sha256": sha256(own)} for own in files}
    partial = folder / f"{CHECKSUMS}.partial"
    partial.write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / CHECKSUMS)


def _publish(task: _Task, built: Path) -> None:
    """Moves a finished part to its place, and what it replaces out of the way."""
    task.final.parent.mkdir(parents=True, exist_ok=True)
    if task.final.exists():
        task.final.replace(task.staging / "replaced")
    built.replace(task.final)
    # TFDS keeps the name of the usual part here.
    common = task.staging / task.builder.name / ".config"
    if common.is_dir():
        shutil.copytree(common, task.root / task.builder.name / ".config", dirs_exist_ok=True)


def _summary(found: PreparedSet) -> str:
    counts = ", ".join(f"{split} {count:,}" for split, count in found.splits.items())
    size = found.num_bytes / 2**20
    return f"{found.name} {found.version} ({counts}; {size:,.1f} MiB in {found.folder})"
