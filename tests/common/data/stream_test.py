"""Tests of reading ahead: order, memory, errors, and what each process reads."""

import threading
import time

import jax
import numpy as np
import pytest

from common.data import stream as module
from common.data.pipeline import indices
from common.data.stream import StepReader, Stream, read_ahead, read_blocks

SIZES, BATCH_SIZES = {"source": 30, "target": 20}, {"source": 4, "target": 4}
NUM_STEPS = 40


class Pictures:
    """Stored pictures of one pixel, whose value is their row; counts what was read."""

    shape, dtype = (30, 1), np.dtype(np.uint8)

    def __init__(self):
        self.rows, self.lock = [], threading.Lock()

    def __getitem__(self, rows):
        with self.lock:
            self.rows.append(np.array(rows))
        return np.asarray(rows, np.uint8)[:, None]


def draw(key_data, first_step, num_steps):
    keys = jax.random.wrap_key_data(key_data)
    drawn = jax.vmap(lambda key: indices(key, first_step, num_steps, SIZES, BATCH_SIZES))(keys)
    return jax.tree.map(np.asarray, drawn)


def make_reader(num_bytes, own=slice(0, 4), images=None):
    images = images or {"source": Pictures(), "target": Pictures()}
    rows = {
        domain: (domain, np.stack([np.random.default_rng(m).permutation(size) for m in range(2)]))
        for domain, size in SIZES.items()
    }
    own_rows = dict.fromkeys(SIZES, own)
    reader = StepReader(Stream(images, num_bytes, 3), draw, rows, own_rows, NUM_STEPS)
    return reader, images, rows


def read(reader, keys, first_step, num_steps):
    blocks = list(reader.blocks(keys, first_step, num_steps))
    positions, pictures = zip(*blocks, strict=True)
    join = lambda parts: jax.tree.map(lambda *leaves: np.concatenate(leaves, 1), *parts)  # noqa: E731
    return join(positions), join(pictures), [next(iter(own.values())).shape[1] for own in positions]


@pytest.mark.parametrize("num_bytes", [1, 100, 10**6])
def test_steps_hold_the_pictures_that_the_indices_name(num_bytes, monkeypatch):
    monkeypatch.setattr(module, "STEPS_A_DRAW", 7)
    reader, _, rows = make_reader(num_bytes)
    keys = jax.random.split(jax.random.key(0), 2)
    expected = draw(jax.random.key_data(keys), 3, 30)
    first = read(reader, keys, 3, 10)
    second = read(reader, keys, 13, 20)
    reader.close()
    for domain in SIZES:
        positions = np.concatenate([first[0][domain], second[0][domain]], axis=1)
        np.testing.assert_array_equal(positions, expected[domain])
        pictures = np.concatenate([first[1][domain], second[1][domain]], axis=1)
        for member in range(2):
            own = rows[domain][1][member][expected[domain][member]]
            np.testing.assert_array_equal(pictures[member, ..., 0], own)
    # A step of both members takes 16 bytes: half of the memory waits, half is put together.
    assert max(first[2]) == max(1, min(10, num_bytes // 32))


def test_memory_is_bounded():
    reader, images, _ = make_reader(num_bytes=6 * 16)
    keys = jax.random.split(jax.random.key(0), 2)
    for number, _ in enumerate(reader.blocks(keys, 0, 30)):
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            # 3 steps a block; 3 more may wait, and the first step is read once for its size.
            assert len(images["source"].rows) <= 3 * (number + 1) + 3 + 1
    reader.close()


def test_reading_goes_on_across_chunks_without_reading_twice():
    reader, images, _ = make_reader(num_bytes=6 * 16)
    keys = jax.random.split(jax.random.key(0), 2)
    for first_step in range(0, NUM_STEPS, 5):
        read(reader, keys, first_step, 5)
    assert len(images["source"].rows) == NUM_STEPS + 1
    reader.close()


def test_processes_read_parts_that_make_up_the_batch():
    keys = jax.random.split(jax.random.key(0), 2)
    whole, *parts = (
        read(make_reader(1000, own)[0], keys, 0, 9)
        for own in (slice(0, 4), slice(0, 2), slice(2, 4))
    )
    for domain in SIZES:
        together = np.concatenate([part[1][domain] for part in parts], axis=2)
        np.testing.assert_array_equal(together, whole[1][domain])
        assert all((part[0][domain] == whole[0][domain]).all() for part in parts)


def test_blocks_of_an_evaluation_hold_every_row_in_order():
    images = {"source": Pictures()}
    batches = np.random.default_rng(0).integers(0, 30, (2, 7, 5))
    blocks = list(read_blocks(Stream(images, 60, 2), "source", batches))
    assert [block.shape[1] for block in blocks] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1)[..., 0], batches)


def test_a_picture_that_cannot_be_read_is_an_error_of_the_reader():
    def fail(number):
        if number == 3:
            raise OSError("picture 3 is cut short")
        return number

    results = read_ahead(fail, 9, num_threads=2, num_ahead=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="picture 3 is cut short"):
        next(results)


def test_closing_stops_the_threads():
    before = set(threading.enumerate())
    reader, _, _ = make_reader(num_bytes=1000)
    read(reader, jax.random.split(jax.random.key(0), 2), 0, 2)
    started = set(threading.enumerate()) - before
    assert started
    reader.close()
    for thread in started:
        thread.join(10)
    assert not any(thread.is_alive() for thread in started)
