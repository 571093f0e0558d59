"""Tests of folders of pictures: layouts, classes, order, links, and what is refused."""

import errno
import os
import random
import shutil
import unicodedata

import numpy as np
import pytest

from common.data.picture import Form
from tests.common.data.picture_folder import (
    PNG,
    fill,
    png,
    read,
    refuse,
    split_rows,
    values,
)


def test_class_folders_are_classes(tmp_path):
    fill(tmp_path, ["dog/b.png", "cat/x/y/z.png", "dog/a.PNG", "cat/a.png", "ape/1"])
    examples = read(tmp_path)
    assert type(examples.images) is np.ndarray and examples.images.shape == (5, 4, 4, 1)
    assert examples.images.dtype == np.uint8 and examples.maximum == 255
    assert examples.classes == ("ape", "cat", "dog") and examples.splits is None
    assert examples.labels.dtype == np.int32
    assert examples.labels.tolist() == [0, 1, 1, 2, 2]
    assert values(examples) == [4, 3, 1, 2, 0]


@pytest.mark.parametrize("parts", [["train"], ["test", "val"], ["val", "train", "test"]])
def test_folders_of_nothing_but_splits_are_splits(tmp_path, parts):
    # A class in a split may have any name, and may be missing in another split.
    files = {f"{part}/{name}/1.png": png(ord(part[1])) for part in parts for name in ("train", "a")}
    fill(tmp_path, files | {f"{parts[0]}/only here/1.png": PNG, "README.md": b"text"})
    examples = read(tmp_path)
    assert examples.classes == ("a", "only here", "train")
    splits = split_rows(examples)
    assert list(splits) == [part for part in ("train", "val", "test") if part in parts]
    assert sum(splits.values(), []) == list(range(2 * len(parts) + 1))
    for part, own in splits.items():
        assert set(values(examples)[row] for row in own) - {7} == {ord(part[1])}
        assert len(own) == 2 + (part == parts[0])


def test_pictures_without_folders_have_no_labels(tmp_path):
    examples = read(fill(tmp_path, ["b.png", "a.jpg", "c"]))
    assert examples.classes == () and examples.splits is None
    assert examples.labels.tolist() == [-1, -1, -1] and values(examples) == [1, 0, 2]


def test_a_split_may_lack_labels_where_another_has_them(tmp_path):
    examples = read(fill(tmp_path, ["test/dog/1.png", "train/1.png", "test/cat/1.png"]))
    assert examples.classes == ("cat", "dog") and examples.labels.tolist() == [-1, 0, 1]
    assert split_rows(examples) == {"train": [0], "test": [1, 2]}


@pytest.mark.parametrize("name", ["a.png", "cat/a.png", "train/a.png", "train/cat/a.png"])
def test_one_picture_is_enough(tmp_path, name):
    examples = read(fill(tmp_path, [name]))
    assert examples.images.shape == (1, 4, 4, 1)
    assert examples.classes == (("cat",) if "cat" in name else ())


def test_what_systems_leave_behind_is_ignored(tmp_path):
    fill(tmp_path, ["cat/a.png"])
    for name in (
        *("cat/.DS_Store", "cat/Thumbs.db", "cat/desktop.ini", "cat/._a.png", ".git/x/a.png"),
        *("__MACOSX/cat/._a.png", ".a.png", ".train/a.png", "cat/.hidden/a.png"),
    ):
        fill(tmp_path, {name: b"no picture"})
    assert read(tmp_path).images.shape[0] == 1


def test_notes_beside_class_folders_are_ignored_but_not_below(tmp_path):
    fill(tmp_path, {"cat/a.png": PNG, "README.txt": b"text", "labels.json": b"{}"})
    assert read(tmp_path).images.shape[0] == 1
    fill(tmp_path, {"cat/note.txt": b"text"})
    refuse(tmp_path, "1 of 2 files", "'cat/note.txt' (it is no picture, or none of")


def test_one_name_written_in_two_ways_is_one_class(tmp_path):
    composed, taken_apart = (unicodedata.normalize(form, "bär") for form in ("NFC", "NFD"))
    assert composed != taken_apart
    fill(tmp_path, [f"train/{composed}/1.png", f"test/{taken_apart}/1.png", "train/zoo/1.png"])
    fill(tmp_path, {f"train/{taken_apart}/2.png": PNG})
    examples = read(tmp_path)
    assert examples.classes == (composed, "zoo") and examples.labels.tolist() == [0, 0, 1, 0]


NAMES = ["é2.png", "a b.png", "a.png", "a/b.png", "Z.png", "ü/1.png", "10.png", "9.png", "_.png"]


