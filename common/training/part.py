"""Parts of a parameter root that are trained from different shares of the run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import ArrayLike, Float

from common.method import has_started


class Part(NamedTuple):
    """What of a root starts at one time.

    Attributes:
        paths: Paths of its parameters within the root.
        start: Share of the run before which they do not change.
    """

    paths: tuple[str, ...]
    start: float

    def take(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Leaves out the other parts.

        Args:
            tree: The root's tree.

        Returns:
            The part's tree.
        """
        flat: dict[str, Any] = traverse_util.flatten_dict(tree, sep="/")
        return traverse_util.unflatten_dict({path: flat[path] for path in self.paths}, sep="/")

    def hold(self, now: Any, before: Any, progress: Float[ArrayLike, ""]) -> Any:
        """Keeps everything as it was until the part starts.

        Args:
            now: Any tree of arrays.
            before: The same before the step.
            progress: Fraction of the run, in [0, 1].

        Returns:
            `before`, bit for bit, or `now`.
        """
        if not self.start:
            return now
        return jax.tree.map(partial(jnp.where, has_started(self.start, progress)), now, before)


def parts_of(trained: Sequence[str], starts: Mapping[str, float]) -> dict[str, dict[str, Part]]:
    """Divides each root by the starts of its parameters.

    Args:
        trained: Paths of the trained parameters.
        starts: The start of some of them; the others start with the run.

    Returns:
        By root, parts by name. What starts with the run has the root's name.
    """
    paths: dict[tuple[str, float], list[str]] = {}
    for path in trained:
        root, _, rest = path.partition("/")
        paths.setdefault((root, starts.get(path, 0.0)), []).append(rest)
    parts: dict[str, dict[str, Part]] = {}
    for root, start in sorted(paths):
        own = parts.setdefault(root, {})
        own[f"{root}.{len(own)}" if start else root] = Part(tuple(paths[root, start]), start)
    return parts


def join(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Puts the parts of a root together again.

    Args:
        trees: The parts' trees.

    Returns:
        The root's tree.
    """
    flat: dict[str, Any] = {}
    for tree in trees:
        flat |= traverse_util.flatten_dict(tree, sep="/")
    return traverse_util.unflatten_dict(dict(sorted(flat.items())), sep="/")
