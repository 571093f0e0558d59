"""Tests of the labelled target examples that a budget pays for."""

import numpy as np
import pytest

from common.data import domain
from common.data.example import Examples
from common.data.labelled import draw_labelled
from common.data.task import load_task
from configs import base, method_row
from tests import tiny

CLASSES = ("a", "b", "c")
LABELS = (np.arange(90) * 7 % 10).clip(0, 2).astype(np.int32)  # 9, 9 and 72 of 90
ROWS = np.arange(0, 90, dtype=np.int32)[np.arange(90) % 5 != 4]


def draw(count, seed=0, labels=LABELS, classes=CLASSES):
    config = {
        "target": "there",
        "data": {"target_labels_per_class": count, "split_seed": seed},
    }
    examples = Examples(np.zeros((90, 1)), labels, CLASSES, 1.0)
    return draw_labelled(config, examples, ROWS, classes)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_each_class_has_as_many_examples_as_the_budget_says(count):
    rows = draw(count)
    assert set(rows) <= set(ROWS)
    assert len(set(rows)) == 3 * count
    np.testing.assert_array_equal(LABELS[rows], np.tile([0, 1, 2], count))


def test_a_larger_budget_adds_to_a_smaller_one():
    largest = draw(7)
    for count in (1, 2, 3):
        np.testing.assert_array_equal(draw(count), largest[: 3 * count])


def test_split_seeds_draw_other_examples():
    drawn = {tuple(draw(3, seed)) for seed in range(10)}
    assert len(drawn) == 10


def test_labels_beyond_the_budget_are_not_read():
    rows = draw(3)
    hidden = np.full_like(LABELS, -1)
    hidden[rows] = LABELS[rows]
    np.testing.assert_array_equal(draw(3, labels=hidden), rows)


def test_classes_that_the_target_lacks_are_left_out():
    rows = draw(2, classes=("a", "c"))
    np.testing.assert_array_equal(LABELS[rows], [0, 2, 0, 2])
    np.testing.assert_array_equal(rows[::2], draw(2)[::3])


@pytest.mark.parametrize(
    ("count", "labels", "classes", "said"),
    [
        (10, LABELS, CLASSES, "9 of the class a; ask for fewer"),
        (1, np.zeros_like(LABELS), CLASSES, "0 of the class b; "),
        (1, np.full_like(LABELS, -1), (), "no labelled example; "),
    ],
)
def test_a_budget_that_cannot_be_spent_is_refused(count, labels, classes, said):
    sentence = f"per_class is {count}, and the training split of config.target 'there' has {said}"
    with pytest.raises(ValueError, match=sentence):
        draw(count, labels=labels, classes=classes)


def task_of(row, **changes):
    return load_task(tiny.make_config(row, {"data.target_labels_per_class": 3, **changes}))


@pytest.fixture(scope="module")
def labelled():
    return task_of("dann+target_labelled")["target"]


def test_labelled_pictures_stay_in_the_unlabelled_pool(labelled):
    plain = task_of("dann")["target"]
    assert set(labelled.splits["labelled"]) <= set(labelled.splits["train"])
    for part, rows in plain.splits.items():
        np.testing.assert_array_equal(labelled.splits[part], rows)
    assert "labelled" not in plain.splits


@pytest.mark.parametrize("row", ["train_on_target", "train_on_both", "mcc+target_labelled"])
def test_rows_have_the_same_labelled_pictures(labelled, row):
    np.testing.assert_array_equal(
        task_of(row)["target"].splits["labelled"], labelled.splits["labelled"]
    )


def test_a_target_needs_no_labels_beyond_the_budget(labelled, monkeypatch):
    load, rows = domain.DOMAINS["digits"], labelled.splits["labelled"]

    def hidden(options):
        examples = load(options)
        kept = np.isin(np.arange(len(examples.labels)), rows)
        return examples._replace(labels=np.where(kept, examples.labels, -1))

    monkeypatch.setitem(domain.DOMAINS, "digits", hidden)
    domain._load.cache_clear()
    target = task_of("dann+target_labelled")["target"]
    np.testing.assert_array_equal(target.splits["labelled"], rows)
    with pytest.raises(
        ValueError, match="of whose 900 examples in the split train 870 have no label"
    ):
        task_of("train_on_target", **{"data.target_labels_per_class": 0})
    domain._load.cache_clear()


def test_test_pictures_may_be_seen_and_their_labels_may_not(labelled):
    target = task_of("dann+target_labelled", **{"data.transductive": True})["target"]
    assert set(target.splits["test"]) <= set(target.splits["train"])
    np.testing.assert_array_equal(target.splits["labelled"], labelled.splits["labelled"])
    with pytest.raises(ValueError, match="or the number of labels by config.data.target_labels"):
        task_of("train_on_target", **{"data.transductive": True, "data.target_labels_per_class": 0})


def test_rows_that_train_on_all_labels_have_no_budget():
    config = method_row.set_method(base.get_config(), "train_on_target")
    assert config.data.target_labels_per_class == 0
    target = task_of("train_on_target", **{"data.target_labels_per_class": 0})["target"]
    assert set(target.splits) == {"train", "val", "test"}