def test_order_depends_on_neither_the_file_system_nor_the_locale(tmp_path, monkeypatch):
    files = [
        f"{part}/{label}/{name}" for part in ("train", "test") for label in "Ab" for name in NAMES
    ]
    expected = sorted(
        range(len(files)),
        key=lambda number: (
            ["train", "val", "test"].index(files[number].split("/")[0]),
            files[number].split("/", 2)[1:],
        ),
    )
    scandir = os.scandir

    class Shuffled:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = random.Random(1).sample(found := list(entries), len(found))

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *error):
            pass

    fill(tmp_path, files)
    found = [values(read(tmp_path))]
    monkeypatch.setattr(os, "scandir", Shuffled)
    found.append(values(read(tmp_path)))
    assert found == [expected, expected]


def test_a_file_name_may_be_written_in_two_ways_at_once(tmp_path):
    names = [unicodedata.normalize(form, "ä.png") for form in ("NFC", "NFD")]
    fill(tmp_path, [f"a/{name}" for name in (names[0], "b.png", names[1])])
    assert values(read(tmp_path)) == [1, 2, 0]


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        (
            ["train/a.png", "cat/a.png"],
            ["holds 'train' beside 'cat'", "ambiguous", "into a folder"],
        ),
        (["train/c/a.png", "validation/c/a.png"], ["holds 'train' beside 'validation'"]),
        (["test/a.png", "b.png"], ["holds 'test' beside 'b.png'", "ambiguous"]),
        (["cat/a.png", "b.png"], ["holds folders ('cat') and pictures ('b.png')", "not both"]),
        (["cat/a.png", "B.PNG"], ["pictures ('B.PNG')"]),
        (["train/c/a.png", "train/b.png"], ["holds folders ('train/c')", "'train/b.png'"]),
        (["Train/c/a.png", "validation/c/a.png"], ["'Train', 'validation'", "look like splits"]),
        (["validation/a.png"], ["'validation'", "name splits train, val and test"]),
    ],
)
def test_an_ambiguous_layout_is_refused(tmp_path, files, parts):
    refuse(fill(tmp_path, files), *parts)


def test_classes_named_like_a_split_among_others_are_classes(tmp_path):
    assert read(fill(tmp_path, ["valid/1.png", "invalid/1.png"])).classes == ("invalid", "valid")


def test_an_empty_class_is_named(tmp_path):
    fill(tmp_path, ["cat/a.png", "dog/.DS_Store"])
    (tmp_path / "ape" / "deeper").mkdir(parents=True)
    refuse(tmp_path, "class folders without a picture, 'ape', 'dog', and an empty class")
    shutil.rmtree(tmp_path)
    fill(tmp_path, ["train/cat/a.png", "test/cat/a.png"])
    (tmp_path / "test" / "dog").mkdir()
    refuse(tmp_path, "without a picture, 'test/dog',")


def test_a_folder_without_pictures_is_refused(tmp_path):
    refuse(tmp_path, "holds no picture; it must hold class folders")
    fill(tmp_path, ["test/a/1.png"])
    (tmp_path / "train").mkdir()
    assert f"'{tmp_path}/train' holds no picture" in refuse(tmp_path)


def test_paths_that_are_no_folder_are_refused(tmp_path):
    refuse(tmp_path / "nowhere", "there is no folder or CSV manifest")
    fill(tmp_path, {"a.png": PNG})
    refuse(tmp_path / "a.png", "is neither a folder of pictures nor a CSV manifest")
    refuse(tmp_path / "a.png" / "b", "there is no folder")
    for path in ("", "a\0b"):
        with pytest.raises(ValueError, match="names no folder of pictures; write folder:<path>"):
            read(path)
    refuse(tmp_path / ("n" * 300), "cannot be read (File name too long)")


def test_a_path_may_start_at_home_or_here(tmp_path, monkeypatch):
    fill(tmp_path, ["own/cat/a.png"])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("~/own").classes == ("cat",)
    monkeypatch.chdir(tmp_path)
    assert read("own").classes == read("own/").classes == ("cat",)
    monkeypatch.chdir(tmp_path / "own")
    assert read(".").classes == ("cat",)


def test_a_form_that_does_not_exist_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="config.data.fit is 'centre'"):
        read(tmp_path / "nowhere", Form(8, "centre", 0))


