"""The report's figures: each is a function from plain data to a Matplotlib figure."""

from __future__ import annotations

import functools
import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Num

from common.experiment.statistics import (
    class_shares,
    confidence_interval,
    finite_mean,
    paired_difference,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palettes of Okabe and Ito and of Tol, told apart under all usual forms of colour blindness.
COLORS = {
    "source_only": "#7A828C",
    "source_only_blind": "#B4BAC1",
    "statistics_only": "#56B4E9",
    "dann": "#0072B2",
    "cdan": "#E69F00",
    "mcc": "#CC79A7",
    "mmd": "#882255",
    "coral": "#999933",
    "mcd": "#332288",
    "shot": "#D55E00",
    "train_on_both": "#66BFA4",
    "train_on_target": "#009E73",
}
OTHER_COLORS = ("#D55E00", "#882255", "#E69F00", "#332288", "#AA4499", "#999933", "#44AA99")
DOMAIN_COLORS = {"source": "#E69F00", "target": "#5E4FA2"}
DOMAIN_MARKERS = {"source": "o", "target": "^"}
INK, FAINT_INK, LINE, GRID = "#24292F", "#6B737C", "#C9CED4", "#EDF0F2"
WRONG = "#C4440C"
CLASS_COLORS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#9AA1A9"),
)

WIDTH = 8.0  # inches; at DPI this is the width at which a README shows a figure
DPI = 150
MAX_CURVES = 8
MAX_POINTS = 300  # a domain
MAX_NUMBERED_CLASSES = 12
MAX_NAMED_CLASSES = 20  # beside a confusion matrix

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    # Names of methods and classes are shown as they are, a dollar sign included.
    "text.parse_math": False,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": FAINT_INK,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": LINE,
    "xtick.labelcolor": FAINT_INK,
    "ytick.color": LINE,
    "ytick.labelcolor": FAINT_INK,
    "legend.frameon": False,
}

POINT: dict[str, Any] = {"alpha": 0.7, "linewidths": 0}
BELOW: dict[str, Any] = {
    **{"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "fontsize": 8},
    **{"handletextpad": 0.1, "columnspacing": 1.0},
}

Outputs = Mapping[str, np.ndarray]


def colors_of(rows: Iterable[str]) -> dict[str, str]:
    """Gives every row a colour, to be the same in all figures of a task.

    Args:
        rows: Names of all rows of the task, in order.

    Returns:
        Colours by row: a known method has always its own, the others take what is left in turn.
    """
    names = list(rows)
    taken = [COLORS[name] for name in names if name in COLORS]
    left = [color for color in OTHER_COLORS if color not in taken] or OTHER_COLORS
    turns = itertools.cycle(left)
    return {name: COLORS.get(name) or next(turns) for name in names}


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Makes a figure in the common style, whatever the caller's settings are."""

    @functools.wraps(draw)
    def styled(*args: Any, **kwargs: Any) -> Figure:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)  # pyright: ignore
            figure = draw(*args, **kwargs)
            # Ticks take the style when they are made, which is when they are first drawn.
            figure.draw_without_rendering()
        return figure

    return styled


