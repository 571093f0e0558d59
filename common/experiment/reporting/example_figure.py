"""The report's figures of single examples: their pictures, and their features in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.experiment.reporting.figure_style import (
    FAINT_INK,
    INK,
    LINE,
    make_figure,
    styled,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


DOMAIN_COLORS = {"source": "#E69F00", "target": "#5E4FA2"}


DOMAIN_MARKERS = {"source": "o", "target": "^"}


WRONG = "#C4440C"


CLASS_COLORS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#9AA1A9"),
)


MAX_POINTS = 300  # a domain


POINT: dict[str, Any] = {"alpha": 0.7, "linewidths": 0}


BELOW: dict[str, Any] = {
    **{"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "fontsize": 8},
    **{"handletextpad": 0.1, "columnspacing": 1.0},
}


Outputs = Mapping[str, np.ndarray]


@styled
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
    figure = make_figure(0.75 + 3.3 * len(shown), title)
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


@styled
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
    figure = make_figure(1.3 + 0.18 * len(outputs) + 12.4 / columns, title)
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
    write(axes, (x, 0), "axes fraction", text, (0, -5 - 13 * depth), **style)
