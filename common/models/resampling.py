"""Bicubic interpolation as a product with a matrix that is known when a program is built."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Cubic(NamedTuple):
    """A form of bicubic interpolation.

    Attributes:
        a: The free number of the kernel of Keys.
        antialiased: Whether the kernel widens where the grid shrinks. If so, weights of places
            beyond the border are left out and the others scaled up; otherwise the border repeats.
    """

    a: float
    antialiased: bool


# Both are `interpolate(mode="bicubic", align_corners=False)` of PyTorch, with `antialias=True` (as
# timm resizes positions) and without it (as transformers does).
CUBICS = {"antialiased": Cubic(-0.5, True), "plain": Cubic(-0.75, False)}


def _kernel(distances: np.ndarray, a: float) -> np.ndarray:
    """The piecewise cubic kernel; zero from a distance of 2 on."""
    x = np.abs(distances)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def cubic_weights(old: int, new: int, name: str) -> Float[np.ndarray, "new old"]:
    """Computes what each place of an axis weighs for each new one.

    Args:
        old: Number of places.
        new: Number of new ones, evenly over the same length.
        name: A key of `CUBICS`.

    Returns:
        Weights; each row sums to 1.

    References:
        Keys, Cubic Convolution Interpolation for Digital Image Processing, IEEE Transactions on
        Acoustics, Speech, and Signal Processing 29 (1981).
    """
    a, antialiased = CUBICS[name]
    centers = (np.arange(new) + 0.5) * old / new - 0.5
    if antialiased:
        widening = max(old / new, 1.0)
        weights = _kernel((np.arange(old)[None] - centers[:, None]) / widening, a)
        return weights / weights.sum(1, keepdims=True)
    weights = np.zeros((new, old))
    first = np.floor(centers).astype(int)
    for shift in range(-1, 3):
        places = first + shift
        own = _kernel(places - centers, a)
        np.add.at(weights, (np.arange(new), places.clip(0, old - 1)), own)
    return weights


def resize_grid(
    grid: Float[Array, "rows columns width"], shape: tuple[int, int], name: str
) -> Float[Array, "new_rows new_columns width"]:
    """Interpolates a grid of vectors.

    Args:
        grid: The vectors.
        shape: Rows and columns to get.
        name: A key of `CUBICS`.

    Returns:
        The new grid; the same where it has that shape.
    """
    if grid.shape[:2] == shape:
        return grid
    rows, columns = (
        jnp.asarray(cubic_weights(old, new, name), grid.dtype)
        for old, new in zip(grid.shape[:2], shape, strict=True)
    )
    return jnp.einsum("ir,jc,rcw->ijw", rows, columns, grid)
