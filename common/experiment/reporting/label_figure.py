"""The report's figure of accuracy against the number of labelled target examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from common.experiment.reporting.figure_style import (
    FAINT_INK,
    INK,
    legend_columns,
    make_figure,
    styled,
)
from common.experiment.reporting.label_budget import write_budget

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READING = (
    "Lines are means over seeds at the last step, bars and bands 95 % intervals; dashed lines are "
    "rows that are given no label of the target. Where a line passes below that of "
    "train_on_target, what was learned before does harm."
)


@styled
def accuracy_by_labels(
    labels: Mapping[str, Any], colors: Mapping[str, str], *, title: str
) -> Figure:
    """Shows each row's accuracy by its number of labelled target examples.

    Args:
        labels: What `label_budget.label_budgets` returns.
        colors: By line.
        title: Above the figure.

    Returns:
        The figure.
    """
    budgets = [budget for budget in labels["budgets"] if budget]
    place = {f"{budget:g}": index for index, budget in enumerate(budgets)}
    columns = legend_columns(labels["lines"])
    legend_lines = -(-len(labels["lines"]) // columns)
    figure = make_figure(4.6 + 0.22 * legend_lines, title)
    axes = figure.subplots()
    shown = [name for name, own in labels["lines"].items() if "0" not in own]
    # Side by side, lines that are nearly equal hide no interval of one another.
    shifts = dict(zip(shown, np.linspace(-0.16, 0.16, len(shown)), strict=True))
    for name, own in labels["lines"].items():
        keys = sorted((key for key in own if own[key]["mean"] is not None), key=float)
        points = {key: own[key] for key in keys}
        percent = [100 * entry["mean"] for entry in points.values()]
        ends = [entry["ci95"] or (entry["mean"], entry["mean"]) for entry in points.values()]
        low, high = (np.asarray([100 * end[index] for end in ends]) for index in (0, 1))
        style = {"color": colors[name], "linewidth": 1.6, "label": name}
        if "0" in points:
            across = [-0.4, len(budgets) - 0.6]
            axes.plot(across, percent[:1] * 2, linestyle=(0, (4, 2)), zorder=1, **style)
            axes.fill_between(across, low[0], high[0], color=colors[name], alpha=0.1, linewidth=0)
            continue
        errors = np.stack([percent - low, high - percent])
        places = [place[key] + shifts[name] for key in points]
        axes.errorbar(places, percent, errors, marker="o", markersize=4.5, elinewidth=1.2, **style)
    axes.set_xticks(range(len(budgets)), [write_budget(own, labels) for own in budgets], color=INK)
    axes.set_xlabel("labelled target examples of each class")
    axes.set_ylabel("accuracy on the target's test examples, %", color=FAINT_INK)
    axes.grid(axis="y")
    figure.legend(loc="outside lower center", ncols=columns)
    return figure
