"""Files of JSON, written whole or not at all, and files of one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.experiment.outcome import UsageError, writing
from common.experiment.output_file import replacing
from common.training import process


def as_json(value: Any) -> Any:
    """Makes a value representable in JSON; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all.

    Args:
        path: Where to.
        value: Anything that `as_json` takes.

    Raises:
        RunFailed: The file system refuses it; what was there stays.
    """
    _write_whole(path, [json.dumps(as_json(value), indent=1, sort_keys=True) + "\n"])


def _write_whole(path: Path, lines: Iterable[str]) -> None:
    """Writes a file beside its place and then moves it there."""
    if not process.is_first():
        return
    with replacing(path) as temporary:
        temporary.write_text("".join(lines))


def read_json(path: Path) -> dict[str, Any]:
    """Reads what `write_json` wrote.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        UsageError: The file holds none: somebody else wrote it, or the disk lost it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); delete it to begin anew") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds no object; delete it to begin anew")
    return value


def append_records(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Adds lines to a file of one JSON object a line.

    Args:
        path: The file.
        records: One mapping a line.

    Raises:
        RunFailed: The file system refuses it; what was there stays, and half a line after it is
            cut when the run is resumed.
    """
    if not process.is_first():
        return
    with writing(path), path.open("a") as file:
        for record in records:
            file.write(json.dumps(as_json(record), sort_keys=True) + "\n")


def cut_records(path: Path, last_step: int) -> list[dict[str, Any]]:
    """Cuts a file of records back to a step, so that a resumed run writes the rest anew.

    Args:
        path: The file; it may be missing, or end in half a line.
        last_step: Records of later steps are dropped.

    Returns:
        The records that are left.
    """
    kept: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                break
            if record["step"] > last_step:
                break
            kept.append(record)
        _write_whole(path, (json.dumps(record, sort_keys=True) + "\n" for record in kept))
    return kept
