"""All examples of a domain, however they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Num


class Examples(NamedTuple):
    """All examples of a domain, before they are split.

    Attributes:
        images: Pictures as stored, channels last, or vectors.
        labels: Class numbers.
        classes: Names of the classes; domains are compared by these.
        maximum: The largest value that a stored picture can have; 1 for vectors.
        splits: Disjoint rows for `train`, `val` and `test`, of a domain that is published or drawn
            with splits of its own; None: drawn at random by the run's split seed.
    """

    images: Num[np.ndarray, "example *shape"]
    labels: Int[np.ndarray, "example"]
    classes: tuple[str, ...]
    maximum: float
    splits: Mapping[str, Int[np.ndarray, "row"]] | None = None
