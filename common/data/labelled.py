"""Few labelled target examples: which ones a budget of labels is spent on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from common.data.example import Examples

# Labelled target examples in a step, where a budget limits how many there are.
LABELLED_BATCH = 16


def draw_labelled(
    config: Mapping[str, Any],
    examples: Examples,
    rows: Int[np.ndarray, "row"],
    classes: Sequence[str],
) -> Int[np.ndarray, "labelled"]:
    """Draws `config.data.target_labels_per_class` examples of each class of the target.

    Labels decide which examples are drawn: that is what the budget buys. Beyond it no label is
    read, so examples that are not drawn need none. A larger budget adds to a smaller one, and the
    split seed alone decides the order, so that all rows of a comparison have the same examples.

    Args:
        config: The resolved config.
        examples: The target.
        rows: Its training split.
        classes: The classes that the target is declared to have.

    Returns:
        Some of the rows: one of each class in turn, as often as the budget says.

    Raises:
        ValueError: A class with fewer examples than the budget, or a target without labels.
    """
    data, name = config["data"], config["target"]
    count = data["target_labels_per_class"]
    order = rows[np.random.default_rng([data["split_seed"], 13]).permutation(len(rows))]
    labels = examples.labels[order]
    found = {own: order[labels == examples.classes.index(own)] for own in classes}
    fewest = min(classes, key=lambda own: len(found[own]), default="")
    if not classes or len(found[fewest]) < count:
        said = f"{len(found[fewest])} of the class {fewest}" if classes else "no labelled example"
        raise ValueError(
            f"config.data.target_labels_per_class is {count}, and the training split of "
            f"config.target {name!r} has {said}; ask for fewer, or leave the class out by "
            "config.data.classes"
        )
    return np.stack([own[:count] for own in found.values()], axis=1).reshape(-1)
