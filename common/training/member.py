"""What members of a population share and what each has of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

# Arrays of a role's table of which every member has its own.
OF_MEMBERS = ("train", "val", "test", "labelled", "held_out", "mean", "scaling")


def is_of_members(name: str, array: Any) -> bool:
    """Says whether every member has an array of a role's table of its own.

    Args:
        name: Its name in the table.
        array: The array.

    Returns:
        True for rows and for what is fitted to them, and for classes that members predicted;
        several labels of an example, which are no whole numbers, are shared.
    """
    is_predicted = name == "label" and array.ndim == 2 and np.issubdtype(array.dtype, np.integer)
    return name in OF_MEMBERS or is_predicted


def axes_of(tables: Mapping[str, Any]) -> dict[str, dict[str, int | None]]:
    """Says where the members are in the arrays of tables, for `over_members`.

    Args:
        tables: By role, arrays by name.

    Returns:
        By role and name, 0 where every member has an array of its own, else None.
    """
    return {
        role: {name: 0 if is_of_members(name, own) else None for name, own in table.items()}
        for role, table in tables.items()
    }


def over_members(function: Callable, num_members: int, in_axes: tuple[Any, ...]) -> Callable:
    """Maps a function of one run over a population.

    A population of one runs the function itself: `vmap` over one member would still turn every
    matrix product into a batched one.

    Args:
        function: A function of one run.
        num_members: Size of the population.
        in_axes: 0 or None for each argument, or trees of them, as `jax.vmap` takes.

    Returns:
        The function of the population.
    """
    if num_members > 1:
        return jax.vmap(function, in_axes=in_axes)

    def alone(*arguments):
        def first(axes, tree):
            if isinstance(axes, Mapping):
                return {name: first(axes[name], tree[name]) for name in tree}
            return tree if axes is None else jax.tree.map(lambda leaf: leaf[0], tree)

        result = function(*map(first, in_axes, arguments))
        return jax.tree.map(lambda leaf: leaf[None], result)

    return alone
