"""Tests of folds: parts of the labelled examples, each held out once."""

import numpy as np
import pytest

from common.data.fold import hold_out, role_of_folds
from common.data.pipeline import balanced_classes


def config_of(folds=3, fold: int | None = 0, each=0, domains=("source",), seed=5):
    data = {"folds": folds, "fold": fold, "target_labels_per_class": each, "split_seed": seed}
    return {"data": data, "domains": domains, "method": "a_row"}


def test_folds_of_a_budget_hold_each_class_equally_often_and_are_disjoint():
    each, classes = 7, 4
    labelled = 100 + np.arange(each * classes)
    found = []
    for fold in range(3):
        config = config_of(3, fold, each, ("target_labelled",))
        splits = hold_out(config, {"labelled": labelled, "train": np.arange(500)}, "target")
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
def test_folds_of_a_training_split_are_drawn_at_random_and_of_one_size(role, domains):
    rows = np.arange(50, 150)
    folds = [hold_out(config_of(7, fold, 0, domains), {"train": rows}, role) for fold in range(7)]
    assert {len(own["held_out"]) for own in folds} == {14}
    held = np.concatenate([own["held_out"] for own in folds])
    assert len(np.unique(held)) == 98 and not np.array_equal(held, np.sort(held))
    learned = "labelled" if role == "target" else "train"
    assert all(not set(own[learned]) & set(own["held_out"]) for own in folds)
    assert np.array_equal(folds[0]["train"], rows) == (role == "target")
    again = hold_out(config_of(7, 0, 0, domains), {"train": rows}, role)
    assert np.array_equal(again["held_out"], folds[0]["held_out"])
    other = hold_out(config_of(7, 0, 0, domains, seed=6), {"train": rows}, role)
    assert not np.array_equal(other["held_out"], folds[0]["held_out"])


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
        (9, 0, 0, "there are 8 examples of the target"),
    ],
)
def test_folds_that_cannot_be_are_refused(folds, fold, each, sentence):
    splits = {"train": np.arange(8), "labelled": np.arange(8)}
    with pytest.raises(ValueError, match=sentence):
        hold_out(config_of(folds, fold, each, ("target_labelled",)), splits, "target")
