"""How MNIST-M is made: digits on crops of photographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8

SIZE = 32


class Crops(NamedTuple):
    """Which crop of which photograph each digit is blended with.

    Attributes:
        files: Names of the photographs.
        photograph: By digit, a row of `files`.
        top: By digit, the first row of the crop.
        left: By digit, its first column.
    """

    files: tuple[str, ...]
    photograph: Integer[np.ndarray, " digit"]
    top: Integer[np.ndarray, " digit"]
    left: Integer[np.ndarray, " digit"]

    def of(self, digits: slice) -> Crops:
        """Returns the crops of some of the digits."""
        return Crops(self.files, self.photograph[digits], self.top[digits], self.left[digits])


def blend(
    digit: UInt8[np.ndarray, "*digits 28 28"], patch: UInt8[np.ndarray, "*digits 32 32 3"]
) -> UInt8[np.ndarray, "*digits 32 32 3"]:
    """Inverts a patch where a digit, in the middle of it, has any ink.

    Args:
        digit: One digit or several, 0 for paper. How much ink a pixel has does not matter.
        patch: A coloured patch for each.

    Returns:
        The pictures of MNIST-M.

    References:
        Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016) 59, section
        5.2.4. The text takes |patch - digit| by channel; in the published pictures the digit is
        binary.
    """
    margin = (SIZE - digit.shape[-1]) // 2
    before = [(0, 0)] * (digit.ndim - 2)
    ink = np.pad(digit > 0, [*before, (margin, margin), (margin, margin)])
    return np.where(ink[..., np.newaxis], 255 - patch, patch)


def make_pictures(
    digits: UInt8[np.ndarray, "digit 28 28"],
    photographs: Mapping[str, UInt8[np.ndarray, "_height _width 3"]],
    crops: Crops,
) -> UInt8[np.ndarray, "digit 32 32 3"]:
    """Blends every digit with its crop.

    Args:
        digits: The digits.
        photographs: The photographs by the names in `crops.files`.
        crops: As many crops as digits.

    Returns:
        The pictures, in the order of the digits.

    Raises:
        ValueError: A crop leaves its photograph.
    """
    by_row = [photographs[name] for name in crops.files]
    sizes = np.array([photograph.shape[:2] for photograph in by_row])[crops.photograph]
    corners = np.stack([crops.top, crops.left], axis=1).astype(np.int64)
    outside = np.flatnonzero(((corners < 0) | (corners + SIZE > sizes)).any(axis=1))
    if outside.size:
        number = outside[0]
        raise ValueError(
            f"the crop of digit {number}, at {tuple(corners[number].tolist())}, leaves "
            f"{crops.files[crops.photograph[number]]} of size {tuple(sizes[number].tolist())}"
        )
    patches = np.empty((len(digits), SIZE, SIZE, 3), np.uint8)
    for patch, photograph, (top, left) in zip(
        patches, crops.photograph, corners.tolist(), strict=True
    ):
        patch[:] = by_row[photograph][top : top + SIZE, left : left + SIZE]
    return blend(digits, patches)


def draw_crops(
    photographs: Mapping[str, UInt8[np.ndarray, "_height _width 3"]], num_crops: int, seed: int
) -> Crops:
    """Draws photographs and positions uniformly.

    Args:
        photographs: The photographs by name, none smaller than a crop.
        num_crops: Number of crops.
        seed: Seed of the draws, not negative.

    Returns:
        The crops. They depend on the seed, the number of crops, and the names and the sizes of
        the photographs.
    """
    generator = np.random.default_rng(seed)
    files = tuple(sorted(photographs))
    photograph = generator.integers(len(files), size=num_crops)
    sizes = np.array([photographs[name].shape[:2] for name in files])[photograph]
    top, left = generator.integers(sizes.T - SIZE + 1)
    return Crops(files, photograph, top, left)