def _make_figure(height: float, title: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # pyright: ignore
    figure.suptitle(textwrap.fill(title, 78), x=0.012, ha="left")
    return figure


@_styled
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
    figure = _make_figure(1.25 + (0.72 if len(accuracy) < 7 else 0.56) * len(accuracy), title)
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
        beside = functools.partial(_write, axes, (1.02, place), ("axes fraction", "data"))
        beside(f"{mean:.1f}{half} %", (0, 1), weight="bold")
        beside(note, (0, -3), va="top", fontsize=8, color=FAINT_INK)
    axes.set_yticks(range(len(accuracy)), list(accuracy), fontsize=10.5, color=INK)
    axes.set_ylim(len(accuracy) - 0.4, -0.4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("accuracy on the target's test pictures, %")
    return figure


def _write(
    axes: Axes, place: Sequence[Any], unit: Any, text: str, offset: Sequence[Any], **style: Any
) -> None:
    """Writes text beside a place, at a distance in points of 1/72 inch."""
    axes.annotate(
        text,
        tuple(place),
        xycoords=unit,
        xytext=tuple(offset),
        textcoords="offset points",
        annotation_clip=False,
        **style,
    )


def _signed(accuracy: float) -> str:
    return f"{100 * accuracy:+.1f}".replace("-", "−")


def _bracketed(interval: tuple[float, float] | None) -> str:
    return f" [{_signed(interval[0])}, {_signed(interval[1])}]" if interval else ""


@_styled
def training_curves(
    curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    colors: Mapping[str, str],
    *,
    title: str,
) -> Figure:
    """Shows how the runs of each row went: the median and the middle half of the seeds.

    Args:
        curves: By row, the records of each run. The first eight rows are drawn.
        colors: By row, from `colors_of`.
        title: Above the figure.

    Returns:
        The figure; panels that no row has values for are left out.
    """
    panels = {
        "target test accuracy, %  (oracle)": ("oracle/target_test_accuracy", 100.0),
        "task loss in training": ("train/task_loss", 1.0),
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
    figure = _make_figure(1.0 + 2.35 * lines, title)
    grid = figure.subplots(lines, min(2, len(series)), squeeze=False).ravel()
    for axes in grid[len(series) :]:
        axes.remove()
    handles = {}
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
    for axes in grid[max(0, len(series) - 2) : len(series)]:
        axes.set_xlabel("step")
    figure.legend(
        [handles[name] for name in shown if name in handles],
        [name for name in shown if name in handles],
        loc="outside lower center",
        ncols=min(4, len(handles)),
    )
    return figure


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


@_styled
def embedding(outputs: Mapping[str, Outputs], classes: Sequence[str], *, title: str) -> Figure:
    """Shows the features of two runs in two dimensions, by domain and by class.

    The two dimensions are t-SNE's, of standardised features with a fixed random state: near points
    are alike; sizes of clusters and distances between them mean nothing.

    Args:
        outputs: By row, the arrays of its run's `outputs.npz`; the first two rows are shown.
        classes: Names of the classes.
        title: Above the figure.

    Returns:
        The figure: a line of panels a row, domains on the left, classes on the right.

    References:
        L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008).
    """
    from matplotlib.lines import Line2D

    shown = dict(list(outputs.items())[:2])
    figure = _make_figure(0.75 + 3.3 * len(shown), title)
    grid = figure.subplots(len(shown), 2, squeeze=False)
    names = list(classes)[: len(CLASS_COLORS)]
    for (left, right), (row, arrays) in zip(grid, shown.items(), strict=True):
        points, is_target, label = _project(arrays)
        colors = np.asarray([(*CLASS_COLORS, LINE)[min(index, len(names))] for index in label])
        for domain, of_domain in (("source", ~is_target), ("target", is_target)):
            left.scatter(*points[of_domain].T, color=DOMAIN_COLORS[domain], s=11, **POINT)
            form: dict[str, Any] = {
                "marker": DOMAIN_MARKERS[domain],
                "s": 11 if domain == "source" else 15,
            }
            right.scatter(*points[of_domain].T, c=colors[of_domain].tolist(), **form, **POINT)
        left.set_title(f"{row}: by domain")
        right.set_title(f"{row}: by class")
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)

    def dot(color: str, marker: str = "o") -> Line2D:
        return Line2D([], [], color=color, marker=marker, linestyle="", markersize=6)

    grid[-1, 0].legend(list(map(dot, DOMAIN_COLORS.values())), DOMAIN_COLORS, **BELOW, ncols=2)
    entries = dict(zip(names, CLASS_COLORS, strict=False))
    entries |= {"other": LINE} if len(classes) > len(names) else {}
    handles = [*map(dot, entries.values()), *(dot(INK, m) for m in DOMAIN_MARKERS.values())]
    columns = 6 if max(map(len, entries)) < 4 else 3
    grid[-1, 1].legend(handles, [*entries, *DOMAIN_MARKERS], **BELOW, ncols=columns)
    return figure


def _project(arrays: Outputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns t-SNE coordinates, which points are of the target, and labels, source first."""
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    labels = [
        arrays[name][:MAX_POINTS] for name in ("source_val/label", "oracle/target_test_label")
    ]
    kept = [arrays[f"{split}/features"][:MAX_POINTS] for split in ("source_val", "target_test")]
    features = np.concatenate([part.reshape(len(part), -1) for part in kept]).astype(np.float64)
    perplexity = min(30.0, (len(features) - 1) / 3)
    projection = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=0)
    # On a busy machine t-SNE's threads mostly wait for one another.
    with threadpool_limits(1):
        points = projection.fit_transform(StandardScaler().fit_transform(features))
    is_target = np.arange(len(features)) >= len(labels[0])
    return points, is_target, np.concatenate(labels).astype(int)


@_styled
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
    figure = _make_figure(4.35, title)
    grid = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    longest = max(map(len, classes))
    image = None
    for axes, (row, counts) in zip(grid, shown.items(), strict=True):
        share = 100 * finite_mean(class_shares(counts))
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        hits = np.trace(counts, axis1=1, axis2=2) / counts.sum((1, 2))
        axes.set_title(f"{row}: {100 * hits.mean():.1f} % right")
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


@_styled
def sample_pictures(
    outputs: Mapping[str, Outputs],
    classes: Sequence[str],
    colors: Mapping[str, str],
    *,
    title: str,
) -> Figure:
    """Shows pictures of both domains, and what each row takes the target's for.

    The pictures are not chosen by hand: they are the first of each class in the order of the
    splits, class by class.

    Args:
        outputs: By row, the arrays of its run's `outputs.npz`. All runs have the same pictures.
        classes: Names of the classes.
        colors: By row, from `colors_of`.
        title: Above the figure.

    Returns:
        The figure. Wrong predictions are coloured and crossed.

    Raises:
        ValueError: The examples are no pictures, or the runs' pictures differ.
    """
    first = next(iter(outputs.values()))
    if first["source_val/image"].ndim != 4 or first["target_test/image"].ndim != 4:
        raise ValueError("the examples are no pictures")
    for arrays in outputs.values():
        if not np.array_equal(arrays["target_test/image"], first["target_test/image"]):
            raise ValueError("the runs keep different target pictures")
    # Room for the longest name, in inches; few classes are shown more than once.
    width = max(0.55, 0.066 * (max(map(len, classes)) + 3))
    columns = min(max(3, int(6.6 / width)), max(6, len(classes)))
    labels = {"source": first["source_val/label"], "target": first["oracle/target_test_label"]}
    kept = {domain: _first_of_each(label, columns) for domain, label in labels.items()}
    figure = _make_figure(1.3 + 0.18 * len(outputs) + 12.4 / columns, title)
    figure.get_layout_engine().set(w_pad=0.05, wspace=0, hspace=0)  # pyright: ignore
    grid = figure.subplots(2, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for line, (domain, split) in enumerate((("source", "source_val"), ("target", "target_test"))):
        images = first[f"{split}/image"]
        maximum = max(float(first["value_max"]), float(images.max()))
        captions = {"true class": labels[domain]}
        if domain == "target":
            captions |= {name: own["target_test/prediction"] for name, own in outputs.items()}
        grid[line, 0].set_ylabel(
            domain, color=INK, fontsize=10.5, rotation=0, ha="right", va="center", labelpad=10
        )
        for depth, name in enumerate(captions):
            color = colors[name] if depth else FAINT_INK
            _write_below(grid[line, 0], depth, name, ha="right", x=-0.17, color=color)
        for axes, index in zip(grid[line], kept[domain], strict=False):
            axes.imshow(images[index].squeeze() / maximum, cmap="gray", vmin=0, vmax=1)
            for depth, values in enumerate(captions.values()):
                wrong = values[index] != labels[domain][index]
                text = classes[int(values[index])] + (" ✗" if wrong else "")
                _write_below(axes, depth, text, color=WRONG if wrong else INK)
        for axes in grid[line, len(kept[domain]) :]:
            axes.set_visible(False)
    return figure


def _first_of_each(labels: np.ndarray, count: int) -> list[int]:
    """Returns indices of the first examples of every class, then of the second ones."""
    seen: dict[int, int] = {}
    order = []
    for index, label in enumerate(labels.tolist()):
        seen[label] = seen.get(label, 0) + 1
        order.append((seen[label], label, index))
    return [index for _, _, index in sorted(order)[:count]]


def _write_below(axes: Axes, depth: int, text: str, x: float = 0.5, **style: Any) -> None:
    """Writes a caption under a picture; `depth` counts lines."""
    style = {"ha": "center", "va": "top", "fontsize": 8.5, **style}
    _write(axes, (x, 0), "axes fraction", text, (0, -5 - 13 * depth), **style)


@_styled
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
    figure = _make_figure(1.15 + (0.26 + 0.08 * len(shown)) * len(classes), title)
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
        figure.legend(loc="outside lower center", ncols=4)
    return figure
