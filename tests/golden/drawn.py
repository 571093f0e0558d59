"""Weights and pictures that the script and the tests draw alike, so that no file holds them."""

import zlib

import numpy as np


def draw_tensors(shapes):
    """Draws each array from its own name, by PyTorch's names and shapes."""
    return {name: _draw(name, tuple(shape)) for name, shape in shapes.items()}


def _draw(name, shape):
    uniform = np.random.default_rng(zlib.crc32(name.encode())).random(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return np.asarray(0.5 + uniform, np.float32)
    if len(shape) == 1 or "token" in name or "pos" in name:
        return np.asarray(uniform - 0.5, np.float32)
    # About as large as He et al. draw it, so that depth neither kills nor inflates.
    return np.asarray((uniform - 0.5) * np.sqrt(24 / np.prod(shape[1:])), np.float32)


def draw_pictures(size, count=2):
    """Draws pictures in [0, 1], channels last."""
    rows, columns = size
    return np.random.default_rng(7).random((count, rows, columns, 3)).astype(np.float32)
