"""Tests of npz domains."""

import numpy as np
import pytest

from common.data.npz import read_npz

DRAW = np.random.default_rng(0)
FEATURES = DRAW.normal(size=(5, 3))
LABELS = np.asarray([3, 1, 1, 20, 3])


def save(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return str(folder / "a.npz")


def test_vectors_and_labels_are_read(tmp_path):
    examples = read_npz(save(tmp_path, features=FEATURES, labels=LABELS))
    np.testing.assert_array_equal(examples.images, FEATURES.astype(np.float32))
    assert examples.images.dtype == np.float32 and examples.maximum == 1.0
    assert examples.classes == ("1", "3", "20") and examples.splits is None
    np.testing.assert_array_equal(examples.labels, [1, 0, 0, 2, 1])


def test_splits_follow_each_other(tmp_path):
    own = {"test_features": FEATURES[:2], "test_labels": np.asarray(["b", ""])}
    own |= {"train_features": FEATURES[2:], "train_labels": np.asarray(["c", "b", "a"])}
    examples = read_npz(save(tmp_path, **own))
    assert examples.splits is not None and list(examples.splits) == ["train", "test"]
    for part, rows in examples.splits.items():
        expected = own[f"{part}_features"].astype(np.float32)
        np.testing.assert_array_equal(examples.images[rows], expected)
    assert examples.classes == ("a", "b", "c")
    np.testing.assert_array_equal(examples.labels, [2, 1, 0, 1, -1])


def test_a_split_may_lack_labels(tmp_path):
    own = {"train_features": FEATURES, "test_features": FEATURES[:2], "test_labels": LABELS[:2]}
    examples = read_npz(save(tmp_path, **own))
    np.testing.assert_array_equal(examples.labels, [-1] * 5 + [1, 0])
    examples = read_npz(save(tmp_path, features=FEATURES))
    assert examples.classes == ()
    np.testing.assert_array_equal(examples.labels, [-1] * 5)


def test_classes_that_are_declared_number_the_labels(tmp_path):
    names = np.asarray(["z", "b", "y"])
    labels = np.asarray([2, -1, 0, 0, 2], np.int64)
    examples = read_npz(save(tmp_path, features=FEATURES, labels=labels, classes=names))
    assert examples.classes == ("z", "b", "y")
    np.testing.assert_array_equal(examples.labels, labels)
    labels = np.asarray(["y", "", "z", "z", "y"])
    examples = read_npz(save(tmp_path, features=FEATURES, labels=labels, classes=names))
    np.testing.assert_array_equal(examples.labels, [2, -1, 0, 0, 2])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.asarray([[0.0, 255.0]]), np.uint8),
        (np.asarray([[True, False]]), np.uint8),
        (np.asarray([[256, 0]], np.int64), np.uint16),
        (np.asarray([[-1, 0]], np.int8), np.float32),
        (np.asarray([[2**16, 0]], np.uint64), np.float32),
    ],
)
def test_counts_are_stored_in_the_smallest_type_that_holds_them(values, dtype, tmp_path):
    images = read_npz(save(tmp_path, features=values)).images
    assert images.dtype == dtype
    np.testing.assert_array_equal(images, values)


def test_pictures_are_adapted(tmp_path):
    pictures = DRAW.integers(0, 256, (4, 6, 5, 3)).astype(np.uint8)
    path = save(tmp_path, features=pictures)
    examples = read_npz(path)
    assert examples.maximum == 255.0 and examples.images.dtype == np.uint8
    np.testing.assert_array_equal(examples.images, pictures)
    examples = read_npz(path, lambda picture: picture[:5, :, :1])
    np.testing.assert_array_equal(examples.images, pictures[:, :5, :, :1])


