"""The report's figures of numbers: each is a function from plain data to a Matplotlib figure."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Num

from common.experiment.reporting.figure_style import (
    FAINT_INK,
    INK,
    LINE,
    fold_title,
    legend_columns,
    make_figure,
    styled,
    write,
)
from common.experiment.reporting.rule_figure import ORACLE, rule_style, shown_rules
from common.experiment.statistics import (
    class_shares,
    confidence_interval,
    finite_mean,
    paired_difference,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MAX_CURVES = 8


MAX_NUMBERED_CLASSES = 12


MAX_NAMED_CLASSES = 20  # beside a confusion matrix


@styled
def accuracy_by_method(
    accuracy: Mapping[str, Mapping[int, float]], colors: Mapping[str, str], *, title: str
) -> Figure:
    """Shows each row's accuracy: the mean, its interval, and every single seed.

    Args:
        accuracy: Accuracy in [0, 1] by seed, by row, in the order of the rows.
        colors: By row, from `colors_of`.
        title: Above the figure.

    Returns:
        The figure. The dots of one seed in `source_only` and `dann` are joined.
    """
    figure = make_figure(1.25 + (0.72 if len(accuracy) < 7 else 0.56) * len(accuracy), title)
    axes = figure.subplots()
    seeds = sorted({seed for values in accuracy.values() for seed in values})
    # A seed has the same place in every row, so that lines between rows are easy to follow.
    shift = dict(zip(seeds, 0.27 + np.linspace(-0.09, 0.09, len(seeds)), strict=True))
    baseline = accuracy.get("source_only", {})
    if "dann" in accuracy:
        places = [list(accuracy).index(name) for name in ("source_only", "dann") if baseline]
        for seed in sorted(accuracy["dann"].keys() & baseline.keys()):
            ends = [100 * baseline[seed], 100 * accuracy["dann"][seed]]
            axes.plot(ends, np.add(places, shift[seed]), color=LINE, linewidth=0.7, zorder=1)

    for place, (name, values) in enumerate(accuracy.items()):
        color, percent = colors[name], [100 * value for value in values.values()]
        heights = [place + shift[seed] for seed in values]
        axes.scatter(percent, heights, s=18, color=color, alpha=0.5, linewidths=0, zorder=2)
        mean, interval = float(np.mean(percent)), confidence_interval(percent)
        if interval:
            axes.plot(interval, [place] * 2, color=color, linewidth=3.5, zorder=3)
        axes.plot(mean, place, "o", color=color, markersize=10, markeredgecolor="white", zorder=4)
        half = f" ± {(interval[1] - interval[0]) / 2:.1f}" if interval else ""
        note = f"{len(values)} seeds" if len(values) > 1 else "one seed"
        difference = paired_difference(values, baseline)
        if difference and name != "source_only":
            note = f"{_signed(difference.mean)} points" + _bracketed(difference.ci95)
        beside = functools.partial(write, axes, (1.02, place), ("axes fraction", "data"))
        beside(f"{mean:.1f}{half} %", (0, 1), weight="bold")
        beside(note, (0, -3), va="top", fontsize=8, color=FAINT_INK)
    axes.set_yticks(range(len(accuracy)), list(accuracy), fontsize=10.5, color=INK)
    axes.set_ylim(len(accuracy) - 0.4, -0.4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("accuracy on the target's test examples, %")
    return figure


def _signed(accuracy: float) -> str:
    return f"{100 * accuracy:+.1f}".replace("-", "−")


def _bracketed(interval: tuple[float, float] | None) -> str:
    return f" [{_signed(interval[0])}, {_signed(interval[1])}]" if interval else ""


@styled
def training_curves(
    curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    colors: Mapping[str, str],
    *,
    title: str,
    chosen: Mapping[str, Mapping[str, Sequence[float | int]]] | None = None,
) -> Figure:
    """Shows how the runs of each row went: the median and the middle half of the seeds.

    Args:
        curves: By row, the records of each run. The first eight rows are drawn.
        colors: By row, from `colors_of`.
        title: Above the figure.
        chosen: By row, by rule, the step that the rule chose in each run; marked at the median
            step on the curve of the target's accuracy.

    Returns:
        The figure; panels that no row has values for are left out.
    """
    panels = {
        "target test accuracy, %  (oracle)": ("oracle/target_test_accuracy", 100.0),
        "task loss in training": ("/task_loss", 1.0),
        "domain accuracy in training, %": ("/domain_accuracy", 100.0),
        "reversal strength": ("/reversal_strength", 1.0),
    }
    shown = dict(list(curves.items())[:MAX_CURVES])
    series = {
        panel: {
            name: found
            for name, runs in shown.items()
            if (found := _by_step(runs, ending, scale))[0].size
        }
        for panel, (ending, scale) in panels.items()
    }
    series = {panel: rows for panel, rows in series.items() if rows}
    if not series:
        raise ValueError("no record has a value to draw")
    lines = math.ceil(len(series) / 2)
    accuracy = next((rows for panel, rows in series.items() if panel.startswith("target")), {})
    given = chosen or {}
    rules = shown_rules([rule for name in accuracy for rule in given.get(name, {})])
    names = [name for name in shown if any(name in rows for rows in series.values())]
    entries = [*names, *(f"step of {rule}" for rule in rules)]
    columns = legend_columns(entries)
    legend_lines = math.ceil(len(entries) / columns)
    figure = make_figure(0.8 + 2.35 * lines + 0.2 * legend_lines, title)
    grid = figure.subplots(lines, min(2, len(series)), squeeze=False).ravel()
    for axes in grid[len(series) :]:
        axes.remove()
    handles, marks = {}, []
    for axes, (panel, rows) in zip(grid, series.items(), strict=False):
        for name, (steps, low, middle, high) in rows.items():
            color = colors[name]
            axes.fill_between(steps, low, high, color=color, alpha=0.16, linewidth=0)
            (handles[name],) = axes.plot(steps, middle, color=color, linewidth=1.8)
        axes.set_title(panel)
        axes.grid(axis="y")
        axes.margins(x=0.01)
        axes.locator_params(axis="x", nbins=5)
        if panel.startswith("task"):
            _use_log_scale(axes, rows.values())
        elif panel.startswith("domain"):
            axes.axhline(50, color=FAINT_INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            # The note sits in the legend, where no curve can run through it.
            axes.plot([], [], color=FAINT_INK, linewidth=0.9, linestyle=(0, (4, 3)), label="chance")
            axes.legend(loc="best", fontsize=8, labelcolor=FAINT_INK)
        elif panel.startswith("reversal"):
            axes.set_ylim(bottom=0)
        elif panel.startswith("target"):
            marks = _mark_choices(axes, rows, given, colors, rules)
    for axes in grid[max(0, len(series) - 2) : len(series)]:
        axes.set_xlabel("step")
    # Outside of the panels, where no curve can run through it.
    order = [*(handles[name] for name in names), *marks]
    figure.legend(order, entries, loc="outside lower center", ncols=columns)
    return figure


def _mark_choices(
    axes: Axes,
    rows: Mapping[str, tuple[np.ndarray, ...]],
    chosen: Mapping[str, Mapping[str, Sequence[float | int]]],
    colors: Mapping[str, str],
    rules: Sequence[str],
) -> list[Any]:
    """Marks where on its curve each rule took the weights of a row; returns a mark of each."""
    marks = []
    # Rules that take the same step stand inside of one another.
    sizes = np.linspace(10, 4, len(rules))
    for (rule, look), size in zip(rule_style(rules).items(), sizes, strict=True):
        hollow: dict[str, Any] = {"markerfacecolor": "white"} if rule == ORACLE else {}
        style: dict[str, Any] = {"marker": look["marker"], "linestyle": "", "markersize": size}
        for name, (steps, _, middle, _) in rows.items():
            if taken := chosen.get(name, {}).get(rule):
                nearest = int(np.argmin(np.abs(steps - np.median(taken))))
                place = (steps[nearest], middle[nearest])
                edge = INK if rule == ORACLE else "white"
                axes.plot(*place, **style, color=colors[name], markeredgecolor=edge, **hollow)
        marks += axes.plot([], [], **(style | {"markersize": 6}), color=FAINT_INK, **hollow)
    return marks


def _by_step(
    runs: Sequence[Sequence[Mapping[str, Any]]], ending: str, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns steps, lower quartiles, medians and upper quartiles over runs."""
    values: dict[int, list[float]] = {}
    for records in runs:
        for record in records:
            for name, value in record.items():
                if name.endswith(ending) and isinstance(value, int | float):
                    values.setdefault(int(record["step"]), []).append(scale * value)
    # Where a minority of the runs has a value, the median would jump to theirs.
    steps = [step for step in sorted(values) if 2 * len(values[step]) >= len(runs)]
    quartiles = [np.quantile(values[step], [0.25, 0.5, 0.75]) for step in steps]
    low, middle, high = np.reshape(quartiles, (len(steps), 3)).T
    return np.asarray(steps), low, middle, high


