"""Tests of svmlight domains."""

import bz2
import gzip
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data import svmlight
from common.data.svmlight import read_svmlight

TRAIN = "1 0:1 3:2\n-1 2:7\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_an_index_is_the_number_of_its_input(tmp_path):
    examples = read_svmlight(write(tmp_path / "all.svmlight", TRAIN))
    np.testing.assert_array_equal(examples.images, [[1, 0, 0, 2], [0, 0, 7, 0]])
    assert examples.images.dtype == np.uint8 and examples.maximum == 1.0
    assert examples.classes == ("-1", "1") and examples.splits is None
    np.testing.assert_array_equal(examples.labels, [1, 0])
    assert examples.labels.dtype == np.int32


def test_indices_that_count_from_one_are_not_shifted(tmp_path):
    examples = read_svmlight(write(tmp_path / "all", "1 1:5\n2 2:6\n"))
    np.testing.assert_array_equal(examples.images, [[0, 5, 0], [0, 0, 6]])


def test_comments_empty_lines_and_query_ids_are_no_inputs(tmp_path):
    text = "# from somewhere\n\n+1 qid:3 1:2e0 # a remark\r\n-1\n"
    np.testing.assert_array_equal(
        read_svmlight(write(tmp_path / "a", text)).images, [[0, 2], [0, 0]]
    )


def test_a_packed_file_is_read(tmp_path):
    (tmp_path / "all.gz").write_bytes(gzip.compress(TRAIN.encode()))
    assert read_svmlight(str(tmp_path / "all.gz")).images.shape == (2, 4)


@pytest.mark.parametrize("suffix", ["", ".svmlight"])
@pytest.mark.parametrize(("packed", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_the_splits_of_a_folder_may_be_packed(suffix, packed, pack, tmp_path):
    (tmp_path / f"train{suffix}{packed}").write_bytes(pack(TRAIN.encode()))
    write(tmp_path / "test.svmlight", "1 0:3\n")
    examples = read_svmlight(str(tmp_path))
    np.testing.assert_array_equal(examples.images, [[1, 0, 0, 2], [0, 0, 7, 0], [3, 0, 0, 0]])
    write(tmp_path / "train.txt", TRAIN)
    with pytest.raises(ValueError, match="holds the split train more than once"):
        read_svmlight(str(tmp_path))


@pytest.mark.parametrize("suffix", svmlight.SUFFIXES)
def test_a_folder_gives_its_splits_one_width(suffix, tmp_path):
    write(tmp_path / f"train{suffix}", TRAIN)
    write(tmp_path / f"test{suffix}", "0 6:1\n1 0:300\n1 1:1\n")
    examples = read_svmlight(str(tmp_path))
    assert examples.images.shape == (5, 7) and examples.images.dtype == np.uint16
    assert examples.classes == ("-1", "0", "1")
    assert examples.splits is not None and list(examples.splits) == ["train", "test"]
    np.testing.assert_array_equal(examples.splits["test"], [2, 3, 4])
    np.testing.assert_array_equal(examples.images[examples.splits["test"], 0], [0, 300, 0])
    np.testing.assert_array_equal(examples.labels, [2, 0, 1, 2, 2])


def test_the_beginning_of_file_names_is_a_domain(tmp_path):
    write(tmp_path / "books_train.svmlight", TRAIN)
    write(tmp_path / "books_val.svmlight", "1 4:1\n")
    write(tmp_path / "dvd_train.svmlight", "1 9:1\n")
    examples = read_svmlight(str(tmp_path / "books"))
    assert examples.splits is not None and list(examples.splits) == ["train", "val"]
    assert examples.images.shape == (3, 5)


def test_domains_whose_largest_indices_differ_have_the_width_that_is_asked_for(tmp_path):
    wide, narrow = (write(tmp_path / name, f"0 {name}:1\n1\n") for name in ("9", "4"))
    assert read_svmlight(wide, 12).images.shape == read_svmlight(narrow, 12).images.shape == (2, 12)
    with pytest.raises(ValueError, match="holds the index 9, but .*num_features is 9; .*least 10"):
        read_svmlight(wide, 9)
    assert read_svmlight(wide, 10).images.shape == (2, 10)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (("0", "255"), np.uint8),
        (("3.0", "256"), np.uint16),
        (("65535", "1"), np.uint16),
        (("65536", "1"), np.float32),
        (("-1", "1"), np.float32),
        (("0.5", "1"), np.float32),
    ],
)
def test_counts_are_stored_in_the_smallest_type_that_holds_them(values, dtype, tmp_path):
    path = write(tmp_path / "all", "".join(f"{i} 0:{own}\n" for i, own in enumerate(values)))
    images = read_svmlight(path).images
    assert images.dtype == dtype
    np.testing.assert_array_equal(images[:, 0], [float(own) for own in values])