BAD = {
    "lengths": ({"features": FEATURES, "labels": LABELS[:4]}, r"labels has the shape \(4,\), but"),
    "axes": ({"features": FEATURES, "labels": LABELS[:, None]}, r"labels has the shape \(5, 1\)"),
    "nan": ({"features": np.asarray([[np.nan, 1], [np.inf, -np.inf]])}, "holds 3 values that are"),
    "huge": ({"features": np.asarray([[1e39, 1]])}, "holds 1 values .* too large for 32 bits"),
    "object": ({"features": np.asarray([[1, None]])}, "no npz file of plain .* allow_pickle=False"),
    "none": ({"x": FEATURES, "y": LABELS}, "holds the arrays x, y; it must hold features, or"),
    "both": (
        {"features": FEATURES, "test_features": FEATURES},
        "both features and test_features; write either",
    ),
    "typo": ({"features": FEATURES, "label": LABELS}, "array 'label'; did you mean 'labels'"),
    "alone": (
        {"train_features": FEATURES, "test_labels": LABELS},
        "array 'test_labels'; did you mean 'train_labels'",
    ),
    "widths": (
        {"train_features": FEATURES, "val_features": FEATURES[:, :2]},
        r"val_features holds examples of shape \(2,\), train_features of \(3,\)",
    ),
    "empty": ({"features": FEATURES[:0]}, r"shape \(0, 3\); it must hold numbers"),
    "one axis": ({"features": FEATURES[0]}, r"shape \(3,\); it must hold numbers"),
    "text": ({"features": np.asarray([["a"]])}, "it must hold numbers"),
    "complex": ({"features": FEATURES * 1j}, "type complex128 .* it must hold numbers"),
    "grey": ({"features": np.zeros((2, 4, 4), np.uint8)}, r"pictures \[example, height, width, ch"),
    "float pictures": ({"features": np.zeros((2, 4, 4, 1))}, "pictures must be uint8"),
    "channels first": ({"features": np.zeros((2, 3, 4, 4), np.uint8)}, "pictures must be uint8"),
    "fractions": ({"features": FEATURES, "labels": LABELS * 1.0}, "whole numbers or text"),
    "kinds": (
        {
            **{"train_features": FEATURES, "train_labels": LABELS},
            **{"test_features": FEATURES, "test_labels": LABELS.astype(str)},
        },
        "one split by numbers and another by text",
    ),
    "unknown class": (
        {"features": FEATURES, "labels": LABELS.astype(str), "classes": np.asarray(["1", "3"])},
        "label '20'; .*legal are 1, 3",
    ),
    "number": (
        {"features": FEATURES, "labels": LABELS, "classes": np.asarray(["a", "b"])},
        "labels from 1 to 20 of 2 classes; they must lie between 0 and 1",
    ),
    "below": (
        {"features": FEATURES, "labels": LABELS * 0 - 2, "classes": np.asarray(["a", "b"])},
        "labels from -2 to -2 of 2 classes",
    ),
    "twice": ({"features": FEATURES, "classes": np.asarray(["a", "a"])}, "each once"),
    "numbers as classes": ({"features": FEATURES, "classes": LABELS}, "list the names"),
}


@pytest.mark.parametrize(("arrays", "message"), BAD.values(), ids=BAD)
def test_arrays_that_are_no_domain_are_refused(arrays, message, tmp_path):
    path = save(tmp_path, **arrays)
    with pytest.raises(ValueError, match=message) as raised:
        read_npz(path)
    assert "a.npz" in str(raised.value)


def test_files_that_are_no_npz_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(ValueError, match="a.npz does not exist"):
        read_npz(str(path))
    path.write_text("no archive")
    with pytest.raises(ValueError, match="no npz file"):
        read_npz(str(path))
    with path.open("wb") as file:
        np.save(file, FEATURES)
    with pytest.raises(ValueError, match="one array without a name; write it by numpy.savez"):
        read_npz(str(path))
    whole = save(tmp_path, features=FEATURES)
    data = bytearray(path.read_bytes())
    data[150] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match="no npz file .* Bad CRC-32"):
        read_npz(whole)
    path.write_bytes(data[:100])
    with pytest.raises(ValueError, match="no npz file"):
        read_npz(whole)
