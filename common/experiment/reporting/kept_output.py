"""What runs kept of their outputs for the figures, read with tolerance."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from common.experiment.reporting.calibration_figure import ARRAYS, has_logits
from common.experiment.reporting.run_record import RunsBySeed

FILE = "outputs.npz"


def load_arrays(path: Path, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads a file of arrays.

    Args:
        path: An `outputs.npz`.
        names: Those to read, where they are there; all if empty.

    Returns:
        Arrays by name.

    Raises:
        ValueError: The file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return {name: arrays[name] for name in names or arrays if name in arrays}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise ValueError(f"{path.parent.name}/{path.name} cannot be read") from None


def shared_outputs(rows: Mapping[str, RunsBySeed]) -> tuple[int, dict[str, dict[str, np.ndarray]]]:
    """Reads the outputs of one seed.

    Args:
        rows: Runs by seed, by row.

    Returns:
        The first seed for which all rows have outputs, and these by row.

    Raises:
        ValueError: There is no such seed, or a file cannot be read.
    """
    for seed in sorted(set.intersection(*(set(runs) for runs in rows.values()))):
        paths = {name: runs[seed].folder / FILE for name, runs in rows.items()}
        if all(path.is_file() for path in paths.values()):
            return seed, {name: load_arrays(path) for name, path in paths.items()}
    raise ValueError(f"there is no seed for which {' and '.join(rows)} have {FILE}")


def logits_of(rows: Mapping[str, RunsBySeed]) -> dict[str, list[dict[str, np.ndarray]]]:
    """Reads the logits that runs kept.

    Args:
        rows: Runs by seed, by row.

    Returns:
        By row, the arrays of those runs that have logits and a whole file.
    """
    kept: dict[str, list[dict[str, np.ndarray]]] = {}
    for name, runs in rows.items():
        for run in runs.values():
            try:
                arrays = load_arrays(run.folder / FILE, ARRAYS)
            # A file that is not whole is told of by the figures of single examples.
            except ValueError:
                continue
            if has_logits(arrays):
                kept.setdefault(name, []).append(arrays)
    return kept
