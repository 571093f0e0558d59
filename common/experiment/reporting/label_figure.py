"""The report's figure of accuracy against the number of labelled target examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from common.experiment.reporting.figure_style import FAINT_INK, INK, make_figure, styled
from common.experiment.reporting.label_budget import write_budget

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READING = (
    "Lines are means over seeds at the last step, bands 95 % intervals; dashed lines are rows that "
    "are given no label of the target. Where a line passes below that of train_on_target, what was "
    "learned before does harm."
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
    legend_lines = -(-len(labels["lines"]) // 4)
    figure = make_figure(4.6 + 0.22 * legend_lines, title)
    axes = figure.subplots()
    for name, own in labels["lines"].items():
        points = {key: entry for key, entry in own.items() if entry["mean"] is not None}
        if "0" in points:
            mean, places, style = points["0"], [-0.25, len(budgets) - 0.75], (0, (4, 2))
            entries = [mean, mean]
        else:
            places, style = [place[key] for key in points], "-"
            entries = list(points.values())
        percent = [100 * entry["mean"] for entry in entries]
        marker = "" if "0" in points else "o"
        axes.plot(
            *(places, percent),
            color=colors[name],
            linestyle=style,
            marker=marker,
            markersize=4.5,
            linewidth=1.8,
            label=name,
        )
        ends = [entry["ci95"] or (entry["mean"], entry["mean"]) for entry in entries]
        low, high = ([100 * end[index] for end in ends] for index in (0, 1))
        axes.fill_between(places, low, high, color=colors[name], alpha=0.1, linewidth=0)
    axes.set_xticks(range(len(budgets)), [write_budget(own, labels) for own in budgets], color=INK)
    axes.set_xlabel("labelled target examples of each class")
    axes.set_ylabel("accuracy on the target's test pictures, %", color=FAINT_INK)
    axes.grid(axis="y")
    figure.legend(loc="outside lower center", ncols=4)
    return figure
