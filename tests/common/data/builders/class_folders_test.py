"""Tests of published class folders, and of what all their builders do alike."""

import functools
import importlib
import io
import os

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import shuffle

from common.data.builders import class_folders
from common.data.preparation_error import explain

# By builder: its domains.
DOMAINS = {
    "office31": ["amazon", "dslr", "webcam"],
    "office_caltech10": ["amazon", "caltech", "dslr", "webcam"],
    "office_home": ["art", "clipart", "product", "real_world"],
    "visda2017": ["synthetic", "real"],
    "pacs": ["art_painting", "cartoon", "photo", "sketch"],
}
# A builder, one of its domains, and the domain's folder in a layout that circulates.
LAYOUTS = [
    ("office31", "amazon", "amazon/images"),
    ("office31", "dslr", "domain_adaptation_images/dslr/images"),
    ("office31", "webcam", "office31/webcam"),
    ("office_caltech10", "caltech", "office_caltech_10/caltech"),
    ("office_caltech10", "caltech", "Caltech10"),
    ("office_home", "art", "OfficeHomeDataset_10072016/Art"),
    ("office_home", "real_world", "OfficeHomeDataset_10072016/Real World"),
    ("office_home", "real_world", "Real_World"),
    ("office_home", "product", "office_home/product"),
    ("visda2017", "synthetic", "train"),
    ("visda2017", "real", "visda17/validation"),
    ("pacs", "art_painting", "art_painting"),
    ("pacs", "photo", "kfold/photo"),
    ("pacs", "cartoon", "PACS/kfold/cartoon"),
    ("pacs", "sketch", "pacs_data/pacs_data/sketch"),
]
ONE_LAYOUT = [next(layout for layout in LAYOUTS if layout[0] == name) for name in DOMAINS]
IS_PNG = {("visda2017", "synthetic"), ("pacs", "sketch")}


def load(name):
    return importlib.import_module(f"common.data.builders.{name}.{name}_dataset_builder")


@functools.cache
def encode(file_format):
    buffer = io.BytesIO()
    Image.fromarray(np.full((2, 3, 3), 90, np.uint8)).save(buffer, file_format)
    return buffer.getvalue()


def write_picture(path, file_format="jpeg"):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Decoders stop before what stands behind the picture, so that each file has bytes of its own.
    path.write_bytes(encode(file_format) + str(path).encode())


def write_classes(folder, classes, names=("frame_0002.jpg", "frame_0001.jpg"), file_format="jpeg"):
    for label in classes:
        for name in names:
            write_picture(folder / label / name, file_format)


def prepare(name, domain, manual_dir, data_dir, check_counts=False):
    builder = load(name).Builder(config=domain, data_dir=data_dir, check_counts=check_counts)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(manual_dir))
    )
    return builder


def read(builder, split="train"):
    decoders = {"image": tfds.decode.SkipDecoding()}
    return [
        (record["file_name"].decode(), int(record["label"]), record["image"])
        for record in builder.as_data_source(split, decoders=decoders)
    ]


@pytest.mark.parametrize("name, domain, folder", LAYOUTS)
def test_records_are_the_published_bytes_in_the_order_of_the_names(name, domain, folder, tmp_path):
    manual, classes = tmp_path / "manual", load(name).CLASSES
    file_format = "png" if (name, domain) in IS_PNG else "jpeg"
    write_classes(manual / folder, reversed(classes), file_format=file_format)
    builder = prepare(name, domain, manual, tmp_path / "data")
    names = [f"{label}/frame_000{n}.jpg" for label in sorted(classes) for n in (1, 2)]
    assert sorted(names) == names
    expected = [
        (own, sorted(classes).index(own.split("/")[0]), (manual / folder / own).read_bytes())
        for own in names
    ]
    assert read(builder) == expected
    assert builder.info.features["label"].names == sorted(classes)
    assert builder.info.features["image"].encoding_format == file_format
    assert builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD
    assert builder.info.disable_shuffling
    assert list(builder.info.splits) == ["train"]
    picture = next(iter(builder.as_data_source("train")))["image"]
    assert np.abs(picture.astype(int) - 90).max() <= 2 and picture.shape == (2, 3, 3)


def test_a_split_of_any_size_is_prepared_in_order_and_without_tensorflow(tmp_path, monkeypatch):
    # With it, TFDS keeps 1,000 MiB in memory and opens files with TensorFlow for the rest.
    monkeypatch.delattr(shuffle, "Shuffler")
    write_classes(tmp_path / "manual" / "dslr", load("office31").CLASSES)
    expected = read(prepare("office31", "dslr", tmp_path / "manual", tmp_path / "one"))
    sizes = [len(picture) for _, _, picture in expected]
    monkeypatch.setattr(class_folders, "SHARD_BYTES", 4 * max(sizes))
    builder = prepare("office31", "dslr", tmp_path / "manual", tmp_path / "many")
    assert builder.info.splits["train"].shard_lengths == [4] * 15 + [2]
    assert read(builder) == expected


