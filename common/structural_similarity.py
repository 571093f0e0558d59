"""How alike two pictures look: the structural similarity index (SSIM)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from common.legal import check_count, check_number

# Of the paper, times the range of the values: they keep the quotient from being 0 / 0.
K1, K2 = 0.01, 0.03


def check_window(key: str, window: int, shape: tuple[int, ...]) -> None:
    """Refuses a window that has no middle, or that does not fit into the pictures.

    Args:
        key: Where the window stands.
        window: Side of the square window in pixels.
        shape: Of a picture: height, width, channels.

    Raises:
        ValueError: With the largest window that is possible.
    """
    check_count(key, window)
    side = min(shape[:2])
    if window % 2 == 0 or window > side:
        raise ValueError(
            f"{key} is {window}; SSIM compares windows with a pixel in their middle, and the "
            f"pictures have {shape[0]} by {shape[1]} pixels: take an odd number up to "
            f"{side - 1 + side % 2}"
        )


def structural_similarity(
    images: Float[Array, "batch height width channel"],
    others: Float[Array, "batch height width channel"],
    *,
    window: int = 11,
    sigma: float = 1.5,
    value_range: float = 1.0,
) -> Float[Array, "batch"]:
    """Computes the mean structural similarity of pairs of pictures.

    At every place where a whole window fits, with means m, variances v and the covariance c of the
    two pictures x and y under Gaussian weights that add up to 1,

        SSIM = (2 m_x m_y + C1) (2 c + C2) / ((m_x^2 + m_y^2 + C1) (v_x + v_y + C2)),

    C1 = (0.01 value_range)^2, C2 = (0.03 value_range)^2; averaged over places and channels. The
    moments are those of the weights themselves, without the correction for a sample. The paper
    compares grey pictures with a window of 11 pixels and sigma 1.5.

    Args:
        images: Pictures.
        others: What they are compared with; the order does not matter.
        window: Side of the square window in pixels, odd.
        sigma: Standard deviation of the weights in pixels.
        value_range: Largest minus smallest value that a pixel can have.

    Returns:
        A number in [-1, 1] for each pair, 1 for equal pictures.

    Raises:
        ValueError: A window or a sigma that cannot be.

    References:
        Wang, Bovik, Sheikh and Simoncelli, Image Quality Assessment: From Error Visibility to
        Structural Similarity, IEEE Transactions on Image Processing 13 (2004), equation 13.
    """
    _, height, width, _ = images.shape
    check_window("window", window, images.shape[1:])
    check_number("sigma", sigma)
    rows, columns = (_bands(window, sigma, size) for size in (height, width))

    def average(values):
        # Two matrix products, whose form suits every platform, under vmap and scan too.
        return jnp.einsum(
            "ir,jc,brcd->bijd",
            jnp.asarray(rows, values.dtype),
            columns.astype(values.dtype),
            values,
        )

    mean, other_mean = average(images), average(others)
    variance = average(images**2) - mean**2
    other_variance = average(others**2) - other_mean**2
    covariance = average(images * others) - mean * other_mean
    c1, c2 = (K1 * value_range) ** 2, (K2 * value_range) ** 2
    index = (2 * mean * other_mean + c1) * (2 * covariance + c2)
    index /= (mean**2 + other_mean**2 + c1) * (variance + other_variance + c2)
    return index.mean(axis=(1, 2, 3))


def _bands(window: int, sigma: float, size: int) -> np.ndarray:
    """Returns the weights of every place of a window along an axis, `[place, pixel]`."""
    offsets = np.arange(window) - window // 2
    # A sigma of 0 is the middle pixel alone.
    weights = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma else (offsets == 0) * 1.0
    weights /= weights.sum()
    bands = np.zeros((size - window + 1, size))
    for place, row in enumerate(bands):
        row[place : place + window] = weights
    return bands
