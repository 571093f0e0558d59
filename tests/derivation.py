"""What tests compare values and gradients with that were derived another way."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def differences(function: Callable[[Any], Any], tree: Any) -> Any:
    """Returns the gradient of a function of a tree of float64 arrays, by central differences."""
    leaves, structure = jax.tree.flatten(tree)
    found = []
    for number, leaf in enumerate(leaves):
        own = np.zeros_like(leaf)
        for place in np.ndindex(leaf.shape):
            ends = []
            for sign in (1, -1):
                moved = [np.array(other) for other in leaves]
                moved[number][place] += sign * 1e-6
                ends.append(function(jax.tree.unflatten(structure, moved)))
            own[place] = (ends[0] - ends[1]) / 2e-6
        found.append(own)
    return jax.tree.unflatten(structure, found)


def assert_close(tree: Any, expected: Any, smallest: float = 1e-7) -> None:
    """Compares two trees of numbers to five digits; `smallest` is as good as 0."""
    jax.tree.map(
        lambda own, other: np.testing.assert_allclose(own, other, 1e-5, smallest), tree, expected
    )