@pytest.mark.parametrize("name", DOMAINS)
def test_a_builder_says_what_it_is(name, tmp_path):
    module = load(name)
    assert [config.name for config in module.Builder.BUILDER_CONFIGS] == DOMAINS[name]
    assert module.Builder.name == name
    info = module.Builder(config=DOMAINS[name][0], data_dir=tmp_path).info
    assert "{" in info.citation and len(info.description) > 100
    assert info.homepage.startswith("http") and info.redistribution_info.license
    assert "https://" in module.Builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    assert not any((tmp_path / name).glob("**/*.*"))


def test_no_name_is_one_of_the_catalogue():
    assert not set(DOMAINS) & set(tfds.list_builders(with_community_datasets=False))


@pytest.mark.parametrize("name, domain, folder", ONE_LAYOUT)
def test_everything_wrong_with_the_classes_is_named_at_once(name, domain, folder, tmp_path):
    classes = list(load(name).CLASSES)
    manual = tmp_path / "manual"
    write_classes(manual / folder, classes[2:])
    (manual / folder / classes[1]).mkdir()
    (manual / folder / "other").mkdir()
    (manual / folder / classes[2] / "notes.txt").write_text("Not a picture.")
    (manual / folder / classes[2] / "empty.jpg").touch()
    (manual / folder / classes[3] / "deeper").mkdir()
    with pytest.raises(ValueError) as raised:
        prepare(name, domain, manual, tmp_path / "data")
    assert str(raised.value) == (
        f"{manual / folder} lacks the class folders: {classes[0]}; it holds folders of no class: "
        f"other; it has nothing in the class folders: {classes[1]}; it holds what is no picture: "
        f"{classes[2]}/empty.jpg, {classes[2]}/notes.txt, {classes[3]}/deeper"
    )
    assert not list((tmp_path / "data").glob("**/dataset_info.json"))


@pytest.mark.parametrize("name, domain, folder", ONE_LAYOUT)
def test_without_its_domain_a_folder_is_refused_with_what_to_get(name, domain, folder, tmp_path):
    write_picture(tmp_path / "manual" / "elsewhere" / "a.jpg")
    with pytest.raises(ValueError, match=r"lacks .*; it holds elsewhere/; .*https://") as raised:
        prepare(name, domain, tmp_path / "manual", tmp_path / "data")
    assert "\n" not in str(raised.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="https://"):
        prepare(name, domain, tmp_path / "empty", tmp_path / "data")


@pytest.mark.parametrize("name, domain, folder", ONE_LAYOUT)
def test_other_numbers_than_the_published_are_refused(name, domain, folder, tmp_path):
    write_classes(tmp_path / "manual" / folder, load(name).CLASSES)
    with pytest.raises(ValueError, match="published") as raised:
        prepare(name, domain, tmp_path / "manual", tmp_path / "data", check_counts=True)
    assert f"{tmp_path / 'manual' / folder} holds {2 * len(load(name).CLASSES)} " in str(
        raised.value
    )


def test_a_class_that_differs_is_named_with_both_numbers(tmp_path):
    pictures = [class_folders.Picture(tmp_path, str(n), "b") for n in range(3)]
    class_folders.check_counts(tmp_path, pictures, {"a": 0, "b": 3})
    with pytest.raises(
        ValueError, match=r"3 pictures, .* set 5; different are a \(0 of 1\), b \(3 of 4\);"
    ):
        class_folders.check_counts(tmp_path, pictures, {"a": 1, "b": 4})


def test_what_operating_systems_leave_behind_is_passed_over(tmp_path):
    write_classes(tmp_path / "set" / "amazon", ["a"], ["1.jpg"])
    write_classes(tmp_path / "__MACOSX" / "amazon", ["a"], ["._1.jpg"])
    for junk in ("set/amazon/.DS_Store", "set/amazon/a/.DS_Store", "set/amazon/a/Thumbs.db"):
        (tmp_path / junk).write_text("junk")
    (tmp_path / "set/amazon/.hidden").mkdir()
    (tmp_path / "set/amazon/list.txt").write_text("a/1.jpg 0")
    folder = class_folders.find_folder(tmp_path, "amazon|*/amazon", ["a"], "the domain", "get it")
    assert folder == tmp_path / "set" / "amazon"
    pictures = class_folders.list_pictures(folder, ["a"], tmp_path)
    assert [picture.name for picture in pictures] == ["a/1.jpg"]


def test_a_leftover_alone_is_not_the_domain(tmp_path):
    (tmp_path / "__MACOSX" / "amazon").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"lacks amazon or \*/amazon \(the domain\); .*; get it$"):
        class_folders.find_folder(tmp_path, "amazon|*/amazon", ["a"], "the domain", "get it")


