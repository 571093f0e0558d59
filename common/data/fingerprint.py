"""Hashes of a domain: of everything it holds, and of each example."""

from __future__ import annotations

import hashlib
import weakref
from typing import Any

import numpy as np
from jaxtyping import UInt64

# Rows hashed at a time.
BLOCK = 1024
DIGEST_BYTES = 8

# By the identity of examples, for as long as they live: reading them again may mean decoding.
_DIGESTS: dict[int, np.ndarray] = {}


def fingerprint(array: Any) -> str:
    """Hashes an array with its type and shape, a block of rows at a time.

    Args:
        array: Pictures, however they are stored, or labels; they are hashed apart, so that a
            target's labels stay apart.

    Returns:
        The SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    each = []
    for start in range(0, array.shape[0], BLOCK):
        rows = np.arange(start, min(start + BLOCK, array.shape[0]))
        block = np.ascontiguousarray(array[rows])
        digest.update(block.tobytes())
        each += _hash_rows(block) if block.ndim > 1 else ()
    if len(array.shape) > 1:
        if id(array) not in _DIGESTS:
            weakref.finalize(array, _DIGESTS.pop, id(array), None)
        _DIGESTS[id(array)] = np.frombuffer(b"".join(each), np.uint64)
    return digest.hexdigest()


def digest_examples(images: Any) -> UInt64[np.ndarray, "example"]:
    """Hashes each example; free where these very examples had their fingerprint taken before.

    Args:
        images: Pictures, however they are stored, or vectors.

    Returns:
        Numbers that are equal for equal examples. Vectors are compared by their values in single
        precision, whatever type they are stored as.
    """
    if id(images) not in _DIGESTS:
        fingerprint(images)
    return _DIGESTS[id(images)]


def _hash_rows(block: np.ndarray) -> list[bytes]:
    # Each domain of vectors is stored as the smallest type that holds its own values.
    rows = block if block.ndim == 4 else block.astype(np.float32)
    return [hashlib.sha256(row).digest()[:DIGEST_BYTES] for row in rows]
