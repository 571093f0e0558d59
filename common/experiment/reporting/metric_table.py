"""Metrics beside the accuracy: what runs keep of whole splits, averaged over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.experiment.reporting.cell import markdown_table, write_percent
from common.experiment.reporting.run_record import RunsBySeed, is_number, part_of

# Shown in this order where a run has them; those of the second group are no shares of examples.
IN_PERCENT = {
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "average_precision": "average precision",
    "roc_auc": "ROC-AUC",
    "calibration_error": "calibration error",
}
AS_NUMBERS = {"brier_score": "Brier score"}
# Macro precision and recall stand in `results.csv` alone.
SHOWN = tuple(
    name for name in (*IN_PERCENT, *AS_NUMBERS) if name not in ("macro_precision", "macro_recall")
)
# Columns of `results.csv`, of the target's test examples.
IN_CSV = (*IN_PERCENT, *AS_NUMBERS, "mse", "rmse", "mae", "r2")
COLUMNS = tuple(f"target_test_{name}" for name in IN_CSV)


def metrics_of(chosen: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Returns the metrics that a run keeps of a selection.

    Args:
        chosen: A selection of `result.json`.

    Returns:
        Numbers by split and name; empty for results that have none.
    """
    splits = part_of(chosen, "metrics", dict) | part_of(chosen, "oracle/metrics", dict)
    return {
        split: {name: float(value) for name, value in own.items() if is_number(value)}
        for split, own in splits.items()
        if isinstance(own, dict)
    }


def mean_metrics(runs: RunsBySeed, selection: str) -> dict[str, dict[str, float]]:
    """Averages the metrics of a row.

    Args:
        runs: Its runs by seed.
        selection: Name of the selection.

    Returns:
        Means over the seeds by split and name, of those that all seeds have.
    """
    found = [metrics_of(run.result["selections"].get(selection, {})) for run in runs.values()]
    means: dict[str, dict[str, float]] = {}
    for split in found[0] if found else ():
        own = [values.get(split, {}) for values in found]
        shared = set.intersection(*map(set, own))
        means[split] = {
            name: float(np.mean([values[name] for values in own])) for name in sorted(shared)
        }
    return means


def csv_cells(chosen: Mapping[str, Any]) -> list[float | None]:
    """Returns what `results.csv` holds of a selection under `COLUMNS`.

    Args:
        chosen: A selection of `result.json`.

    Returns:
        One number a column, None where it has none.
    """
    target = metrics_of(chosen).get("target_test", {})
    return [target.get(name) for name in IN_CSV]


def write_metrics(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Writes the metrics of the target's test examples at the last step.

    Args:
        rows: Rows of one task.

    Returns:
        Lines of Markdown; none where no run has metrics.
    """
    tested = [row["metrics"].get("target_test", {}) for row in rows]
    names = [name for name in SHOWN if any(name in own for own in tested)]
    if not names:
        return []
    header = ["method", *((IN_PERCENT | AS_NUMBERS)[name] for name in names)]
    header += ["source test accuracy"]
    table = []
    for row, own in zip(rows, tested, strict=True):
        cells = [
            write_percent(own.get(name))
            if name in IN_PERCENT
            else f"{own[name]:.3f}"
            if name in own
            else "-"
            for name in names
        ]
        on_source = row["metrics"].get("source_test", {}).get("accuracy")
        table.append([row["name"], *cells, write_percent(on_source)])
    return [
        "### Other metrics of the target's test examples",
        *markdown_table(header, table),
        "Means over seeds at the last step, in percent but for the Brier score; over classes, each "
        "counts equally. Of the calibration error and the Brier score less is better.",
        "",
    ]
