"""Tests of targets that are left with some of the source's classes."""

import numpy as np
import pytest

from common.data import reader
from common.data.task import load_task
from tests.common.data.tiny_task import LETTERS, examples_of, make_config, names_of


@pytest.mark.parametrize("names", [("left", "right"), ("digits", "digits")])
def test_a_target_is_left_with_some_classes_and_the_task_keeps_all(files, names):
    source, target = (name if name == "digits" else f"folder:{name}" for name in names)
    kept = ("7", "1") if target == "digits" else ("c", "a")
    changes = {"data.target_classes": kept, "data.digits.train": 150, "data.digits.val": 50}
    whole, loaded = (
        load_task(make_config(source=source, target=target, **own))
        for own in ({"data.digits.train": 150, "data.digits.val": 50}, changes)
    )
    assert loaded["source"].examples is whole["source"].examples
    for part, rows in whole["source"].splits.items():
        np.testing.assert_array_equal(loaded["source"].splits[part], rows)
    assert loaded["target"].examples.classes == whole["target"].examples.classes
    every = np.concatenate(list(loaded["target"].splits.values()))
    assert set(names_of(loaded["target"], every)) == set(kept)
    before = whole["target"].examples.labels
    numbers = [whole["target"].examples.classes.index(name) for name in kept]
    np.testing.assert_array_equal(np.sort(every), np.flatnonzero(np.isin(before, numbers)))
    # Numbers of classes are those of the source.
    np.testing.assert_array_equal(loaded["target"].examples.labels[every], before[every])
    assert loaded["target"].chosen_by_label and not loaded["source"].chosen_by_label
    assert not whole["target"].chosen_by_label


def test_a_budget_of_labels_is_spent_on_the_classes_that_are_left(files):
    changes = {"data.target_classes": ("c", "b"), "data.target_labels_per_class": 2}
    target = load_task(make_config(domains=("target_labelled",), **changes))["target"]
    assert names_of(target, target.splits["labelled"]) == ["c", "b", "c", "b"]


def test_all_classes_of_the_target_are_the_whole_target(files):
    whole, named = (
        load_task(make_config(**{"data.target_classes": own})) for own in ((), ("c", "a", "b"))
    )
    assert not named["target"].chosen_by_label
    for part, rows in whole["target"].splits.items():
        np.testing.assert_array_equal(named["target"].splits[part], rows)


def test_a_partial_target_that_cannot_be_is_refused(files):
    with pytest.raises(ValueError, match=r"config.data.target_classes\[1\] is 'z'; legal are a, b"):
        load_task(make_config(**{"data.target_classes": ("a", "z")}))
    files["right"] = examples_of(LETTERS, [-1, *np.arange(59) % 3])
    reader.read.cache_clear()
    with pytest.raises(ValueError, match="by label, and 1 of config.target 'folder:right' have no"):
        load_task(make_config(**{"data.target_classes": ("a", "b")}))
