"""The report's figure of single pictures, and what rows take them for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.experiment.reporting.figure_style import (
    FAINT_INK,
    INK,
    make_figure,
    styled,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WRONG = "#C4440C"


Outputs = Mapping[str, np.ndarray]


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
