"""Tests of pictures that are read when asked for, in threads."""

import threading

import numpy as np
import pytest

from common.data import picture_store as module
from common.data.picture_store import Pictures, map_in_threads

RNG = np.random.default_rng(0)


class Reader:
    """Gives pictures whose pixels are their row; counts what was read."""

    def __init__(self):
        self.rows, self.lock = [], threading.Lock()

    def __call__(self, row):
        with self.lock:
            self.rows.append(row)
        return np.full((2, 3, 1), row % 256, np.uint8)


ROWS = [
    np.array([3, 0, 99, 3]),
    np.array([-1, 5], np.int32),
    np.zeros(0, np.int64),
    [],
    [7],
    slice(None, None, 17),
    slice(90, 200),
    slice(5, 5),
    slice(None, None, -20),
    np.array([[1, 2], [3, 4]]),
    4,
    np.int32(-100),
]


@pytest.mark.parametrize("rows", ROWS, ids=repr)
@pytest.mark.parametrize("held", [False, True])
def test_a_store_gives_the_rows_of_an_array(rows, held):
    read = Reader()
    pictures = Pictures(read, 100, (2, 3, 1))
    whole = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((2, 3, 1), np.uint8)
    if held:
        np.testing.assert_array_equal(pictures.hold(), whole)
        read.rows.clear()
    expected = whole[np.array(rows, np.intp) if isinstance(rows, list) else rows]
    found = pictures[rows]
    assert found.dtype == pictures.dtype == np.uint8 and pictures.shape == whole.shape
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)
    # No row is read that was not asked for, and none of those that are held.
    asked = [] if held else expected.reshape(-1, 6)[:, 0].tolist()
    assert sorted(read.rows) == sorted(asked)


@pytest.mark.parametrize("held", [False, True])
def test_rows_that_do_not_exist_are_refused(held):
    pictures = Pictures(Reader(), 100, (2, 3, 1))
    if held:
        pictures.hold()
    for rows in ([100], [0, -101], 100):
        with pytest.raises(IndexError, match="is none of 100 pictures"):
            pictures[rows]
    for rows in ([0.5], np.ones(100, bool)):
        with pytest.raises(IndexError, match="whole numbers or a slice"):
            pictures[rows]


def test_a_store_keeps_nothing_until_it_is_told_to():
    read = Reader()
    pictures = Pictures(read, 10, (2, 3, 1))
    for _ in range(2):
        pictures[np.arange(3)]
    assert sorted(read.rows) == [0, 0, 1, 1, 2, 2]


def test_a_store_is_held_once_however_many_ask():
    read = Reader()
    pictures = Pictures(read, 50, (2, 3, 1))
    started = threading.Barrier(4)
    held = []

    def hold():
        started.wait(5)
        held.append(pictures.hold())

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read.rows) == list(range(50))
    assert len({id(own) for own in held}) == 1
    with pytest.raises(ValueError, match="read-only"):
        held[0][0] = 1


def test_a_store_may_be_read_from_several_threads():
    pictures = Pictures(Reader(), 200, (2, 3, 1))
    rows = RNG.integers(0, 200, (6, 300))
    found = {}

    def read(number):
        found[number] = pictures[rows[number]]

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, own in enumerate(rows):
        np.testing.assert_array_equal(found[number][:, 0, 0, 0], own)


@pytest.mark.parametrize(
    "changed", [np.zeros((1, 1, 1), np.uint8), np.zeros((2, 3, 1), np.float32)]
)
def test_a_picture_that_changed_since_is_not_stretched(changed):
    pictures = Pictures(lambda row: changed, 4, (2, 3, 1))
    with pytest.raises(ValueError, match=r"picture 2 now is .* where uint8 of shape \(2, 3, 1\)"):
        pictures[[2]]


@pytest.mark.parametrize("calls", [1, 3, 16])
@pytest.mark.parametrize("tasks", [1, 2, 256])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 100, 1001])
def test_every_number_is_called_once_and_in_order(monkeypatch, calls, tasks, count):
    monkeypatch.setattr(module, "CALLS_A_TASK", calls)
    monkeypatch.setattr(module, "TASKS_A_BLOCK", tasks)
    numbers = RNG.permutation(count).tolist()
    read = Reader()
    assert [own[0, 0, 0] for own in map_in_threads(read, numbers)] == [n % 256 for n in numbers]
    assert sorted(read.rows) == list(range(count))


def test_results_come_in_order_and_the_first_error_is_raised(monkeypatch):
    monkeypatch.setattr(module, "TASKS_A_BLOCK", 4)
    late = threading.Event()

    def call(number):
        if number == 0:
            assert late.wait(5)
        late.set()
        if number in (6, 7):
            raise ValueError(f"error of {number}")
        return number * number

    assert list(map_in_threads(call, range(6))) == [0, 1, 4, 9, 16, 25]
    late.clear()
    with pytest.raises(ValueError, match="error of 6"):
        list(map_in_threads(call, range(10)))
    assert list(map_in_threads(call, [])) == []
