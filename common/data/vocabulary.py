"""Which words of texts have a number of their own, fitted on the source's training texts alone."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer

from common.data.domain import Domain
from common.data.example import Examples

# What fills a text up to `max_tokens`, and every word without a number of its own.
PADDING, UNKNOWN = 0, 1
FIRST = 2

# Runs of a population share examples by identity, so equal questions need one answer. It is kept as
# long as the texts that it was made of.
_ENCODED: dict[tuple[Any, ...], Examples] = {}


def fit_vocabulary(texts: Iterable[str], size: int) -> tuple[str, ...]:
    """Chooses the words that get a number.

    Args:
        texts: Tokens separated by spaces, as `read_texts` gives them.
        size: How many numbers there are, those of padding and of unknown words included.

    Returns:
        The most frequent words, words of equal frequency in the order of their letters; their
        numbers follow from 2 on.
    """
    counts = Counter(token for text in texts for token in text.split(" "))
    order = sorted(counts.items(), key=lambda own: (-own[1], own[0]))
    return tuple(word for word, _ in order[: size - FIRST])


def encode(
    texts: Sequence[str], vocabulary: Sequence[str], size: int, max_tokens: int
) -> Integer[np.ndarray, "example token"]:
    """Writes texts as numbers.

    Args:
        texts: Tokens separated by spaces.
        vocabulary: From `fit_vocabulary`.
        size: How many numbers there are; it alone decides the type.
        max_tokens: Tokens of a text that are kept, the first ones; shorter texts are filled up.

    Returns:
        Numbers below `size`.
    """
    number = {word: index for index, word in enumerate(vocabulary, FIRST)}
    dtype = np.uint16 if size <= np.iinfo(np.uint16).max + 1 else np.int32
    numbers = np.full((len(texts), max_tokens), PADDING, dtype)
    for row, text in enumerate(texts):
        own = [number.get(token, UNKNOWN) for token in text.split(" ")[:max_tokens]]
        numbers[row, : len(own)] = own
    return numbers


def encode_task(task: Mapping[str, Domain], data: Mapping[str, Any]) -> dict[str, Domain]:
    """Writes the texts of both domains as numbers.

    The vocabulary is that of the source's training texts: no word of the target, and none of what
    the source validates or tests on, decides which words have a number.

    Args:
        task: Source and target, as read.
        data: `config.data`.

    Returns:
        Both with numbers.
    """
    source, size = task["source"], data["vocabulary_size"]
    words = fit_vocabulary(source.examples.images[source.splits["train"]].tolist(), size)
    return {
        role: domain._replace(examples=_encode(domain.examples, words, size, data["max_tokens"]))
        for role, domain in task.items()
    }


def _encode(examples: Examples, words: tuple[str, ...], size: int, max_tokens: int) -> Examples:
    key = (id(examples.images), id(examples.labels), examples.classes, words, size, max_tokens)
    if key not in _ENCODED:
        numbers = encode(examples.images.tolist(), words, size, max_tokens)
        _ENCODED[key] = examples._replace(images=numbers)
        for array in (examples.images, examples.labels):
            weakref.finalize(array, _ENCODED.pop, key, None)
    return _ENCODED[key]