def test_links_within_the_folder_are_followed(tmp_path):
    fill(tmp_path, ["cat/a.png", "cat/deep/b.png"])
    (tmp_path / "dog").symlink_to("cat")
    (tmp_path / "cat" / "c.png").symlink_to(tmp_path / "cat" / "deep" / "b.png")
    (tmp_path / "cow").mkdir()
    (tmp_path / "cow" / "from cat").symlink_to("../cat/deep")
    examples = read(tmp_path)
    assert examples.classes == ("cat", "cow", "dog")
    assert values(examples) == [0, 1, 1, 1, 0, 1, 1]


def test_the_folder_itself_may_be_a_link(tmp_path):
    fill(tmp_path / "real", ["cat/a.png"])
    (tmp_path / "link").symlink_to("real")
    assert read(tmp_path / "link").classes == ("cat",)
    (tmp_path / "real" / "cat" / "b.png").symlink_to(tmp_path / "link" / "cat" / "a.png")
    assert values(read(tmp_path / "link")) == [0, 0]
    (tmp_path / "real" / "cat" / "here").symlink_to(".")
    refuse(tmp_path / "link", "'cat/here' (in a circle)")


def test_links_that_lead_outside_are_refused(tmp_path):
    # The second folder's path begins like that of the first.
    fill(tmp_path, ["own/cat/a.png", "own2/b.png"])
    own = tmp_path / "own"
    (own / "cat" / "b.png").symlink_to("../../own2/b.png")
    (own / "cat" / "dir").symlink_to(tmp_path / "own2")
    (own / "dog").symlink_to(tmp_path / "own2")
    (own / "cat" / "gone").symlink_to("/nowhere/at all")
    for skip_bad in (False, True):
        refuse(
            own,
            "lead outside it or in a circle: ",
            f"'cat/b.png' (to '{tmp_path}/own2/b.png')",
            "'cat/dir' (to",
            "'cat/gone' (to '/nowhere/at all')",
            "'dog' (to",
            skip_bad=skip_bad,
        )


def test_a_link_to_the_folder_around_is_outside(tmp_path):
    fill(tmp_path, ["own/cat/a.png"])
    (tmp_path / "own" / "cat" / "up").symlink_to(tmp_path)
    refuse(tmp_path / "own", f"'cat/up' (to '{tmp_path}')")


def test_links_in_a_circle_are_refused(tmp_path):
    fill(tmp_path, ["cat/a.png", "dog/a.png"])
    (tmp_path / "cat" / "self").symlink_to("self")
    (tmp_path / "cat" / "here").symlink_to(".")
    (tmp_path / "cat" / "top").symlink_to("..")
    (tmp_path / "dog" / "deep").mkdir()
    (tmp_path / "dog" / "deep" / "back").symlink_to("../../dog")
    sentence = refuse(tmp_path, "'cat/self' (in a circle)", "'cat/here' (in a", "'cat/top' (in a")
    assert "'dog/deep/back' (in a circle)" in sentence


def test_links_in_a_circle_of_two_folders_are_refused(tmp_path):
    fill(tmp_path, ["cat/a.png", "dog/a.png"])
    (tmp_path / "cat" / "x").symlink_to("../dog")
    (tmp_path / "dog" / "y").symlink_to("../cat")
    refuse(tmp_path, "'cat/x/y' (in a circle)", "'dog/y/x' (in a circle)")


def test_a_deep_folder_is_walked(tmp_path):
    depth = 400
    fill(tmp_path, ["cat/" + "d/" * depth + "a.png"])
    assert read(tmp_path).images.shape[0] == 1


@pytest.mark.parametrize("name", ["cat", "cat/deep"])
def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch, name):
    fill(tmp_path, ["cat/a.png", "cat/deep/b.png"])
    scandir, locked = os.scandir, str(tmp_path / name)

    def look(path):
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", look)
    for skip_bad in (False, True):
        refuse(tmp_path, f"'{locked}' cannot be read (Permission denied)", skip_bad=skip_bad)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to the superuser")
def test_real_permissions_are_obeyed(tmp_path):
    fill(tmp_path, ["cat/a.png", "dog/a.png"])
    for path in (tmp_path / "dog" / "a.png", tmp_path / "cat"):
        path.chmod(0)
        refuse(tmp_path, f"'{path}' cannot be read (Permission denied)")
        path.chmod(0o700)


def test_a_class_folder_whose_name_is_no_unicode_is_named(tmp_path):
    try:
        os.mkdir(os.fsencode(tmp_path) + b"/\xff\xfe")
    except OSError:
        pytest.skip("this file system holds Unicode names only")
    fill(tmp_path, ["cat/a.png"])
    refuse(tmp_path, r"class folder '\udcff\udcfe'", "a name that is no UTF-8")
