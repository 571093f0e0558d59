"""Tests of labels that are no classes, as npz files hold them."""

import numpy as np
import pytest

from common.data.example import is_labelled
from common.data.npz import read_npz

FEATURES = np.arange(8, dtype=np.float32).reshape(4, 2)


def write(folder, **arrays):
    path = folder / "domain.npz"
    np.savez(path, **arrays)
    return str(path)


def test_values_keep_their_numbers_and_one_column_each(tmp_path):
    labels = np.array([1.5, np.nan, -2, 4], np.float64)
    examples = read_npz(write(tmp_path, features=FEATURES, labels=labels), kind="regression")
    assert examples.labels.dtype == np.float32 and examples.classes == ("0",)
    np.testing.assert_array_equal(examples.labels[:, 0], labels.astype(np.float32))
    assert is_labelled(examples.labels).tolist() == [True, False, True, True]


def test_whole_numbers_are_values_too_and_columns_have_names(tmp_path):
    arrays = {"features": FEATURES, "labels": np.arange(8).reshape(4, 2)}
    path = write(tmp_path, **arrays, classes=np.array(["age", "height"]))
    assert read_npz(path, kind="regression").classes == ("age", "height")
    # The same file has no classes that one could count.
    with pytest.raises(ValueError, match="shape"):
        read_npz(path)


def test_splits_with_and_without_several_labels(tmp_path):
    given = np.array([[1, 0], [-1, -1], [1, 1], [0, 0]])
    path = write(tmp_path, train_features=FEATURES, train_labels=given, test_features=FEATURES[:2])
    examples = read_npz(path, kind="multi_label")
    assert is_labelled(examples.labels).tolist() == [True, False, True, True, False, False]
    np.testing.assert_array_equal(examples.labels[[0, 2, 3]], given[[0, 2, 3]])
    assert examples.splits is not None and list(examples.splits) == ["train", "test"]


def test_without_any_label_there_is_no_name(tmp_path):
    examples = read_npz(write(tmp_path, features=FEATURES), kind="regression")
    assert examples.classes == () and examples.labels.shape == (4, 0)


def test_pixels_count_the_classes_of_all_splits(tmp_path):
    pictures, masks = np.zeros((2, 3, 4, 1), np.uint8), np.zeros((2, 3, 4), np.int64)
    masks[1, 0] = (0, 2, -1, 1)
    arrays = {"train_features": pictures, "train_labels": masks, "test_features": pictures}
    examples = read_npz(write(tmp_path, **arrays), kind="segmentation")
    assert examples.classes == ("0", "1", "2") and examples.labels.dtype == np.int32
    np.testing.assert_array_equal(examples.labels[:2], masks)
    assert is_labelled(examples.labels).tolist() == [True, True, False, False]
    for wrong, sentence in ((masks[:, :2], "whole numbers"), (masks - 1, "from -2 to 1")):
        with pytest.raises(ValueError, match=sentence):
            read_npz(write(tmp_path, **arrays | {"train_labels": wrong}), kind="segmentation")
    names = {"classes": np.array(["sky", "road"])}
    with pytest.raises(ValueError, match="from 0 to 1, with -1"):
        read_npz(write(tmp_path, **arrays, **names), kind="segmentation")


@pytest.mark.parametrize(
    ("kind", "labels", "names", "sentence"),
    [
        ("regression", np.arange(3.0), None, r"the shape \(3,\)"),
        ("regression", np.array(list("abcd")), None, "must hold numbers"),
        ("regression", np.array([0, 1, 2, np.inf]), None, "holds inf"),
        ("regression", np.ones((4, 2)), ["a"], "lists 1 names"),
        ("regression", np.ones((4, 2, 2)), None, "must hold numbers"),
        ("multi_label", np.array([0, 1, 2, 1]), None, "holds 2.0"),
        ("multi_label", np.array([[0, 1], [0, -1], [1, 1], [0, 0]]), None, "of example 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(kind, labels, names, sentence, tmp_path):
    arrays = {} if names is None else {"classes": np.array(names)}
    path = write(tmp_path, features=FEATURES, labels=labels, **arrays)
    with pytest.raises(ValueError, match=sentence):
        read_npz(path, kind=kind)