def test_classes_are_in_the_order_of_the_numbers(tmp_path):
    examples = read_svmlight(write(tmp_path / "a", "10 0:1\n9 0:1\n2.5 0:1\n-1 0:1\n"))
    assert examples.classes == ("-1", "2.5", "9", "10")
    np.testing.assert_array_equal(examples.labels, [3, 2, 1, 0])


@pytest.mark.parametrize(
    "line",
    [
        *("1 3:1 2:1", "1 2:1 2:1", "a 1:2", "1 a:2", "1 1:b", "1 1:", "1,2 1:1", "1 -1:2", "1 1"),
        *("1 99999999999999999999:1", "1 3000000000:1", "1 1:2:3", "1 1 : 2", "ÿþ\x00"),
    ],
)
def test_a_line_that_is_none_is_named(line, tmp_path):
    path = write(tmp_path / "all", TRAIN + line + "\n" + TRAIN)
    with pytest.raises(ValueError, match="all, line 3, is '.*' with numbers and rising indices"):
        read_svmlight(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a holds no example"),
        ("# nothing\n", "a holds no example"),
        ("nan 1:1\n", "the label of example 1 is nan, no number"),
        ("1 0:1\ninf 1:1\n", "the label of example 2 is inf"),
        ("1 0:nan 1:inf\n0 0:1e300 1:1\n", "holds 3 values that are NaN, infinite or too large"),
        ("1 0:1\n1 1:1\n", "a holds the label 1 alone; it must hold at least two"),
        ("1 99999999:1\n" * 300, "would take 28 GiB as a dense table of 300 x 100000000; the limi"),
    ],
)
def test_what_cannot_be_a_domain_is_refused(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_svmlight(write(tmp_path / "a", text))


def test_files_that_are_missing_or_doubled_are_named(tmp_path):
    with pytest.raises(ValueError, match="x is neither a file nor .* called x_train.svmlight"):
        read_svmlight(str(tmp_path / "x"))
    write(tmp_path / "train.csv", TRAIN)
    with pytest.raises(ValueError, match="none of train, val, test, .*; it holds train.csv$"):
        read_svmlight(str(tmp_path))
    write(tmp_path / "train.txt", TRAIN)
    write(tmp_path / "train.dat", TRAIN)
    with pytest.raises(ValueError, match="the split train more than once: train.txt, train.dat;"):
        read_svmlight(str(tmp_path))
    (tmp_path / "all.gz").write_text(TRAIN)
    with pytest.raises(ValueError, match="all.gz is no svmlight file that can be read: Not a gzip"):
        read_svmlight(str(tmp_path / "all.gz"))


@given(st.binary(max_size=80))
def test_bytes_of_any_kind_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(data)
    try:
        examples = read_svmlight(str(path))
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert len(examples.classes) > 1


@pytest.mark.real_data
def test_reviews_are_those_that_were_published(tmp_path):
    archive = Path(os.environ["ADAPTAX_DATA"]) / "amazon_reviews" / "amazon_reviews.tar.xz"
    with tarfile.open(archive) as packed:
        for part in ("train", "test"):
            packed.extract(f"kitchen_{part}.svmlight", tmp_path, filter="data")
    examples = read_svmlight(str(tmp_path / "kitchen"), 5000)
    splits = examples.splits
    assert splits is not None
    assert {part: len(rows) for part, rows in splits.items()} == {"train": 2000, "test": 5945}
    assert examples.images.shape == (7945, 5000) and examples.images.dtype == np.uint8
    assert examples.classes == ("-1", "1")
    assert examples.labels[splits["train"]].sum() == 1000
