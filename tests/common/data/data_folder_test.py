import json

import pytest

from common.data.catalogue import OWN_BUILDERS
from common.data.data_folder import CHECKSUMS, find_prepared, list_prepared

SPLITS = [
    {"name": "train", "shardLengths": ["3", "2"], "filepathTemplate": ""},
    {"name": "test", "shardLengths": ["4"]},
    {"name": "none", "shardLengths": ["0"]},
]


def write_set(root, name, version="1.0.0", file_format="array_record"):
    """Writes what TFDS leaves behind, with files of a few bytes."""
    folder = root / name / version
    folder.mkdir(parents=True)
    base = name.partition("/")[0]
    info = {"name": base, "version": version, "fileFormat": file_format, "splits": SPLITS}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "features.json").write_text("{}")
    for split, shard in (("train", "00000-of-00002"), ("train", "00001-of-00002")):
        (folder / f"{base}-{split}.{file_format}-{shard}").write_bytes(b"12345")
    (folder / f"{base}-test.{file_format}-00000-of-00001").write_bytes(b"123")
    return folder


def test_sets_are_listed_with_their_counts_and_sizes(tmp_path):
    write_set(tmp_path, "one")
    write_set(tmp_path, "one", "1.10.0")
    folder = write_set(tmp_path, "parts/first")
    write_set(tmp_path, "downloads/manual")
    (tmp_path / "a file").touch()
    rows = list_prepared(str(tmp_path))
    assert [(row.name, row.version) for row in rows] == [
        *(("one", "1.0.0"), ("one", "1.10.0"), ("parts/first", "1.0.0")),
    ]
    assert rows[2].splits == {"train": 5, "test": 4, "none": 0}
    assert rows[2].num_bytes == sum(file.stat().st_size for file in folder.iterdir())
    assert [row.unreadable for row in rows] == ["", "", ""]


def test_no_folder_holds_nothing(tmp_path):
    assert list_prepared(str(tmp_path / "nowhere")) == []


def test_a_file_in_place_of_the_data_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="the data folder .*/file is a file; name a folder"):
        list_prepared(str(tmp_path / "file"))


def test_sets_that_keep_their_order_say_so(tmp_path):
    write_set(tmp_path, "one")
    assert not find_prepared("one", str(tmp_path)).in_order
    path = write_set(tmp_path, "one", "1.1.0") / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"disableShuffling": True}))
    assert find_prepared("one", str(tmp_path)).in_order


def test_the_newest_version_is_found_by_number_and_another_by_name(tmp_path):
    for version in ("1.9.0", "1.10.0"):
        write_set(tmp_path, "one", version)
    assert find_prepared("one", str(tmp_path)).version == "1.10.0"
    assert find_prepared("one:1.9.0", str(tmp_path)).version == "1.9.0"


def test_a_bare_name_means_the_usual_part_where_there_is_one(tmp_path):
    write_set(tmp_path, "mnist_m/published")
    write_set(tmp_path, "mnist_m/generated")
    assert find_prepared("mnist_m", str(tmp_path)).name == "mnist_m/published"
    write_set(tmp_path, "office31/amazon")
    with pytest.raises(ValueError, match="one has to be named; prepared are office31/amazon"):
        find_prepared("office31", str(tmp_path))


def remove(folder):
    (folder / "one-train.array_record-00001-of-00002").unlink()


def empty(folder):
    (folder / "one-test.array_record-00000-of-00001").write_bytes(b"")


def break_info(folder):
    (folder / "dataset_info.json").write_text("{")


def remove_features(folder):
    (folder / "features.json").unlink()


def shorten(folder):
    sums = {"one-test.array_record-00000-of-00001": {"bytes": 4, "sha256": ""}}
    (folder / CHECKSUMS).write_text(json.dumps(sums))


def remove_info(folder):
    (folder / "dataset_info.json").unlink()


def empty_folder(folder):
    for file in folder.iterdir():
        file.unlink()


def write_sums(text):
    return lambda folder: (folder / CHECKSUMS).write_text(text)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (remove_info, "dataset_info.json is missing"),
        (empty_folder, "dataset_info.json is missing"),
        (write_sums("{"), "its checksums.json is damaged"),
        (write_sums('{"file": 5}'), "its checksums.json is damaged"),
        (write_sums('{"file": {"bytes": 5}}'), "its checksums.json is damaged"),
        (write_sums("[1]"), "its checksums.json is damaged"),
        (remove, "one-train.array_record-00001-of-00002 is missing"),
        (empty, "one-test.array_record-00000-of-00001 is empty"),
        (break_info, "its dataset_info.json is damaged"),
        (remove_features, "features.json is missing"),
        (shorten, "one-test.array_record-00000-of-00001 has 3 bytes instead of 4"),
    ],
)
def test_what_is_incomplete_is_listed_and_not_read(tmp_path, damage, problem):
    damage(write_set(tmp_path, "one"))
    (row,) = list_prepared(str(tmp_path))
    assert row.unreadable == problem
    with pytest.raises(ValueError, match="is not complete") as caught:
        find_prepared("one", str(tmp_path))
    assert problem in str(caught.value)
    assert f"one in {tmp_path}/one/1.0.0 " in str(caught.value)


def test_another_format_is_said_and_not_read(tmp_path):
    write_set(tmp_path, "one", file_format="tfrecord")
    (row,) = list_prepared(str(tmp_path))
    assert row.unreadable == "it is prepared as tfrecord, not array_record"
    with pytest.raises(ValueError, match="is prepared as tfrecord, and only array_record is read"):
        find_prepared("one", str(tmp_path))


def test_what_is_not_there_is_said_with_the_command_that_prepares_it(tmp_path):
    with pytest.raises(ValueError) as caught:
        find_prepared("usps", str(tmp_path))
    assert str(caught.value) == (
        f"usps is not prepared in {tmp_path}; prepare it by: "
        f"python launch.py prepare --dataset=usps --manual_dir=FOLDER --data_dir={tmp_path}"
    )
    with pytest.raises(ValueError, match="no data set 'ussps'; did you mean 'usps'"):
        find_prepared("ussps", str(tmp_path))
    (tmp_path / "usps").mkdir()
    with pytest.raises(ValueError, match="usps is not prepared in"):
        find_prepared("usps", str(tmp_path))


@pytest.mark.parametrize("name", [*OWN_BUILDERS, "amazon_reviews/books", "imagenet2012", "cifar10"])
def test_the_command_names_a_manual_folder_where_one_is_needed(tmp_path, name):
    with pytest.raises(ValueError, match="is not prepared in") as caught:
        find_prepared(f"tfds:{name}", str(tmp_path))
    is_needed = name not in ("synthetic_digits", "cifar10")
    assert (" --manual_dir=FOLDER " in str(caught.value)) == is_needed


@pytest.mark.parametrize("folder", ["incomplete.preparing", "incomplete.ABC123_1.0.0"])
def test_what_a_preparation_left_is_listed_as_unfinished(tmp_path, folder):
    (tmp_path / "one" / folder / "inner").mkdir(parents=True)
    (tmp_path / "one" / folder / "inner" / "file").write_bytes(b"123")
    (row,) = list_prepared(str(tmp_path))
    assert (row.name, row.num_bytes) == ("one", 3)
    assert row.unreadable == "its preparation was stopped or still runs"
    with pytest.raises(ValueError, match="no data set 'one'|is not prepared"):
        find_prepared("one", str(tmp_path))
