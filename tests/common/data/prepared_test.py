import json
import shutil
from typing import Any

import numpy as np
import pytest

from common.data.picture import Form
from common.data.prepared import read_prepared
from tests.common.data import tiny_dataset_builder as tiny

AS_STORED = Form(0, "center", 0)
SPLITS = {"train": "train", "val": "validation", "test": "test"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with all parts of the tiny set, in three files a split."""
    root = tmp_path_factory.mktemp("data")
    (root / "manual").mkdir()
    (root / "manual" / "tiny.txt").touch()
    for config in tiny.Builder.BUILDER_CONFIGS:
        tiny.build(config.name, root, root / "manual", num_shards=3)
    return root


def read(folder, config, parts=None, form=AS_STORED) -> Any:
    return read_prepared(f"tiny/{config}", parts or {}, form, str(folder))


def pictures(config, split, numbers):
    return np.stack([tiny.picture_of(config, split, number) for number in numbers])


@pytest.mark.parametrize("config", ["grey", "colour"])
def test_published_splits_are_read_in_their_order(folder, config):
    examples = read(folder, config)
    assert list(examples.splits) == ["train", "val", "test"]
    assert np.concatenate(list(examples.splits.values())).tolist() == list(range(22))
    assert examples.classes == tiny.NAMES
    assert examples.maximum == 255.0
    assert examples.images.shape == (22, 5, 4, 1 if config == "grey" else 3)
    for part, split in SPLITS.items():
        numbers = range(tiny.COUNTS[split])
        rows = examples.splits[part]
        assert np.array_equal(examples.images[rows], pictures(config, split, numbers))
        labels = [tiny.label_of(split, number) for number in numbers]
        assert examples.labels[rows].tolist() == labels
    assert examples.labels.dtype == np.int32
    assert -1 in examples.labels


def test_split_expressions_take_parts_of_the_published_splits(folder):
    parts = {"train": "train[:5] + validation[1:3]", "val": "train[-25%:]", "test": "test[2:]"}
    examples = read(folder, "grey", parts)
    expected = [("train", range(5)), ("validation", range(1, 3)), ("train", range(9, 12))]
    expected += [("test", range(2, 6))]
    assert {part: len(rows) for part, rows in examples.splits.items()} == {
        **{"train": 7, "val": 3, "test": 4},
    }
    wanted = np.concatenate([pictures("grey", *own) for own in expected])
    assert np.array_equal(examples.images[np.arange(14)], wanted)
    assert examples.labels.tolist() == [
        tiny.label_of(split, number) for split, numbers in expected for number in numbers
    ]


def test_rows_come_in_the_order_that_is_asked_for(folder):
    examples = read(folder, "colour")
    rows = np.array([21, 0, 15, 0, 11, 12])
    every = np.concatenate(
        [pictures("colour", split, range(count)) for split, count in tiny.COUNTS.items()]
    )
    assert np.array_equal(examples.images[rows], every[rows])
    assert np.array_equal(examples.images.hold(), every)


def test_a_part_that_is_written_none_is_left_out(folder):
    examples = read(folder, "grey", {"val": "none", "test": "none"})
    assert list(examples.splits) == ["train"]
    assert len(examples.labels) == 12


def test_the_only_published_split_is_the_one_to_train_on(folder):
    examples = read(folder, "single")
    assert list(examples.splits) == ["train"]
    assert np.array_equal(examples.images.hold(), pictures("single", "test", range(6)))
    assert list(read(folder, "single", {"train": "test[:4]"}).splits) == ["train"]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"train": "trian"}, "train is 'trian', which is no split of it; published are train (12)"),
        ({"train": "train[:5"}, "train is 'train[:5', which is no split"),
        ({"val": "train[:50]"}, "val is 'train[:50]', which is no split of it"),
        ({"test": "train[5:5]"}, "test is 'train[5:5]', which has no example"),
        ({"val": "train[11:]"}, "train and val would hold the same examples twice (train: the pub"),
        ({"train": "train+test"}, "train and test would hold the same examples twice"),
        ({"train": "train[:8]+train[7:]"}, "train would hold the same examples twice"),
        ({"train": "none", "val": "none", "test": "none"}, "none of train, val and test is chosen"),
    ],
)
def test_a_wrong_choice_of_splits_is_refused(folder, parts, sentence):
    with pytest.raises(ValueError, match="tiny/grey in") as caught:
        read(folder, "grey", parts)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_are_brought_to_the_form(folder):
    examples = read(folder, "grey", form=Form(8, "center", 3))
    first = tiny.picture_of("grey", "train", 0)
    padded = np.zeros((8, 8, 3), np.uint8)
    padded[1:6, 2:6] = first
    assert examples.images.shape == (22, 8, 8, 3)
    assert np.array_equal(examples.images[np.array([0])][0], padded)


def test_pictures_of_several_sizes_need_a_size(folder):
    with pytest.raises(ValueError, match=r"5 x 7 and 6 x 7; bring them to one by config.data.size"):
        read(folder, "sizes")
    assert read(folder, "sizes", form=Form(6, "resize", 0)).images.hold().shape == (22, 6, 6, 3)
    # One picture has one size; what is not read counts for nothing.
    one = {"train": "train[2:3]", "val": "none", "test": "none"}
    assert read(folder, "sizes", one).images.shape == (1, 7, 7, 3)


@pytest.mark.parametrize("config", ["counts", "zipped"])
def test_tensors_are_vectors_of_the_type_they_are_stored_as(folder, config):
    examples = read(folder, config)
    assert examples.images.dtype == np.uint8
    assert examples.maximum == 1.0
    expected = [
        tiny.vector_of(split, number)
        for split, count in tiny.COUNTS.items()
        for number in range(count)
    ]
    assert np.array_equal(examples.images, expected)
    assert examples.labels[0] == tiny.label_of("train", 0)


def test_a_set_without_labels_has_no_classes(folder):
    examples = read(folder, "unlabelled")
    assert examples.classes == ()
    assert set(examples.labels) == {-1}


def test_supervised_keys_say_which_picture_and_label_count(folder, tmp_path):
    examples = read(folder, "two")
    expected = 255 - pictures("two", "train", range(12))
    assert np.array_equal(examples.images[np.arange(12)], expected)
    assert set(examples.labels) == {0}
    copy = tmp_path / "tiny" / "two" / "1.2.3"
    shutil.copytree(folder / "tiny" / "two" / "1.2.3", copy)
    info = json.loads((copy / "dataset_info.json").read_text())
    del info["supervisedKeys"]
    (copy / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match=r"2 of its features \(.*\) could be its picture"):
        read_prepared("tiny/two", {}, AS_STORED, str(tmp_path))


def test_a_damaged_file_is_named_with_the_record(folder, tmp_path):
    copy = tmp_path / "tiny" / "grey" / "1.2.3"
    shutil.copytree(folder / "tiny" / "grey" / "1.2.3", copy)
    file = max(copy.glob("*train*00001-of*"))
    whole = file.read_bytes()
    place = whole.index(b"IDAT")
    file.write_bytes(whole[:place] + bytes(4) + whole[place + 4 :])
    with pytest.raises(ValueError, match=f"{file.name} is damaged"):
        read_prepared("tiny/grey", {}, AS_STORED, str(tmp_path))


def test_a_file_that_is_cut_short_later_is_refused_when_it_is_read(folder, tmp_path):
    copy = tmp_path / "tiny" / "grey" / "1.2.3"
    shutil.copytree(folder / "tiny" / "grey" / "1.2.3", copy)
    examples = read_prepared("tiny/grey", {}, AS_STORED, str(tmp_path))
    for file in copy.glob("*array_record*"):
        file.write_bytes(b"")
    again = read_prepared("tiny/grey", {}, AS_STORED, str(folder))
    assert np.array_equal(again.labels, examples.labels)
    with pytest.raises(ValueError, match="is empty"):
        read_prepared("tiny/grey", {}, AS_STORED, str(tmp_path))


def test_nothing_but_labels_and_positions_is_kept(folder):
    examples = read(folder, "colour")
    first = examples.images[np.arange(3)]
    second = examples.images[np.arange(3)]
    assert first is not second
    assert np.array_equal(first, second)
    assert examples.images._held is None
