"""All examples of a domain, however they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped


class Examples(NamedTuple):
    """All examples of a domain, before they are split.

    Attributes:
        images: Pictures as stored, channels last, or vectors: an array, or a store, which has
            `shape` and `dtype` and gives an array for `images[rows]`.
        labels: Class numbers; negative where an example has no label. Of several labels or of
            values, single precision and one column each; NaN where an example has none. Of pixels,
            class numbers `[example, height, width]`; negative where a pixel does not count.
        classes: Names of the classes, labels or values; domains are compared by these. Empty
            without any label.
        maximum: The largest value that a stored picture can have; 1 for vectors.
        splits: Disjoint rows for those of `train`, `val` and `test` that a domain is published or
            drawn with; the others, or all for None, are drawn at random by the run's split seed.
        names: Of pictures from files their paths, from the domain's folder on; None otherwise.
    """

    images: Any
    labels: Int[np.ndarray, "example *pixel"] | Float[np.ndarray, "example value"]
    classes: tuple[str, ...]
    maximum: float
    splits: Mapping[str, Int[np.ndarray, "row"]] | None = None
    names: tuple[str, ...] | None = None


def is_labelled(labels: Shaped[np.ndarray, "example ..."]) -> Bool[np.ndarray, "example"]:
    """Says which examples have a label.

    Args:
        labels: As `Examples.labels`.

    Returns:
        True or False by example; of pixels, whether any counts.
    """
    if labels.dtype.kind == "f":
        return np.logical_not(np.isnan(labels).any(axis=1))
    return np.asarray((labels >= 0).reshape(len(labels), -1).any(axis=1))
