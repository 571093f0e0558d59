"""When a run has collapsed: it has lost much against plain training of the same seed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np

# A run that loses more accuracy than this has collapsed.
COLLAPSE = 0.1
# Ten points that are a little more by rounding are no more than ten.
DECIMALS = 9

Key = TypeVar("Key", bound=Hashable)


def plain_accuracy(plain: Mapping[Key, float], key: Key) -> float | None:
    """Returns what a run is compared with.

    Args:
        plain: Accuracies of source_only at the last step, by seed and data.
        key: Seed and data of the run.

    Returns:
        The accuracy of source_only there; its mean where it has none there, and None where it has
        none at all.
    """
    if key in plain:
        return plain[key]
    return float(np.mean(list(plain.values()))) if plain else None


def has_collapsed(accuracy: float, plain: float) -> bool:
    """Says whether a run has collapsed.

    Args:
        accuracy: The run's.
        plain: From `plain_accuracy`.

    Returns:
        Whether it lies more than `COLLAPSE` below.
    """
    return round(accuracy - plain, DECIMALS) < -COLLAPSE
