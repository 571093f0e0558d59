"""Tasks whose primary metric is no accuracy: their rows, in the units of the metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.experiment import statistics
from common.experiment.reporting.cell import align, escape, markdown_table
from common.experiment.reporting.grouping import method_of, reference_of, rows_of, with_same_data
from common.experiment.reporting.metric_table import mean_metrics
from common.experiment.reporting.row import values_of
from common.experiment.reporting.run_record import Run, primary_of

TITLES = {"rmse": "RMSE", "macro_f1": "macro F1"}
# Shown beside the primary metric where a run has them.
OTHERS = {
    **{"rmse": "RMSE", "mse": "MSE", "mae": "mean absolute error", "r2": "R²"},
    **{"average_precision": "average precision", "roc_auc": "ROC-AUC"},
    **{"macro_precision": "macro precision", "macro_recall": "macro recall"},
    **{"calibration_error": "calibration error"},
}


def measure_task(group: Sequence[Run]) -> dict[str, Any]:
    """Summarizes the rows of a task at the last step.

    Args:
        group: Its finished runs.

    Returns:
        `metric`, `higher_is_better` and `rows`: a mean over seeds with its interval, the paired
        difference from `source_only`, `negative_transfer`, the metric on the source's validation
        examples, and the means of other metrics.
    """
    metric = primary_of(group[0].result)
    higher = bool(group[0].result["primary_metric"].get("higher_is_better"))
    members, _ = rows_of(group)
    key, rows = f"oracle/target_test_{metric}", []
    for name, runs in members.items():
        found = values_of(runs, "last", key)
        base = reference_of(name, "source_only", members)
        difference = None
        if base is not None and base != name:
            others = values_of(with_same_data(members[base], runs), "last", key)
            difference = statistics.paired_difference(found, others)
        worse = None
        if difference and difference.ci95:
            low, high = difference.ci95
            worse = high < 0 if higher else low > 0
        values = list(found.values())
        on_source = list(values_of(runs, "last", f"source_val_{metric}").values())
        rows.append(
            {
                "name": name,
                "method": method_of(name),
                "n": len(values),
                "target": {
                    "mean": float(np.mean(values)),
                    "sd": statistics.standard_deviation(values),
                    "ci95": statistics.confidence_interval(values),
                    "values": values,
                    "seeds": list(found),
                },
                "difference_from_source_only": difference and difference._asdict(),
                "negative_transfer": worse,
                "source_val": float(np.mean(on_source)) if on_source else None,
                "metrics": mean_metrics(runs, "last"),
            }
        )
    rows.sort(key=lambda row: row["target"]["mean"], reverse=higher)
    return {"metric": metric, "higher_is_better": higher, "rows": rows}


def measured_table(task: Mapping[str, Any]) -> list[list[str]]:
    """Shows the rows of a task.

    Args:
        task: From `measure_task`.

    Returns:
        The header and a line a row, the best first.
    """
    title = TITLES.get(task["metric"], task["metric"])
    tested = [row["metrics"].get("target_test", {}) for row in task["rows"]]
    names = [
        name for name in OTHERS if name != task["metric"] and any(name in own for own in tested)
    ]
    header = ["method", "seeds", f"target {title}", "sd", "minus source_only", f"source {title}"]
    cells = []
    for row, own in zip(task["rows"], tested, strict=True):
        line = [row["name"], str(row["n"]), _with_interval(row["target"])]
        line += [_number(row["target"]["sd"]), _with_interval(row["difference_from_source_only"])]
        line += [_number(row["source_val"])]
        cells.append(line + [_number(own.get(name)) for name in names])
    return [[*header, *(OTHERS[name] for name in names)], *cells]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _with_interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    ends = ", ".join(map(_number, found["ci95"] or ()))
    return _number(found["mean"]) + (f" [{ends}]" if ends else "")


def remarks_on_measured(task: Mapping[str, Any]) -> list[str]:
    """Says what must be known beside the table.

    Args:
        task: From `measure_task`.

    Returns:
        Sentences without a full stop.
    """
    better = "more" if task["higher_is_better"] else "less"
    title = TITLES.get(task["metric"], task["metric"])
    remarks = [
        f"Of {title} {better} is better; means over seeds at the last step on the target's test "
        "examples, with the 95 % interval from three seeds on; source: its validation examples"
    ]
    worse = [row["name"] for row in task["rows"] if row["negative_transfer"]]
    return remarks + ([f"Negative transfer: {', '.join(worse)}"] if worse else [])


def write_measured(task: Mapping[str, Any]) -> list[str]:
    """Writes a task as Markdown.

    Args:
        task: From `measure_task`, with its names.

    Returns:
        Lines.
    """
    header, *cells = measured_table(task)
    lines = [f"## {escape(task['experiment'])}: {escape(task['task'])}", ""]
    return [*lines, *markdown_table(header, cells), *map(_sentence, remarks_on_measured(task)), ""]


def _sentence(text: str) -> str:
    return f"{escape(text)}.  "


def show_measured(task: Mapping[str, Any]) -> list[str]:
    """Writes a task for a terminal.

    Args:
        task: From `measure_task`, with its names.

    Returns:
        Lines, without the metrics beside the primary one.
    """
    table = [line[:6] for line in measured_table(task)]
    lines = [f"{task['experiment']}: {task['task']}", "", *align(table)]
    return [*lines, *remarks_on_measured(task), ""]
