"""Several sources as one: their names, and their examples pooled."""

from __future__ import annotations

import re
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.data.domain import DOMAINS, Domain
from common.data.example import Examples
from common.data.reader import READERS

# What begins a domain's name. A plus sign before anything else is part of a path.
_BEGINNING = "|".join(
    [*(f"{kind}:" for kind in READERS), *(rf"{re.escape(name)}(?=\+|$)" for name in DOMAINS)]
)

# Runs of a population share examples by identity, so equal pools need one answer; see `_ARRANGED`.
_POOLED: dict[tuple[int, ...], Examples] = {}


class ConcatenatedPictures:
    """Stores behind one another, as one store.

    `pictures[rows]` reads the rows, an array of whole numbers or a slice.
    """

    def __init__(self, stores: Sequence[Any]):
        """Makes a store; nothing is read yet.

        Args:
            stores: Arrays or stores whose examples have one shape.
        """
        self._stores = tuple(stores)
        self._ends = np.cumsum([store.shape[0] for store in stores])
        self.shape = (int(self._ends[-1]), *stores[0].shape[1:])
        self.dtype = np.result_type(*(store.dtype for store in stores))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows)
        flat = rows.reshape(-1).astype(np.intp)
        flat = np.where(flat < 0, flat + len(self), flat)
        if flat.size and not (0 <= flat.min() and flat.max() < len(self)):
            raise IndexError(f"row {rows.min()} or {rows.max()} is none of {len(self)} pictures")
        owner = np.searchsorted(self._ends, flat, side="right")
        pictures = np.empty((flat.size, *self.shape[1:]), self.dtype)
        for number, store in enumerate(self._stores):
            own = owner == number
            if own.any():
                pictures[own] = store[flat[own] - (self._ends[number] - store.shape[0])]
        return pictures.reshape(*rows.shape, *self.shape[1:])

    def hold(self) -> None:
        """Has the stores read all their pictures, once, and serve them from memory."""
        for store in self._stores:
            if hasattr(store, "hold"):
                store.hold()


def list_sources(name: str) -> list[str]:
    """Lists the domains that `config.source` joins by "+".

    Args:
        name: Such as `moons+rotated_moons` or `folder:a+folder:b`. It is split only where a
            domain's name follows: `folder:a+b` is one path.

    Returns:
        The names in their order.

    Raises:
        ValueError: A domain that is named twice.
    """
    names = re.split(rf"\+(?={_BEGINNING})", name)
    for own in names:
        if names.count(own) > 1:
            raise ValueError(f"config.source is {name!r}; it must name {own!r} once")
    return names


def pool(name: str, domains: Sequence[Domain]) -> Domain:
    """Puts sources that have the same classes behind one another.

    Args:
        name: `config.source`.
        domains: The sources in their order; their classes have the same numbers.

    Returns:
        One domain, the only one itself where there is one. The rows of each split stand in the
        order of the sources.

    Raises:
        ValueError: Examples of another shape, or pictures with another largest value.
    """
    first = domains[0]
    if len(domains) == 1:
        return first
    for own in domains[1:]:
        for what, before, now in (
            ("shape", first.examples.images.shape[1:], own.examples.images.shape[1:]),
            ("largest value", first.examples.maximum, own.examples.maximum),
        ):
            if before != now:
                raise ValueError(
                    f"config.source is {name!r}; {first.name!r} has examples of {what} {before}, "
                    f"{own.name!r} of {now}, and sources are pooled only where they are the same"
                )
    parts = [own.examples for own in domains]
    ends = np.cumsum([len(own.labels) for own in parts])
    starts = [0, *ends[:-1]]
    splits = {
        split: np.concatenate(
            [own.splits[split] + start for own, start in zip(domains, starts, strict=True)]
        ).astype(np.int32)
        for split in first.splits
    }
    origin = np.repeat(
        np.arange(len(domains), dtype=np.int32), [len(own.splits["train"]) for own in domains]
    )
    return Domain(name, _pool_examples(parts), splits, origin=origin)


def _pool_examples(parts: Sequence[Examples]) -> Examples:
    key = tuple(id(array) for own in parts for array in (own.images, own.labels))
    if key not in _POOLED:
        images = [own.images for own in parts]
        are_arrays = all(type(own) is np.ndarray for own in images)
        _POOLED[key] = Examples(
            np.concatenate(images) if are_arrays else ConcatenatedPictures(images),
            np.concatenate([own.labels for own in parts]),
            parts[0].classes,
            parts[0].maximum,
        )
        for own in parts:
            weakref.finalize(own.labels, _POOLED.pop, key, None)
    return _POOLED[key]
