"""The report's figure of several tasks together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.experiment.reporting.across import CHOSEN
from common.experiment.reporting.cell import shorten
from common.experiment.reporting.figure_style import (
    FAINT_INK,
    INK,
    LINE,
    legend_columns,
    make_figure,
    styled,
)
from common.experiment.reporting.grouping import method_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READING = (
    "A line is a task, a dot the mean over seeds of one row at the last step; thin lines join "
    "source_only and dann. Below is the average over the tasks."
)


@styled
def accuracy_by_task(
    accuracy: Mapping[str, Sequence[float]],
    tasks: Sequence[str],
    colors: Mapping[str, str],
    *,
    title: str,
) -> Figure:
    """Shows each row's accuracy in every task, and its average.

    Args:
        accuracy: By row, accuracy in [0, 1] of each task.
        tasks: Names of the tasks.
        colors: By row, from `colors_of`.
        title: Above the figure.

    Returns:
        The figure.

    Raises:
        ValueError: No row is there in all tasks.
    """
    if not accuracy:
        raise ValueError("no row is there in all tasks")
    columns = legend_columns(accuracy)
    legend_lines = -(-len(accuracy) // columns)
    figure = make_figure(1.25 + 0.3 * (len(tasks) + 1.6) + 0.22 * legend_lines, title)
    axes = figure.subplots()
    places = [*range(len(tasks)), len(tasks) + 0.6]
    drawn = {name: 100 * np.asarray([*own, np.mean(own)]) for name, own in accuracy.items()}
    # Rows that are equal in a task would hide one another.
    shifts = np.linspace(-0.13, 0.13, len(drawn)) if len(drawn) > 1 else np.zeros(1)
    shift_of = dict(zip(drawn, shifts, strict=True))
    joined = [name for name in drawn if name.removesuffix(CHOSEN) in ("source_only", "dann")]
    if len(joined) == 2:
        beside = [shift_of[name] for name in joined]
        for place, *ends in zip(places, *(drawn[name] for name in joined), strict=True):
            axes.plot(ends, np.add(beside, place), color=LINE, linewidth=1.2, zorder=1)
    for name, percent in drawn.items():
        form = "D" if method_of(name) == "train_on_target" else "o"
        style = {"color": colors[name], "linewidths": 0.8, "edgecolors": "white"}
        heights = np.add(places, shift_of[name])
        axes.scatter(percent[:-1], heights[:-1], s=42, marker=form, zorder=2, **style)
        axes.scatter(percent[-1:], heights[-1:], s=90, marker=form, zorder=2, label=name, **style)
    axes.axhline(len(tasks) - 0.2, color=LINE, linewidth=0.9)
    axes.set_yticks(places, [*shorten(tasks), "average"], color=INK)
    axes.set_ylim(places[-1] + 0.5, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("accuracy on the target's test examples, %", color=FAINT_INK)
    figure.legend(loc="outside lower center", ncols=columns)
    return figure
