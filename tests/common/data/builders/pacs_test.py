"""Tests of PACS's builder."""

import pytest

from common.data.builders.pacs import pacs_dataset_builder as pacs
from tests.common.data.builders.class_folders_test import prepare, read, write_classes

TRAIN, VAL = "photo_train_kfold.txt", "photo_crossval_kfold.txt"
NAMES = {"train": ("b.jpg", "c.jpg"), "val": ("a.jpg",)}


def make_lists(change=None):
    """The lines of both published lists, in no order of the names."""
    lines = {
        split: [
            f"photo/{label}/{name} {number}"
            for name in names
            for number, label in reversed(list(enumerate(pacs.CLASSES, 1)))
        ]
        for split, names in NAMES.items()
    }
    if change:
        change(lines)
    return lines


@pytest.fixture
def manual(tmp_path):
    write_classes(tmp_path / "manual" / "kfold" / "photo", pacs.CLASSES, sum(NAMES.values(), ()))
    return tmp_path / "manual"


def write_lists(folder, lines):
    folder.mkdir(exist_ok=True)
    for split, name in (("train", TRAIN), ("val", VAL)):
        (folder / name).write_text("\n".join(lines[split]) + "\n")


def test_the_published_numbers_are_those_of_the_literature():
    totals = {part: sum(counts.values()) for part, counts in pacs.COUNTS.items()}
    assert totals == {
        "art_painting/train": 1840,
        "art_painting/val": 208,
        "cartoon/train": 2107,
        "cartoon/val": 237,
        "photo/train": 1499,
        "photo/val": 171,
        "sketch/train": 3531,
        "sketch/val": 398,
    }
    assert sum(totals.values()) == 9991
    assert pacs.CLASSES == ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")


@pytest.mark.parametrize("folder", [".", "kfold", "pacs_label"])
def test_the_published_lists_make_the_splits(folder, manual, tmp_path):
    write_lists(manual / folder, make_lists())
    # The published test list names all pictures, and makes no split.
    (manual / folder / "photo_test_kfold.txt").write_text("photo/dog/a.jpg 1\n")
    builder = prepare("pacs", "photo", manual, tmp_path / "data")
    assert sorted(builder.info.splits) == ["train", "val"]
    for split, names in NAMES.items():
        expected = [
            (f"{label}/{name}", number, (manual / f"kfold/photo/{label}/{name}").read_bytes())
            for number, label in enumerate(pacs.CLASSES)
            for name in names
        ]
        assert read(builder, split) == expected
    assert len(read(builder, "train+val")) == 21


def test_lists_of_another_domain_make_no_splits(manual, tmp_path):
    write_lists(manual, make_lists())
    write_classes(manual / "kfold" / "cartoon", pacs.CLASSES)
    builder = prepare("pacs", "cartoon", manual, tmp_path / "data")
    assert list(builder.info.splits) == ["train"]


@pytest.mark.parametrize("absent, present", [(TRAIN, VAL), (VAL, TRAIN)])
def test_one_list_alone_is_refused(absent, present, manual, tmp_path):
    write_lists(manual, make_lists())
    (manual / absent).unlink()
    with pytest.raises(ValueError, match=f"holds {present} without {absent}"):
        prepare("pacs", "photo", manual, tmp_path / "data")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda lists: lists["val"].pop(), "lack 1 of its pictures, such as photo/dog/a.jpg"),
        (
            lambda lists: lists["val"].append("photo/dog/z.jpg 1"),
            f"{VAL} names photo/dog/z.jpg, wh",
        ),
        (lambda lists: lists["val"].append("photo/dog/b.jpg 1"), "b.jpg, which another list names"),
        (lambda lists: lists["val"].append("photo/dog/a.jpg 1"), "names photo/dog/a.jpg a second"),
        (lambda lists: lists["val"].append("photo/dog/a.jpg 0"), "reads 'photo/dog/a.jpg 0'; .* 7"),
        (
            lambda lists: lists["train"].__setitem__(0, "photo/person/b.jpg 6"),
            f"{TRAIN} calls photo/person/b.jpg a house; its folder says person",
        ),
    ],
)
def test_lists_that_do_not_fit_the_pictures_are_refused(change, said, manual, tmp_path):
    write_lists(manual, make_lists(change))
    with pytest.raises(ValueError, match=said):
        prepare("pacs", "photo", manual, tmp_path / "data")


def test_the_numbers_are_checked_by_split_and_in_total(manual, tmp_path, monkeypatch):
    monkeypatch.setitem(pacs.COUNTS, "photo/train", dict.fromkeys(pacs.CLASSES, 2))
    monkeypatch.setitem(pacs.COUNTS, "photo/val", dict.fromkeys(pacs.CLASSES, 1))
    assert len(read(prepare("pacs", "photo", manual, tmp_path / "all", True))) == 21
    write_lists(manual, make_lists())
    assert len(read(prepare("pacs", "photo", manual, tmp_path / "split", True))) == 14
    # The total is right, the parts are not.
    write_lists(manual, make_lists(lambda lists: lists["val"].append(lists["train"].pop())))
    with pytest.raises(ValueError, match=rf"{TRAIN} holds 13 .* 14; .* dog \(1 of 2\)"):
        prepare("pacs", "photo", manual, tmp_path / "other", True)
