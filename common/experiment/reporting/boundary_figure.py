"""The report's figure of decision boundaries, for examples that are points of the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.experiment.reporting.figure_style import FAINT_INK, INK, WIDTH, make_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from common.experiment.reporting.example_figure import Outputs

# The palette of Okabe and Ito; fields are tints of the points' colours.
CLASS_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
TINT = 0.25

COLUMNS = 6
MAX_SEEDS = 30
MAX_POINTS = 300  # a domain


@styled
def decision_boundary(
    outputs: Mapping[str, Mapping[int, Outputs]],
    accuracy: Mapping[str, Mapping[int, float]],
    colors: Mapping[str, str],
    classes: Sequence[str],
    *,
    title: str,
) -> Figure:
    """Shows what rows predict all over the plane, seed by seed.

    Args:
        outputs: By row and seed, the arrays of its run's `outputs.npz`; the same seeds in every
            row. The first `MAX_SEEDS` are shown, `COLUMNS` side by side.
        accuracy: Target test accuracy by row and seed.
        colors: By row, from `colors_of`.
        classes: Names of the classes, as many as there are `CLASS_COLORS` at most.
        title: Above the figure.

    Returns:
        The figure: a line of panels a row, a column a seed.

    Raises:
        ValueError: More classes than colours, or no seed.
    """
    if len(classes) > len(CLASS_COLORS):
        raise ValueError(f"{len(classes)} classes are more than can be told apart by colour")
    if not all(outputs.values()):
        raise ValueError(f"there is no seed for which {' and '.join(outputs)} have outputs.npz")
    seeds = sorted(next(iter(outputs.values())))[:MAX_SEEDS]
    columns = min(COLUMNS, max(3, len(seeds)))
    blocks = [seeds[first : first + columns] for first in range(0, len(seeds), columns)]
    grid = next(iter(outputs.values()))[seeds[0]]["grid/image"]
    # In inches: a panel keeps the plane's proportions, above it stand one or two lines of text.
    panel = (WIDTH - 0.35) / columns * np.ptp(grid[..., 1]) / np.ptp(grid[..., 0])
    lines = len(blocks) * len(outputs)
    figure = make_figure(0.75 + lines * (panel + 0.24) + len(blocks) * 0.22, title)
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.06, wspace=0, hspace=0)  # pyright: ignore
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for index, block in enumerate(blocks):
        for line, (row, own) in enumerate(outputs.items(), index * len(outputs)):
            for axes, seed in zip(panels[line], block, strict=False):
                _draw_plane(axes, own[seed], len(classes))
                share = f"{100 * accuracy[row][seed]:.1f} %"
                is_first = line % len(outputs) == 0
                axes.set_title(f"seed {seed}\n{share}" if is_first else share, fontsize=9)
            panels[line, 0].set_ylabel(row, color=colors[row], fontsize=10)
    figure.legend(**_legend(classes), loc="outside lower center", fontsize=8.5, columnspacing=1.6)
    return figure


def _draw_plane(axes: Axes, arrays: Outputs, num_classes: int) -> None:
    """Draws the field of each class, its border, and the points of both domains."""
    from matplotlib.colors import ListedColormap, to_rgb

    fields = [1 - TINT * (1 - np.asarray(to_rgb(color))) for color in CLASS_COLORS[:num_classes]]
    x, y = np.moveaxis(arrays["grid/image"], -1, 0)
    predicted = arrays["grid/prediction"]
    axes.set_axis_on()
    axes.imshow(
        predicted,
        extent=(x.min(), x.max(), y.min(), y.max()),
        origin="lower",
        cmap=ListedColormap(fields),
        vmin=-0.5,
        vmax=num_classes - 0.5,
        interpolation="nearest",
    )
    for own in np.unique(predicted)[1:]:
        axes.contour(x, y, predicted == own, levels=[0.5], colors=INK, linewidths=0.8)
    points = arrays["source_val/image"][:MAX_POINTS]
    axes.scatter(*points.T, color=FAINT_INK, s=1.8, alpha=0.45, linewidths=0)
    points = arrays["target_test/image"][:MAX_POINTS]
    labels = arrays["oracle/target_test_label"][:MAX_POINTS]
    axes.scatter(*points.T, c=[CLASS_COLORS[label] for label in labels], s=3.5, linewidths=0)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _legend(classes: Sequence[str]) -> dict[str, Any]:
    """Names points and fields."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def dot(color: str, size: float) -> Line2D:
        return Line2D([], [], color=color, marker="o", linestyle="", markersize=size)

    entries = {
        f"target: {name}": dot(color, 4.5)
        for name, color in zip(classes, CLASS_COLORS, strict=False)
    }
    entries |= {"source": dot(FAINT_INK, 3.0)}
    entries |= {
        f"taken for {name}": Patch(color=color, alpha=TINT, linewidth=0)
        for name, color in zip(classes, CLASS_COLORS, strict=False)
    }
    return {"handles": [*entries.values()], "labels": [*entries], "ncols": min(5, len(entries))}
