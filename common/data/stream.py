"""Pictures that are read while the program runs, in the order that the resident path has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

# Steps whose positions are drawn at a time: a permutation costs the same for one step or many.
STEPS_A_DRAW = 256


class Stream(NamedTuple):
    """Pictures that stay on the host.

    Attributes:
        images: By role, stored pictures: anything with `shape` and `dtype` that gives an array
            for `images[rows]`, from several threads at once.
        num_bytes: How much memory the pictures may take that are read ahead, about.
        num_threads: How many threads read.
    """

    images: Mapping[str, Any]
    num_bytes: int
    num_threads: int


def read_ahead(
    read: Callable[[int], Any], count: int, *, num_threads: int, num_ahead: int
) -> Iterator[Any]:
    """Calls a function for 0, 1, 2 … in threads, and hands over the results in order.

    Args:
        read: From a number to anything; has to be safe in threads.
        count: How many numbers.
        num_threads: How many threads read, at most.
        num_ahead: How many results may wait, at most.

    Yields:
        The results. Closing the iterator stops the threads.
    """
    import grain

    options = grain.ReadOptions(
        num_threads=min(num_threads, num_ahead), prefetch_buffer_size=num_ahead
    )
    results = iter(grain.MapDataset.range(count).map(read).to_iter_dataset(options))
    try:
        for _ in range(count):
            yield next(results)
    finally:
        results.close()


def read_rows(images: Any, rows: np.ndarray) -> np.ndarray:
    """Reads pictures.

    Args:
        images: Stored pictures.
        rows: Which of them, in an array of any shape.

    Returns:
        The pictures, in the shape of `rows` followed by that of a picture.
    """
    return np.asarray(images[rows.reshape(-1)]).reshape(*rows.shape, *images.shape[1:])


def read_blocks(stream: Stream, role: str, batches: np.ndarray) -> Iterator[np.ndarray]:
    """Reads the batches of an evaluation, as many at a time as memory allows.

    Args:
        stream: Where the pictures are.
        role: Whose pictures.
        batches: Rows, `[member, batch, row]`.

    Yields:
        Pictures, `[member, some batches, row, ...]`.
    """
    images, num_batches = stream.images[role], batches.shape[1]
    ahead = _num_ahead(stream, batches[:, 0].size * _picture_bytes(images))
    steps = read_ahead(
        lambda number: read_rows(images, batches[:, number]),
        num_batches,
        num_threads=stream.num_threads,
        num_ahead=ahead,
    )
    for start in range(0, num_batches, ahead):
        stop = min(start + ahead, num_batches)
        yield np.stack([next(steps) for _ in range(start, stop)], axis=1)


class StepReader:
    """Reads the pictures of training steps, ahead of the program and across its chunks.

    What a step sees depends on its number alone, so the reader is a cache: it may be asked to
    begin anywhere.
    """

    def __init__(
        self,
        stream: Stream,
        draw: Callable[[Any, int, int], Mapping[str, np.ndarray]],
        rows: Mapping[str, tuple[str, np.ndarray]],
        own: Mapping[str, slice],
        num_steps: int,
    ):
        """Makes a reader; nothing is read yet.

        Args:
            stream: Where the pictures are.
            draw: `(keys, first_step, num_steps) -> {domain: [member, step, row]}`, positions in
                the training splits.
            rows: By domain its role and its training split, `[member, row]`.
            own: By domain, which rows of a batch this process reads.
            num_steps: Steps of the whole run.
        """
        self._stream, self._draw, self._rows, self._own = stream, draw, rows, own
        self._num_steps = num_steps
        self._keys, self._next = None, -1
        self._steps: Any = iter(())
        self._ahead = 1

    def blocks(
        self, keys: Any, first_step: int, num_steps: int
    ) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
        """Reads some steps.

        Args:
            keys: The members' keys. Asking with the same array goes on reading ahead.
            first_step: Number of the first step.
            num_steps: Number of steps.

        Yields:
            By domain positions, `[member, step, row]`, and this process's pictures,
            `[member, step, row, ...]`, of as many steps as memory allows.
        """
        if keys is not self._keys or first_step != self._next:
            self._open(keys, first_step)
        self._next = first_step + num_steps
        for start in range(0, num_steps, self._ahead):
            count = min(self._ahead, num_steps - start)
            read = [next(self._steps) for _ in range(count)]
            positions, pictures = (
                {domain: np.stack([step[part][domain] for step in read], 1) for domain in own}
                for part, own in enumerate(read[0])
            )
            yield positions, pictures

    def close(self) -> None:
        """Stops reading."""
        close = getattr(self._steps, "close", None)
        if close is not None:
            close()
        self._steps, self._next = iter(()), -1

    def _open(self, keys: Any, first_step: int) -> None:
        self.close()
        self._keys = keys
        kept = jax.device_get(jax.random.key_data(keys))

        @functools.lru_cache(maxsize=4)
        def draw(number: int) -> Mapping[str, np.ndarray]:
            return self._draw(kept, number * STEPS_A_DRAW, STEPS_A_DRAW)

        def read(number: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
            block, place = divmod(first_step + number, STEPS_A_DRAW)
            positions, pictures = {}, {}
            for domain, drawn in draw(block).items():
                role, rows = self._rows[domain]
                positions[domain] = drawn[:, place]
                own = np.take_along_axis(rows, positions[domain][:, self._own[domain]], axis=1)
                pictures[domain] = read_rows(self._stream.images[role], own)
            return positions, pictures

        size = sum(array.nbytes for array in read(0)[1].values())
        self._ahead = _num_ahead(self._stream, size)
        self._steps = read_ahead(
            read,
            self._num_steps - first_step,
            num_threads=self._stream.num_threads,
            num_ahead=self._ahead,
        )


def _picture_bytes(images: Any) -> int:
    return int(np.prod(images.shape[1:])) * images.dtype.itemsize


def _num_ahead(stream: Stream, num_bytes: int) -> int:
    """Counts how many batches of a size fit: half waits, half is being put together."""
    return max(1, stream.num_bytes // (2 * max(1, num_bytes)))
