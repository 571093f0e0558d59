"""Runs that learn features and no prediction: what they are judged by in the place of accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.experiment.reporting.cell import align, escape, markdown_table
from common.experiment.reporting.grouping import rows_of
from common.experiment.reporting.row import values_of
from common.experiment.reporting.run_record import Run

TITLE = "pretraining without labels"
EXPLANATION = (
    "Means over seeds at the last step, of validation pictures. These runs learn no prediction, "
    "so they have no accuracy; rows that start from them do."
)


def describe_pretraining(group: Sequence[Run]) -> list[dict[str, Any]]:
    """Summarizes the rows of a task that predict nothing.

    Args:
        group: Its finished runs of the state `pretraining`.

    Returns:
        `name`, `n` and `judged_by` of each row: means by measure, such as
        `target_val_reconstruction_mse`.
    """
    rows = []
    for name, runs in rows_of(group)[0].items():
        first = next(iter(runs.values())).result
        measures = tuple(map(str, first["judged_by"]))
        keys = [key for key in first["selections"]["last"] if key.endswith(measures)]
        found = {key: list(values_of(runs, "last", key).values()) for key in keys}
        means = {key: float(np.mean(values)) for key, values in found.items() if values}
        rows.append({"name": name, "n": len(runs), "judged_by": means})
    return rows


def _table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Shows the rows of a task."""
    keys = list(dict.fromkeys(key for row in rows for key in row["judged_by"]))
    cells = [
        [row["name"], str(row["n"])] + [f"{own[key]:.4g}" if key in own else "" for key in keys]
        for row in rows
        for own in (row["judged_by"],)
    ]
    return [["row", "seeds", *keys], *cells]


def show_pretraining(task: Mapping[str, Any]) -> list[str]:
    """Writes a task's rows for a terminal.

    Args:
        task: `experiment`, `task`, and `rows` from `describe_pretraining`.

    Returns:
        Lines.
    """
    return [f"{task['experiment']}: {task['task']}, {TITLE}", "", *align(_table(task["rows"])), ""]


def write_pretraining(task: Mapping[str, Any]) -> list[str]:
    """Writes a task's rows.

    Args:
        task: `experiment`, `task`, and `rows` from `describe_pretraining`.

    Returns:
        Lines of Markdown.
    """
    header, *cells = _table(task["rows"])
    title = f"## {escape(task['experiment'])}: {escape(task['task'])}, {TITLE}"
    return [title, "", EXPLANATION, "", *markdown_table(header, cells)]
