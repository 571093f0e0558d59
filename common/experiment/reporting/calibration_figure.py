"""The reliability diagram: how often a run is right where it is as sure as it says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Num

from common.evaluation.probability import calibration_error
from common.experiment.reporting.figure_style import FAINT_INK, legend_columns, make_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READING = (
    "Predictions in bins of equal width by the probability that the run gives them, against how "
    "many of them are right; on the dashed line a run is as right as it is sure, below it is too "
    "sure. Bars below count the predictions. All kept examples of all seeds together; the target's "
    "labels are read for this figure alone. ECE is the expected calibration error of these bins."
)
NUM_BINS = 10
PANELS = {
    "source_val": ("source, validation", "source_val/label"),
    "target_test": ("target, test  (oracle)", "oracle/target_test_label"),
}
# What the diagram reads of `outputs.npz`.
ARRAYS = [name for split, (_, label) in PANELS.items() for name in (f"{split}/logits", label)]


def has_logits(arrays: Mapping[str, np.ndarray]) -> bool:
    """Says whether a run kept what the diagram needs.

    Args:
        arrays: Of its `outputs.npz`.

    Returns:
        Whether logits of classes are there.
    """
    return all(
        label in arrays
        and arrays[label].ndim == 1
        and f"{split}/logits" in arrays
        and arrays[f"{split}/logits"].ndim == 2
        and arrays[f"{split}/logits"].shape[1] > 1
        for split, (_, label) in PANELS.items()
    )


def confidence_of(
    logits: Num[np.ndarray, "example class"], labels: Num[np.ndarray, "example"]
) -> tuple[Float[np.ndarray, "labelled"], Bool[np.ndarray, "labelled"]]:
    """Says how sure predictions are and whether they are right.

    Args:
        logits: Finite or not; examples with a value that is not finite are left out.
        labels: Class numbers, negative without a label.

    Returns:
        The softmax's largest probability, and whether its class is the label.
    """
    from scipy.special import softmax

    known = (labels >= 0) & np.isfinite(logits).all(1)
    probability = softmax(logits[known].astype(np.float64), axis=1)
    return probability.max(1), probability.argmax(1) == labels[known]


@styled
def reliability(
    outputs: Mapping[str, Sequence[Mapping[str, np.ndarray]]],
    colors: Mapping[str, str],
    *,
    title: str,
) -> Figure:
    """Shows the reliability of rows on both domains.

    Args:
        outputs: By row, the arrays of each run's `outputs.npz`; the first four rows are drawn.
        colors: By row, from `colors_of`.
        title: Above the figure.

    Returns:
        The figure.

    Raises:
        ValueError: No run kept its logits.
    """
    rows = {
        row: kept
        for row, own in list(outputs.items())[:4]
        if (kept := [arrays for arrays in own if has_logits(arrays)])
    }
    if not rows:
        raise ValueError("no run kept its logits")
    columns = legend_columns(rows)
    figure = make_figure(4.6 + 0.2 * math.ceil(len(rows) / columns), title)
    grid = figure.subplots(2, 2, height_ratios=(3.2, 1), sharex=True)
    edges = np.linspace(0, 1, NUM_BINS + 1)
    for (axes, below), (split, (name, label)) in zip(grid.T, PANELS.items(), strict=True):
        axes.plot([0, 100], [0, 100], color=FAINT_INK, linewidth=0.9, linestyle=(0, (4, 3)))
        for place, (row, kept) in enumerate(rows.items()):
            parts = [confidence_of(own[f"{split}/logits"], own[label]) for own in kept]
            sure, right = (np.concatenate(side) for side in zip(*parts, strict=True))
            if not sure.size:
                continue
            # As in the expected calibration error, the upper edge of a bin belongs to it.
            bins = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, NUM_BINS - 1)
            counts = np.bincount(bins, minlength=NUM_BINS)
            full = counts > 0
            means = [
                np.bincount(bins, weights=own, minlength=NUM_BINS)[full] / counts[full]
                for own in (sure, right)
            ]
            error = 100 * calibration_error(sure, right, NUM_BINS)
            axes.plot(
                100 * means[0],
                100 * means[1],
                marker="o",
                markersize=5,
                linewidth=1.6,
                color=colors[row],
                label=f"ECE {error:.1f} %",
            )
            width = 100 / NUM_BINS / (len(rows) + 1)
            centers = 100 * edges[:-1] + width * (place + 1)
            below.bar(centers, 100 * counts / counts.sum(), width, color=colors[row])
        axes.set_title(name)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 102)
        axes.grid()
        axes.legend(loc="best", fontsize=8)
        below.set_xlabel("probability of the prediction, %")
        below.grid(axis="y")
    grid[0, 0].set_ylabel("right, %")
    grid[1, 0].set_ylabel("% of all")
    marks: dict[str, Any] = {"marker": "o", "markersize": 5, "linewidth": 1.6}
    handles = [grid[0, 0].plot([], [], color=colors[row], **marks)[0] for row in rows]
    figure.legend(handles, list(rows), loc="outside lower center", ncols=columns)
    return figure
