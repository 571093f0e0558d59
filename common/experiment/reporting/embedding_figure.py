"""The report's figure of features in two dimensions, by one of several projections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from common.experiment.reporting.figure_style import INK, LINE, fold_title, make_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOMAIN_COLORS = {"source": "#E69F00", "target": "#5E4FA2"}
DOMAIN_MARKERS = {"source": "o", "target": "^"}
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
_MIXING = (
    " Adaptation should mix the domains on the left and keep the classes apart on the right. The "
    "A-distance above a row, where its run recorded it, is the score proxy_a_distance of the last "
    "step: 2 (1 - 2 e), with e the error of a fresh classifier that tells the domains apart, 0 "
    "where it cannot and 2 where it always can."
)
READING = {
    "t-SNE": "Features of single examples in two dimensions by t-SNE: near points are alike, while "
    "sizes of clusters and distances between them mean nothing." + _MIXING,
    "PCA": "The same features along the two directions in which they vary most, a linear map: "
    "distances mean something, and much may lie in other directions." + _MIXING,
    "UMAP": "The same features by UMAP: near points are alike, while distances between clusters "
    "mean little." + _MIXING,
}

Outputs = Mapping[str, np.ndarray]
Features = Float[np.ndarray, "example feature"]


def project_by_tsne(features: Features) -> Float[np.ndarray, "example 2"]:
    """Projects by t-SNE from the principal components, with a fixed random state.

    Args:
        features: Standardised.

    Returns:
        The coordinates.

    References:
        L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008).
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(features) - 1) / 3)
    projection = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=0)
    # On a busy machine t-SNE's threads mostly wait for one another.
    with threadpool_limits(1):
        return projection.fit_transform(features)


def project_by_pca(features: Features) -> Float[np.ndarray, "example 2"]:
    """Projects on the first two principal components.

    Args:
        features: Standardised.

    Returns:
        The coordinates; of a single feature, the second is 0.
    """
    left, sizes, _ = np.linalg.svd(features - features.mean(0), full_matrices=False)
    points = np.zeros((len(features), 2))
    count = min(2, len(sizes))
    points[:, :count] = left[:, :count] * sizes[None, :count]
    # The sign of a component is anyone's; this one does not depend on the library.
    largest = np.abs(points).argmax(0)
    return points * np.where(points[largest, [0, 1]] < 0, -1.0, 1.0)[None]


def project_by_umap(features: Features) -> Float[np.ndarray, "example 2"]:
    """Projects by UMAP with a fixed random state; its package is the extra `umap`.

    Args:
        features: Standardised.

    Returns:
        The coordinates.

    References:
        L. McInnes, J. Healy, J. Melville, "UMAP: Uniform Manifold Approximation and Projection for
        Dimension Reduction", arXiv 1802.03426 (2018).
    """
    from umap import UMAP  # pyright: ignore[reportMissingImports]

    neighbors = min(15, len(features) - 1)
    return np.asarray(UMAP(n_neighbors=neighbors, random_state=0, n_jobs=1).fit_transform(features))


PROJECTIONS: dict[str, Callable[[Features], Float[np.ndarray, "example 2"]]] = {
    "t-SNE": project_by_tsne,
    "PCA": project_by_pca,
    "UMAP": project_by_umap,
}


def available_projections() -> list[str]:
    """Lists the projections whose package is installed.

    Returns:
        Names of `PROJECTIONS`.
    """
    return [name for name in PROJECTIONS if name != "UMAP" or find_spec("umap") is not None]


@styled
def embedding(
    outputs: Mapping[str, Outputs],
    classes: Sequence[str],
    *,
    title: str,
    projection: str = "t-SNE",
    distances: Mapping[str, float] | None = None,
) -> Figure:
    """Shows the features of two runs in two dimensions, by domain and by class.

    Args:
        outputs: By row, the arrays of its run's `outputs.npz`; the first two rows are shown.
        classes: Names of the classes.
        title: Above the figure.
        projection: One of `PROJECTIONS`.
        distances: By row, the proxy A-distance of its run, where it is known.

    Returns:
        The figure: a line of panels a row, domains on the left, classes on the right.
    """
    from matplotlib.lines import Line2D

    shown = dict(list(outputs.items())[:2])
    figure = make_figure(0.75 + 3.3 * len(shown), title)
    grid = figure.subplots(len(shown), 2, squeeze=False)
    names = list(classes)[: len(CLASS_COLORS)]
    for (left, right), (row, arrays) in zip(grid, shown.items(), strict=True):
        features, is_target, label = _join(arrays)
        points = PROJECTIONS[projection](features)
        colors = np.asarray([(*CLASS_COLORS, LINE)[min(index, len(names))] for index in label])
        for domain, of_domain in (("source", ~is_target), ("target", is_target)):
            left.scatter(*points[of_domain].T, color=DOMAIN_COLORS[domain], s=11, **POINT)
            form: dict[str, Any] = {
                "marker": DOMAIN_MARKERS[domain],
                "s": 11 if domain == "source" else 15,
            }
            right.scatter(*points[of_domain].T, c=colors[of_domain].tolist(), **form, **POINT)
        known = f", A-distance {distances[row]:.2f}" if distances and row in distances else ""
        left.set_title(fold_title(f"{row}: by domain{known}"))
        right.set_title(fold_title(f"{row}: by class"))
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


def _join(arrays: Outputs) -> tuple[Features, np.ndarray, np.ndarray]:
    """Returns standardised features, which are of the target, and labels, source first."""
    from sklearn.preprocessing import StandardScaler

    labels = [
        arrays[name][:MAX_POINTS] for name in ("source_val/label", "oracle/target_test_label")
    ]
    kept = [arrays[f"{split}/features"][:MAX_POINTS] for split in ("source_val", "target_test")]
    features = np.concatenate([part.reshape(len(part), -1) for part in kept]).astype(np.float64)
    is_target = np.arange(len(features)) >= len(labels[0])
    return StandardScaler().fit_transform(features), is_target, np.concatenate(labels).astype(int)