def _use_log_scale(axes: Axes, rows: Iterable[tuple[np.ndarray, ...]]) -> None:
    """Takes a logarithmic axis with plain numbers, where all values are positive."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    drawn = np.concatenate([np.concatenate(values) for _, *values in rows])
    if drawn.min() > 0:
        axes.set_yscale("log")
        few_decades = drawn.max() < 100 * drawn.min()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few_decades else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="y", which="minor", length=0)


@styled
def confusion(
    confusions: Mapping[str, Num[np.ndarray, "_ _ _"]], classes: Sequence[str], *, title: str
) -> Figure:
    """Shows which target classes are taken for which, side by side.

    Args:
        confusions: By row, counts `[seed, true class, predicted class]`; the first two are shown.
        classes: Names of the classes.
        title: Above the figure.

    Returns:
        The figure: shares of each true class in percent, averaged over seeds.
    """
    shown = dict(list(confusions.items())[:2])
    hits = {
        row: np.trace(counts, axis1=1, axis2=2) / counts.sum((1, 2))
        for row, counts in shown.items()
    }
    titles = {row: fold_title(f"{row}: {100 * hits[row].mean():.1f} % right") for row in shown}
    title_lines = max(own.count("\n") for own in titles.values())
    figure = make_figure(4.35 + 0.17 * title_lines, title)
    grid = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    longest = max(map(len, classes))
    image = None
    for axes, (row, counts) in zip(grid, shown.items(), strict=True):
        share = 100 * finite_mean(class_shares(counts))
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        axes.set_title(titles[row])
        axes.set_xlabel("predicted class")
        places = range(len(classes)) if len(classes) <= MAX_NAMED_CLASSES else range(0)
        names, size = [classes[i] for i in places], min(9.5, 170 / len(classes))
        axes.set_xticks(places, names, fontsize=size, rotation=90 if longest > 2 else 0)
        axes.set_yticks(places, names, fontsize=size)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if len(classes) <= MAX_NUMBERED_CLASSES:
            for (true, predicted), value in np.ndenumerate(share):
                if value >= 0.5:
                    color = "white" if value > 68 else INK
                    style = {"ha": "center", "va": "center", "fontsize": 7.5, "color": color}
                    axes.text(predicted, true, f"{value:.0f}", **style)
    grid[0].set_ylabel("true class")
    if image is not None:
        bar = figure.colorbar(image, ax=list(grid), shrink=0.75, aspect=28, pad=0.02)
        bar.set_label("% of the true class")
        bar.outline.set_visible(False)  # pyright: ignore
    return figure


@styled
def per_class_change(
    changes: Mapping[str, Float[np.ndarray, "_ _"]],
    classes: Sequence[str],
    colors: Mapping[str, str],
    *,
    title: str,
) -> Figure:
    """Shows how much each class gains or loses against source only.

    Args:
        changes: By row, change of the class's accuracy `[seed, class]`; NaN where the class does
            not occur. The first four rows are shown.
        classes: Names of the classes.
        colors: By row, from `colors_of`.
        title: Above the figure.

    Returns:
        The figure: mean and interval over seeds, in points.
    """
    shown = dict(list(changes.items())[:4])
    figure = make_figure(1.15 + (0.26 + 0.08 * len(shown)) * len(classes), title)
    axes = figure.subplots()
    shifts = np.linspace(-0.27, 0.27, len(shown)) if len(shown) > 1 else [0.0]
    for shift, (row, change) in zip(shifts, shown.items(), strict=True):
        color = colors[row]
        for place, values in enumerate(100 * change.T):
            values = values[np.isfinite(values)]
            if not values.size:
                continue
            mean, interval = float(values.mean()), confidence_interval(values.tolist())
            if interval:
                axes.plot(interval, [place + shift] * 2, color=color, linewidth=3, alpha=0.45)
            axes.plot(mean, place + shift, "o", color=color, markersize=7, markeredgecolor="white")
        axes.plot([], [], "o", color=color, label=row)
    axes.axvline(0, color=FAINT_INK, linewidth=1)
    axes.set_yticks(range(len(classes)), list(classes), color=INK)
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("change of the class's accuracy against source_only, points")
    if len(shown) > 1:
        figure.legend(loc="outside lower center", ncols=legend_columns(shown))
    return figure
