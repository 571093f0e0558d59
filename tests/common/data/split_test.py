"""Tests of splits that are drawn where a domain is published without them."""

import numpy as np
import pytest

from common.data.example import Examples
from common.data.split import complete_splits

LETTERS = ("a", "b", "c")


def examples_of(classes, labels, splits=None):
    labels = np.asarray(labels, np.int32)
    return Examples(np.zeros((len(labels), 2)), labels, tuple(classes), 1.0, splits)


@pytest.mark.parametrize(
    "published", [("train", "test"), ("train", "val"), ("train", "val", "test")]
)
def test_published_splits_stay(published):
    rows = {"train": np.arange(5, 45), "val": np.arange(45, 50), "test": np.arange(50, 60)}
    given = {part: rows[part] for part in published}
    splits = complete_splits(
        examples_of(LETTERS, np.zeros(60), given), val_share=0.1, test_share=0.2, seed=3
    )
    for part in published[1:]:
        np.testing.assert_array_equal(splits[part], rows[part])
    drawn = [splits[part] for part in ("train", "val", "test") if part not in published[1:]]
    np.testing.assert_array_equal(np.sort(np.concatenate(drawn)), rows["train"])
    assert list(splits) == ["train", "val", "test"]


def test_a_seed_decides_the_drawn_splits_and_labels_do_not():
    one = examples_of(LETTERS, np.arange(60) % 3)
    other = one._replace(labels=np.sort(one.labels))
    splits = [
        complete_splits(examples, 0.1, 0.2, seed)
        for examples, seed in ((one, 0), (other, 0), (one, 1))
    ]
    for part, rows in splits[0].items():
        np.testing.assert_array_equal(rows, splits[1][part])
        assert not np.array_equal(rows, splits[2][part])


def test_halves_share_no_row_of_the_published_order():
    examples = examples_of(LETTERS, np.zeros(61), {"train": np.arange(61)[::-1]})
    halves = [complete_splits(examples, 0.1, 0.2, 0, half=half) for half in (0, 1)]
    rows = [set(np.concatenate(list(splits.values())).tolist()) for splits in halves]
    assert not rows[0] & rows[1]
    assert rows[0] | rows[1] == set(range(61))
    assert {row % 2 for row in rows[0]} == {0}


@pytest.mark.parametrize(
    ("splits", "shares", "message"),
    [
        ({"train": np.arange(4)}, (0.1, 0.2), "the split val would be empty; 4 examples are"),
        ({"train": np.arange(1), "test": np.arange(1, 4)}, (0.9, 0.2), "split train would be emp"),
        ({"train": np.arange(9), "test": np.arange(0)}, (0.2, 0.2), "it is published empty"),
        ({"test": np.arange(9)}, (0.1, 0.2), "has no split train, but test"),
    ],
)
def test_an_empty_split_is_refused(splits, shares, message):
    examples = examples_of(LETTERS, np.zeros(9), splits)
    with pytest.raises(ValueError, match=message):
        complete_splits(examples, *shares, seed=0)
