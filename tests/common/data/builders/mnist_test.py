import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from common.data.builders.manual import sha256
from common.data.builders.mnist import mnist_dataset_builder as mnist

COUNTS = {"train": 7, "test": 3}


def write_idx(path, values, magic=None):
    header = struct.pack(">i", magic if magic is not None else 0x800 + values.ndim)
    sizes = b"".join(struct.pack(">i", size) for size in values.shape)
    path.write_bytes(gzip.compress(header + sizes + values.tobytes()))


def label_names(builder):
    return builder.info.features["label"].names


def make_digits(split):
    generator = np.random.default_rng(COUNTS[split])
    pictures = generator.integers(256, size=(COUNTS[split], 28, 28), dtype=np.uint8)
    return pictures, np.array([5, 0, 4, 1, 9, 2, 1], np.uint8)[: COUNTS[split]]


@pytest.fixture
def manual(tmp_path, monkeypatch):
    """A folder in the published layout with a few digits, and the sums and counts of these."""
    folder = tmp_path / "manual"
    folder.mkdir()
    for split in COUNTS:
        pictures, labels = make_digits(split)
        write_idx(folder / mnist.PICTURE_FILES[split], pictures)
        write_idx(folder / mnist.LABEL_FILES[split], labels)
    monkeypatch.setattr(mnist, "NUM_EXAMPLES", COUNTS)
    monkeypatch.setattr(mnist, "SHA256", {path.name: sha256(path) for path in folder.iterdir()})
    return folder


def test_digits_are_prepared_in_the_published_order(manual, prepare):
    builder = prepare(mnist.Builder, manual)
    assert builder.info.disable_shuffling
    assert builder.info.file_format.value == "array_record"
    for split in COUNTS:
        pictures, labels = make_digits(split)
        source = builder.as_data_source(split)
        assert len(source) == COUNTS[split]
        for row, example in enumerate(source):
            np.testing.assert_array_equal(example["image"], pictures[row][..., np.newaxis])
            assert example["label"] == labels[row]


def test_a_folder_named_after_the_set_is_found(manual, prepare):
    inner = manual / "mnist"
    inner.mkdir()
    for path in list(manual.glob("*.gz")):
        path.rename(inner / path.name)
    assert prepare(mnist.Builder, manual).info.splits["train"].num_examples == 7


def test_name_features_and_splits_are_those_of_the_catalogue(tmp_path):
    import tensorflow_datasets as tfds

    theirs = tfds.builder("mnist", data_dir=tmp_path)
    own = mnist.Builder(data_dir=tmp_path)
    assert type(theirs) is not type(own)
    assert own.name == theirs.name == "mnist"
    assert repr(own.info.features) == repr(theirs.info.features)
    names, catalogue_names = (label_names(builder) for builder in (own, theirs))
    assert names == catalogue_names
    assert own.info.supervised_keys == theirs.info.supervised_keys
    # Theirs is shuffled: one must not be taken for the other.
    assert own.version.major != theirs.version.major
    assert "lecun1998" in own.info.citation
    assert own.info.description and own.info.homepage and own.info.redistribution_info.license


def test_every_missing_file_is_named(manual, prepare):
    (manual / "t10k-labels-idx1-ubyte.gz").unlink()
    (manual / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(ValueError) as caught:
        prepare(mnist.Builder, manual)
    message = str(caught.value)
    lacks, holds = message.split("it holds")
    assert "train-images-idx3-ubyte.gz" in lacks and "t10k-labels-idx1-ubyte.gz" in lacks
    assert "train-labels" not in lacks and "train-labels-idx1-ubyte.gz" in holds
    assert "\n" not in message


def test_no_folder_at_all_is_a_sentence(tmp_path, prepare):
    with pytest.raises(ValueError, match="nowhere does not exist or is empty"):
        prepare(mnist.Builder, tmp_path / "nowhere")


@pytest.mark.parametrize("name", sorted(mnist.SHA256))
def test_a_changed_file_is_named(manual, name):
    values = mnist.read_idx(manual / name, 3 if "images" in name else 1)
    write_idx(manual / name, values[::-1])
    with pytest.raises(ValueError, match=rf"other content than was published in {name} \("):
        for split in COUNTS:
            mnist.read_digits(manual, split)


def test_a_prepared_set_does_not_look_finished_after_an_error(manual, prepare, tmp_path):
    (manual / "t10k-labels-idx1-ubyte.gz").write_bytes(b"")
    with pytest.raises(ValueError, match="t10k-labels"):
        prepare(mnist.Builder, manual)
    assert not list((tmp_path / "prepared").rglob("dataset_info.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[: len(data) // 2], "no whole gzip file"),
        (lambda data: b"not packed", "no whole gzip file"),
        (lambda data: b"", "no idx file"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-1]), "its header says"),
        (lambda data: gzip.compress(gzip.decompress(data) + b"0"), "its header says"),
        (lambda data: gzip.compress(gzip.decompress(data)[:9]), "no idx file"),
        (lambda data: gzip.compress(b"\0\0\x0d" + gzip.decompress(data)[3:]), "no idx file"),
        (lambda data: gzip.compress(b"\0\0\x08\x01" + gzip.decompress(data)[4:]), "no idx file"),
    ],
)
def test_a_damaged_file_is_named(manual, change, message):
    path = manual / "train-images-idx3-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as caught:
        mnist.read_idx(path, 3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("file", [mnist.PICTURE_FILES, mnist.LABEL_FILES])
def test_a_wrong_count_is_refused(manual, monkeypatch, file):
    monkeypatch.setattr(mnist, "SHA256", {})
    path = manual / file["train"]
    write_idx(path, mnist.read_idx(path, 3 if "images" in path.name else 1)[:-1])
    with pytest.raises(ValueError, match=f"{path.name} holds 6 examples.* holds 7"):
        mnist.read_digits(manual, "train")


def test_a_label_that_is_no_digit_is_refused(manual, monkeypatch):
    monkeypatch.setattr(mnist, "SHA256", {})
    write_idx(manual / mnist.LABEL_FILES["test"], np.array([1, 10, 2], np.uint8))
    with pytest.raises(ValueError, match="holds the label 10"):
        mnist.read_digits(manual, "test")


def test_pictures_of_another_size_are_refused(manual, monkeypatch):
    monkeypatch.setattr(mnist, "SHA256", {})
    write_idx(manual / mnist.PICTURE_FILES["test"], np.zeros((3, 27, 28), np.uint8))
    with pytest.raises(ValueError, match=r"pictures of \(27, 28\)"):
        mnist.read_digits(manual, "test")


@pytest.mark.real_data
def test_the_real_files_hold_the_published_digits():
    pictures, labels = mnist.read_digits(Path(os.environ["ADAPTAX_DATA"]), "train")
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert pictures.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    test_pictures, test_labels = mnist.read_digits(Path(os.environ["ADAPTAX_DATA"]), "test")
    assert test_pictures.shape == (10_000, 28, 28)
    assert test_labels[:5].tolist() == [7, 2, 1, 0, 4]
