"""Tests of VisDA-2017's builder."""

import pytest

from common.data.builders.visda2017 import visda2017_dataset_builder as visda2017
from tests.common.data.builders.class_folders_test import (
    prepare,
    read,
    write_classes,
    write_picture,
)

TRUNKS = {"trunk02/ab.jpg": 11, "trunk01/ff.jpg": 0, "trunk01/0c.jpg": 5}


@pytest.fixture
def manual(tmp_path):
    write_classes(tmp_path / "manual" / "validation", visda2017.CLASSES, ["x_1.jpg"])
    for name in TRUNKS:
        write_picture(tmp_path / "manual" / "test" / name)
    return tmp_path / "manual"


def write_labels(manual, labels):
    lines = [f"{name} {label}".strip() for name, label in labels.items()]
    (manual / "test" / "image_list.txt").write_text("\n".join(lines) + "\n")


def test_the_published_numbers_are_those_of_the_literature():
    counts = visda2017.COUNTS
    assert sum(counts["validation"].values()) == 55_388
    assert sum(counts["test"].values()) == 72_372
    # The total that surveys name for the whole set.
    assert visda2017.NUM_RENDERINGS + 55_388 + 72_372 == 280_157
    assert visda2017.CLASSES[::11] == ("aeroplane", "truck") and len(visda2017.CLASSES) == 12


def test_the_challenge_test_has_the_labels_of_its_list(manual, tmp_path):
    write_labels(manual, TRUNKS)
    builder = prepare("visda2017", "real", manual, tmp_path / "data")
    assert sorted(builder.info.splits) == ["challenge_test", "train"]
    assert read(builder, "challenge_test") == [
        (name, TRUNKS[name], (manual / "test" / name).read_bytes()) for name in sorted(TRUNKS)
    ]
    assert [name for name, _, _ in read(builder)] == [
        f"{label}/x_1.jpg" for label in visda2017.CLASSES
    ]


def test_the_renderings_have_no_challenge_test(manual, tmp_path):
    write_labels(manual, TRUNKS)
    write_classes(manual / "train", visda2017.CLASSES, ["src_1.png"], "png")
    builder = prepare("visda2017", "synthetic", manual, tmp_path / "data")
    assert list(builder.info.splits) == ["train"]
    assert {name for name, _, _ in read(builder)} == {f"{c}/src_1.png" for c in visda2017.CLASSES}


def test_a_test_folder_without_labels_is_refused(manual, tmp_path):
    with pytest.raises(ValueError, match="test lacks the labelled image_list.txt; .*https://"):
        prepare("visda2017", "real", manual, tmp_path / "data")
    # The list within test.tar names the pictures alone.
    write_labels(manual, dict.fromkeys(TRUNKS, ""))
    with pytest.raises(ValueError, match="line 1, reads 'trunk02/ab.jpg'; .* from 0 to 11"):
        prepare("visda2017", "real", manual, tmp_path / "data")


def test_a_picture_that_the_list_names_must_be_there(manual, tmp_path):
    write_labels(manual, TRUNKS | {"trunk03/00.jpg": 1})
    with pytest.raises(ValueError, match="test lacks: trunk03/00.jpg"):
        prepare("visda2017", "real", manual, tmp_path / "data")


def test_the_numbers_of_the_challenge_test_are_checked(manual, tmp_path, monkeypatch):
    write_labels(manual, TRUNKS)
    monkeypatch.setitem(visda2017.COUNTS, "validation", dict.fromkeys(visda2017.CLASSES, 1))
    with pytest.raises(ValueError, match="test holds 3 pictures, the published set 72372"):
        prepare("visda2017", "real", manual, tmp_path / "data", True)


def test_the_number_of_renderings_is_checked(tmp_path, monkeypatch):
    write_classes(tmp_path / "manual" / "train", visda2017.CLASSES, ["a.png"], "png")
    monkeypatch.setattr(visda2017, "NUM_RENDERINGS", 12)
    prepare("visda2017", "synthetic", tmp_path / "manual", tmp_path / "data", True)
    monkeypatch.setattr(visda2017, "NUM_RENDERINGS", 13)
    with pytest.raises(ValueError, match="train holds 12 examples; the published one holds 13"):
        prepare("visda2017", "synthetic", tmp_path / "manual", tmp_path / "other", True)
