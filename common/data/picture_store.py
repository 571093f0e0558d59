"""Pictures that are read when asked for, in threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

NUM_THREADS = max(2, min(8, os.cpu_count() or 1))
# Handing work to a thread costs as much as decoding a small picture, so threads take several calls
# at a time; and few of these wait at a time, since what waits takes memory.
CALLS_A_TASK = 16
TASKS_A_BLOCK = 256

Result = TypeVar("Result")


def map_in_threads(function: Callable[[int], Result], numbers: Sequence[int]) -> Iterator[Result]:
    """Calls a function for each number in a few threads; Pillow decodes without Python's lock.

    Args:
        function: Has to be safe in threads.
        numbers: What it is called with.

    Yields:
        The results, in the order of the numbers. The first error in that order is raised.
    """
    workers = min(NUM_THREADS, len(numbers))
    if workers < 2:
        yield from map(function, numbers)
        return
    num_calls = max(1, min(CALLS_A_TASK, len(numbers) // (4 * workers)))
    num_waiting = num_calls * TASKS_A_BLOCK

    def call(start: int) -> list[Result]:
        return [function(number) for number in numbers[start : start + num_calls]]

    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(numbers), num_waiting):
            last = min(first + num_waiting, len(numbers))
            for results in pool.map(call, range(first, last, num_calls)):
                yield from results


class Pictures:
    """A store of pictures of one shape that are read when asked for; safe from several threads.

    `pictures[rows]` reads the rows, an array of whole numbers or a slice, in a few threads, and
    keeps none of them.
    """

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        num_pictures: int,
        shape: tuple[int, int, int],
    ):
        """Makes a store; nothing is read yet.

        Args:
            read: From a row to its picture; has to be safe in threads.
            num_pictures: How many there are.
            shape: Height, width and channels of every picture.
        """
        self.shape = (num_pictures, *shape)
        self.dtype = np.dtype(np.uint8)
        self._read = read
        self._held: np.ndarray | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        held = self._held
        if isinstance(rows, slice):
            if held is not None:
                return held[rows]
            rows = np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows)
        if not rows.size:
            rows = rows.astype(np.intp)
        if not np.issubdtype(rows.dtype, np.integer):
            raise IndexError(f"rows of pictures are whole numbers or a slice, not {rows.dtype}")
        flat = rows.reshape(-1).astype(np.intp)
        flat = np.where(flat < 0, flat + len(self), flat)
        if flat.size and not (0 <= flat.min() and flat.max() < len(self)):
            raise IndexError(f"row {rows.min()} or {rows.max()} is none of {len(self)} pictures")
        pictures = self._read_all(flat) if held is None else held[flat]
        return pictures.reshape(*rows.shape, *self.shape[1:])

    def hold(self) -> np.ndarray:
        """Reads all pictures, once, and serves them from memory from then on.

        Returns:
            All pictures, which must not be written to.
        """
        with self._lock:
            if self._held is None:
                held = self._read_all(np.arange(len(self)))
                held.flags.writeable = False
                self._held = held
            return self._held

    def _read_all(self, rows: np.ndarray) -> np.ndarray:
        pictures = np.empty((len(rows), *self.shape[1:]), self.dtype)

        def read(place: int) -> None:
            row = int(rows[place])
            picture = self._read(row)
            if picture.shape != self.shape[1:] or picture.dtype != self.dtype:
                raise ValueError(
                    f"picture {row} now is {picture.dtype} of shape {picture.shape}, where "
                    f"{self.dtype} of shape {self.shape[1:]} was found at first; start again"
                )
            pictures[place] = picture

        for _ in map_in_threads(read, range(len(rows))):
            pass
        return pictures