@pytest.mark.parametrize("name, domain, folder", ONE_LAYOUT)
def test_a_picture_that_cannot_be_decoded_is_named_and_stops_the_preparation(
    name, domain, folder, tmp_path
):
    manual, classes = tmp_path / "manual", load(name).CLASSES
    file_format = "png" if (name, domain) in IS_PNG else "jpeg"
    write_classes(manual / folder, classes, file_format=file_format)
    path = manual / folder / classes[1] / "frame_0002.jpg"
    # It ends where the pixels begin.
    whole, start = encode(file_format), {"jpeg": b"\xff\xda", "png": b"IDAT"}[file_format]
    path.write_bytes(whole[: whole.index(start) + 6])
    with pytest.raises(Exception) as raised:
        prepare(name, domain, manual, tmp_path / "data")
    said = str(explain(raised.value, name))
    assert said.startswith(f"the picture {path} cannot be read: it is cut short or damaged (")
    assert said.endswith("; get it again")
    assert not list((tmp_path / "data").glob("**/dataset_info.json"))


def test_a_domain_that_lies_there_twice_is_refused(tmp_path):
    for above in ("new", "old"):
        (tmp_path / above / "amazon").mkdir(parents=True)
    with pytest.raises(ValueError, match="more than once, as new/amazon, old/amazon; leave one"):
        class_folders.find_folder(tmp_path, "amazon|*/amazon", ["a"], "the domain", "get it")


# Where the set lies, and where the other.
BESIDE = [
    ("domain_adaptation_images/amazon/images", "office_caltech_10/amazon"),
    ("office31/amazon", "office_caltech10/amazon"),
    ("z_office31/amazon", "amazon"),
    ("amazon/images", "office_caltech_10/amazon"),
]


@pytest.mark.parametrize("office31, caltech", BESIDE)
def test_sets_with_domains_of_the_same_name_lie_beside_each_other(office31, caltech, tmp_path):
    manual = tmp_path / "manual"
    for name, folder in (("office31", office31), ("office_caltech10", caltech)):
        write_classes(manual / folder, load(name).CLASSES)
    for name, folder in (("office31", office31), ("office_caltech10", caltech)):
        builder = prepare(name, "amazon", manual, tmp_path / "data")
        assert {picture for _, _, picture in read(builder)} == {
            path.read_bytes() for path in (manual / folder).glob("*/*.jpg")
        }


@pytest.mark.parametrize("office31, caltech", BESIDE)
@pytest.mark.parametrize("name", ["office31", "office_caltech10"])
def test_a_set_that_lacks_a_class_is_refused_and_not_taken_from_another(
    name, office31, caltech, tmp_path
):
    folders = {"office31": tmp_path / office31, "office_caltech10": tmp_path / caltech}
    for own, folder in folders.items():
        write_classes(folder, load(own).CLASSES[own == name :])
    with pytest.raises(ValueError) as raised:
        prepare(name, "amazon", tmp_path, tmp_path / "data")
    assert str(raised.value) == f"{folders[name]} lacks the class folders: back_pack"


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "amazon").touch()
    with pytest.raises(ValueError, match="no folder"):
        class_folders.find_folder(tmp_path, "amazon|*/amazon", ["a"], "the domain", "get it")


def test_links_are_followed_within_the_manual_folder_alone(tmp_path):
    manual, outside = tmp_path / "manual", tmp_path / "outside"
    write_classes(manual / "d", ["a", "b"], ["1.jpg"])
    write_classes(outside, ["c"], ["1.jpg"])
    (manual / "d" / "a" / "2.jpg").symlink_to(manual / "d" / "b" / "1.jpg")
    (tmp_path / "alias").symlink_to(manual)
    for root in (manual, tmp_path / "alias"):
        pictures = class_folders.list_pictures(root / "d", ["a", "b"], root)
        assert [picture.name for picture in pictures] == ["a/1.jpg", "a/2.jpg", "b/1.jpg"]
        assert class_folders.find_folder(root, "d", ["a", "b"], "the domain", "") == root / "d"
    (manual / "d" / "c").symlink_to(outside / "c")
    (manual / "d" / "b" / "2.jpg").symlink_to(outside / "c" / "1.jpg")
    (manual / "d" / "b" / "3.jpg").symlink_to(manual / "nowhere")
    (manual / "d" / "b" / "4.jpg").symlink_to(manual / "d" / "b" / "4.jpg")
    with pytest.raises(ValueError) as raised:
        class_folders.list_pictures(manual / "d", ["a", "b", "c"], manual)
    assert str(raised.value) == (
        f"{manual / 'd'} holds links out of the manual folder: b/2.jpg, c; "
        "it holds what is no picture: b/3.jpg, b/4.jpg"
    )
    (manual / "e").symlink_to(outside)
    with pytest.raises(ValueError, match="e is a link out of the manual folder"):
        class_folders.find_folder(manual, "e", ["a"], "the domain", "")


def test_a_pipe_is_not_opened(tmp_path):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "1.jpg")
    with pytest.raises(ValueError, match="no picture: a/1.jpg"):
        class_folders.list_pictures(tmp_path, ["a"], tmp_path)


def test_long_lists_of_what_is_wrong_are_cut(tmp_path):
    with pytest.raises(ValueError, match=r"class folders: 0, 1, 2, 3, 4, 5, 6, 7 and 12 more$"):
        class_folders.list_pictures(tmp_path, [str(n) for n in range(20)], tmp_path)
