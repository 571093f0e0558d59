"""The figure of label-free scores against the accuracy that they stand for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.experiment.reporting.figure_style import (
    FAINT_INK,
    colors_of,
    legend_columns,
    make_figure,
    styled,
)
from common.experiment.reporting.grouping import method_of
from common.experiment.reporting.run_record import is_number
from common.experiment.statistics import rank_correlation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READING = (
    "A dot is a checkpoint of a run: what a score, which sees no target label, says of it, and how "
    "often it is right on the target's test examples. Above a panel is Spearman's rank correlation "
    "over all dots; for scores of which less is better it should be negative. The accuracy is read "
    "for this figure alone."
)
SCORE = "score/"
ACCURACY = "oracle/target_test_accuracy"
COLUMNS, MAX_SCORES, MAX_DOTS, MAX_ROWS = 3, 18, 400, 20

# By score, by row, pairs of score and accuracy.
Pairs = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]


def pairs_of(records: Mapping[str, Iterable[Sequence[Mapping[str, Any]]]]) -> Pairs:
    """Collects scores and accuracies of the same evaluations.

    Args:
        records: By row, the records of each run.

    Returns:
        By score, by row, pairs of score and accuracy; scores without two pairs are left out.
    """
    pairs: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row, runs in records.items():
        for record in (own for run in runs for own in run):
            accuracy = record.get(ACCURACY)
            for name, value in record.items() if is_number(accuracy) else ():
                if name.startswith(SCORE) and is_number(value):
                    own = pairs.setdefault(name.removeprefix(SCORE), {}).setdefault(row, [])
                    own.append((float(value), float(accuracy or 0)))
    return {
        score: rows for score, rows in sorted(pairs.items()) if sum(map(len, rows.values())) > 1
    }


@styled
def score_against_accuracy(pairs: Pairs, colors: Mapping[str, str], *, title: str) -> Figure:
    """Shows one panel a score.

    Args:
        pairs: From `pairs_of`.
        colors: By row, from `colors_of`.
        title: Above the figure.

    Returns:
        The figure; of more than `MAX_ROWS` rows, those of one method have one colour. Of more
        checkpoints than `MAX_DOTS` in a panel, evenly spaced ones are drawn, while the correlation
        is that of all.

    Raises:
        ValueError: There is no score.
    """
    if not pairs:
        raise ValueError("no record has a score and a target test accuracy")
    if len({row for own in pairs.values() for row in own}) > MAX_ROWS:
        pairs = _by_method(pairs)
        colors = colors_of(dict.fromkeys(map(method_of, colors)))
    shown = dict(list(pairs.items())[:MAX_SCORES])
    if len(shown) < len(pairs):
        title += f", first {len(shown)} of {len(pairs)} scores"
    rows = [row for row in colors if any(row in own for own in shown.values())]
    columns = legend_columns(rows)
    lines, legend_lines = math.ceil(len(shown) / COLUMNS), math.ceil(len(rows) / columns)
    figure = make_figure(0.9 + 2.2 * lines + 0.2 * legend_lines, title)
    grid = figure.subplots(lines, COLUMNS, squeeze=False, sharey=True).ravel()
    for axes in grid[len(shown) :]:
        axes.remove()
    for axes, (score, own) in zip(grid, shown.items(), strict=False):
        every = [pair for points in own.values() for pair in points]
        step = math.ceil(len(every) / MAX_DOTS)
        for row, points in own.items():
            places = np.asarray(points[::step])
            axes.scatter(
                places[:, 0], 100 * places[:, 1], s=9, color=colors[row], alpha=0.55, linewidths=0
            )
        found = rank_correlation(*zip(*every, strict=True))
        said = "-" if found is None else f"{found:+.2f}".replace("-", "−")
        # The longest name is wider than its panel.
        size = 8.5 if len(score) < 32 else 7
        axes.set_title(f"{score}\nrank correlation {said}", fontsize=size)
        axes.grid()
        axes.locator_params(axis="x", nbins=4)
        axes.tick_params(labelsize=8)
    figure.supylabel("target accuracy, %", fontsize=9, color=FAINT_INK)
    handles = [figure.axes[0].plot([], [], "o", color=colors[row], markersize=5)[0] for row in rows]
    figure.legend(handles, rows, loc="outside lower center", ncols=columns)
    return figure


def _by_method(pairs: Pairs) -> Pairs:
    """Puts the rows of one method together: more rows than colours cannot be told apart."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for score, rows in pairs.items():
        for row, points in rows.items():
            found.setdefault(score, {}).setdefault(method_of(row), []).extend(points)
    return found
