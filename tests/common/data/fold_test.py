"""Tests of folds: parts of the labelled examples, each held out once."""

import numpy as np
import pytest

from common.data.example import Examples
from common.data.fold import hold_out, role_of_folds
from common.data.pipeline import balanced_classes


def config_of(folds=3, fold: int | None = 0, each=0, domains=("source",), seed=5):
    data = {"folds": folds, "fold": fold, "target_labels_per_class": each, "split_seed": seed}
    return {"data": data, "domains": domains, "method": "a_row"}


def examples_of(labels, classes=4):
    names = tuple("abcd")[:classes]
    return Examples(np.zeros((len(labels), 2)), np.asarray(labels), names, 1.0)


def test_folds_of_a_budget_hold_each_class_equally_often_and_are_disjoint():
    each, classes = 7, 4
    labelled = 100 + np.arange(each * classes)
    found = []
    for fold in range(3):
        config = config_of(3, fold, each, ("target_labelled",))
        examples = examples_of((np.arange(500) - 100) % classes)
        splits = {"labelled": labelled, "train": np.arange(500)}
        splits = hold_out(config, splits, "target", examples)
        # Turns of one of each class stay turns of one of each class.
        assert list((splits["held_out"] - 100) % classes) == [0, 1, 2, 3] * 2
        assert list((splits["labelled"] - 100) % classes) == [0, 1, 2, 3] * 5
        assert set(splits["labelled"]) | set(splits["held_out"]) == set(labelled)
        assert not set(splits["labelled"]) & set(splits["held_out"])
        assert np.array_equal(splits["train"], np.arange(500))
        sizes = {"target_labelled": len(splits["labelled"])}
        assert balanced_classes(config["data"], sizes) == {"target_labelled": classes}
        found.append(splits["held_out"])
    # Seven examples in three folds of two: one of each class is always learned from.
    assert len(np.unique(np.concatenate(found))) == 6 * classes


@pytest.mark.parametrize(
    ("role", "domains"), [("source", ("source", "target")), ("target", ("target_labelled",))]
)
def test_folds_of_a_training_split_are_of_one_size_and_hold_every_class(role, domains):
    rows = np.arange(50, 150)
    # Of 100 rows 7, 9, 31 and 53 have the classes.
    labels = np.concatenate([np.zeros(50, int), np.repeat(range(4), (7, 9, 31, 53))])
    examples = examples_of(labels)

    def cut(fold, seed=5):
        config = config_of(7, fold, 0, domains, seed)
        return hold_out(config, {"train": rows}, role, examples)

    folds = [cut(fold) for fold in range(7)]
    assert {len(own["held_out"]) for own in folds} == {14}
    held = np.concatenate([own["held_out"] for own in folds])
    assert len(np.unique(held)) == 98
    counts = np.array([np.bincount(labels[own["held_out"]], minlength=4) for own in folds])
    assert (counts.min(0) >= (1, 1, 4, 6)).all() and (counts.max(0) <= (1, 2, 5, 8)).all()
    learned = "labelled" if role == "target" else "train"
    for own in folds:
        assert np.array_equal(np.sort(np.concatenate([own[learned], own["held_out"]])), rows)
    assert np.array_equal(folds[0]["train"], rows) == (role == "target")
    assert np.array_equal(cut(0)["held_out"], folds[0]["held_out"])
    assert set(cut(0, seed=6)["held_out"]) != set(folds[0]["held_out"])


def test_what_a_run_is_for_is_cut_into_folds():
    assert role_of_folds(config_of(domains=("source", "target_labelled"))) == "target"
    assert role_of_folds(config_of(domains=("source", "target"))) == "source"
    assert role_of_folds(config_of(fold=None)) is None
    with pytest.raises(ValueError, match="the row 'a_row' learns from none"):
        role_of_folds(config_of(domains=("target",)))


@pytest.mark.parametrize(
    ("folds", "fold", "each", "sentence"),
    [
        (1, 0, 4, "config.data.folds is 1; there are 4 labelled examples of each class"),
        (5, 0, 4, "cut them into 2 to 4 folds"),
        (4, 4, 4, "config.data.fold is 4; of 4 folds it is 0 to 3"),
        (
            *(4, 0, 0),
            "folds is 4; the class 'b' has 3 examples in the training split of the target: cut "
            "them into 2 to 3 folds, or leave the class out by config.data.classes",
        ),
        (
            *(5, 0, 1),
            "there are 1 labelled examples of each class: set config.data.target_labels_per_class "
            "to at least 5, in a sweep for all of its runs",
        ),
    ],
)
def test_folds_that_cannot_be_are_refused(folds, fold, each, sentence):
    examples = examples_of([0, 1] * 4 if each else [0, 1, 0, 1, 0, 1, 0, 0])
    splits = {"train": np.arange(8), "labelled": np.arange(2 * each)}
    with pytest.raises(ValueError, match=sentence):
        config = config_of(folds, fold, each, ("target_labelled",))
        hold_out(config, splits, "target", examples)
