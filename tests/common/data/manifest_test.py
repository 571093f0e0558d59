"""Tests of CSV files that list pictures."""

import unicodedata

import numpy as np
import pytest

from common.data.task import load_task
from tests.common.data.picture_folder import (
    fill,
    read,
    refuse,
    split_rows,
    values,
)
from tests.tiny import make_config

LINES = "path,age\n" + "".join(f"{row}.png,{row}\n" for row in range(10))


def write_manifest(tmp_path, text, files=("a.png", "sub/b.png", "c.png")):
    fill(tmp_path, files if text is not LINES else [f"{row}.png" for row in range(10)])
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_manifest_lists_pictures_and_classes(tmp_path):
    path = write_manifest(tmp_path, "path,label\nc.png,dog\nsub/b.png,cat\na.png,dog\n")
    examples = read(path)
    assert examples.classes == ("cat", "dog") and examples.splits is None
    assert values(examples) == [1, 0, 2] and examples.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "path,label,split\na.png,x,test\nsub/b.png,y,train\nc.png,,train\n",
        "split,path,label\r\ntest,./a.png,x\r\n\r\ntrain,sub/../sub/b.png,y\r\ntrain,c.png,\r\n",
        b"\xef\xbb\xbf"
        + b'"path","split","label"\na.png,test,"x"\nsub/b.png,train,y\nc.png,train,',
    ],
)
def test_a_manifest_may_name_splits(tmp_path, text):
    examples = read(write_manifest(tmp_path, text))
    assert values(examples) == [2, 1, 0] and examples.classes == ("x", "y")
    assert examples.labels.tolist() == [-1, 1, 0]
    assert split_rows(examples) == {"train": [0, 1], "test": [2]}


def test_a_manifest_without_labels_has_no_classes(tmp_path):
    examples = read(write_manifest(tmp_path, "path,label\na.png,\nc.png,\n"))
    assert examples.classes == () and examples.labels.tolist() == [-1, -1]


def test_a_manifest_compares_labels_as_folders_are_compared(tmp_path):
    labels = [unicodedata.normalize(form, "bär") for form in ("NFC", "NFD")]
    examples = read(write_manifest(tmp_path, f"path,label\na.png,{labels[0]}\nc.png,{labels[1]}\n"))
    assert examples.classes == (labels[0],)


def test_a_manifest_may_hold_commas_and_line_breaks(tmp_path):
    name = 'a, "b"\nc.png'
    path = write_manifest(tmp_path, 'path,label\n"a, ""b""\nc.png","x, y"\n', [name])
    assert read(path).classes == ("x, y",)


def test_a_manifest_is_found_in_the_folder_that_one_is_in(tmp_path, monkeypatch):
    write_manifest(tmp_path, "path,label\na.png,x\n").rename(tmp_path / "LIST.CSV")
    monkeypatch.chdir(tmp_path)
    assert read("LIST.CSV").classes == ("x",)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["begins with the columns none; they must be path, label"]),
        ("path,label\n", ["lists no picture"]),
        ("a.png,cat\n", ["begins with the columns 'a.png', 'cat';"]),
        ("path,label,splits\n", ["begins with the columns 'path', 'label', 'splits';"]),
        ("path,label,label\n", ["begins with the columns 'path', 'label', 'label';"]),
        ("path;label\na.png;x\n", ["begins with the columns 'path;label';"]),
        ("path,label\na.png,x\nc.png\n", ["line 3 has 1 fields, the header 2"]),
        ("path,label\na.png,x,y\n", ["line 2 has 3 fields"]),
        ("path,label\n,x\n", ["line 2 has the path ''; it must name a picture"]),
        ("path,label\na\0.png,x\n", ["line 2 has the path 'a\\x00.png'"]),
        ("path,label\na.png, x\n", ["line 2 has the label ' x'; take the white space"]),
        ("path,label\na.png,x\n\n./a.png,x\n", ["line 4 names 'a.png' again, which line 2 named"]),
        ("path,label,split\na.png,x,valid\n", ["line 2: split is 'valid'; did you mean 'val'?"]),
        ("path,label,split\na.png,x,\n", ["line 2: split is ''; legal are train, val, test"]),
        ('path,label\n"a.png,x\n', ["is no CSV file in UTF-8: "]),
        (b"path,label\na.png,\xff\n", ["is no CSV file in UTF-8: "]),
        ("path,label\na.png,x\nd.png,x\n", ["1 of 2 files", "'d.png' (it is missing)", "skip_bad"]),
        ("path,label\na.png/b,x\n", ["1 of 1 files", "'a.png/b' (it is missing)"]),
        ("path,label\nsub,x\n", ["'sub' (it is no ordinary file)"]),
        ("path,label\n.,x\n", ["'.' (it is no ordinary file)"]),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path, text, parts):
    refuse(write_manifest(tmp_path, text), *parts)


def test_a_manifest_stays_in_its_folder(tmp_path):
    own = tmp_path / "own"
    path = write_manifest(own, "")
    fill(tmp_path, ["own2/x.png"])
    (own / "link.png").symlink_to("../own2/x.png")
    (own / "inner.png").symlink_to("a.png")
    names = [
        str(own / "a.png"),
        "../own2/x.png",
        "sub/../../own2/x.png",
        "../own/a.png",
        "link.png",
    ]
    path.write_text("path,label\ninner.png,x\n" + "".join(f"{name},x\n" for name in names))
    quoted = ", ".join(f"{name!r} (line {line})" for line, name in enumerate(names, 3))
    for skip_bad in (False, True):
        refuse(path, f"names files outside its folder: {quoted}; paths must", skip_bad=skip_bad)
    path.write_text("path,label\ninner.png,x\n")
    assert values(read(path)) == [0]


def test_a_manifest_with_a_link_to_itself_is_refused(tmp_path):
    path = write_manifest(tmp_path, "path,label\nself.png,x\n")
    (tmp_path / "self.png").symlink_to("self.png")
    with pytest.raises(ValueError, match=r"self.png' cannot be read \(Too many levels"):
        read(path)


def test_bad_pictures_of_a_manifest_can_be_left_out(tmp_path, caplog):
    path = write_manifest(tmp_path, "path,label\na.png,x\nbad.png,x\ngone.png,x\n")
    fill(tmp_path, {"bad.png": b"bad"})
    assert values(read(path, skip_bad=True)) == [0]
    assert "2 of 3 files" in caplog.text


def test_columns_of_numbers_are_labels_that_are_no_classes(tmp_path):
    text = "x,path,split,y\n1.5,c.png,train,-2\n,a.png,test,\n0,sub/b.png,train,3e1\n"
    examples = read(write_manifest(tmp_path, text), kind="regression")
    assert examples.classes == ("x", "y") and examples.names == ("c.png", "sub/b.png", "a.png")
    assert values(examples) == [2, 1, 0]
    expected = np.asarray([[1.5, -2], [0, 30], [np.nan, np.nan]], np.float32)
    np.testing.assert_array_equal(examples.labels, expected)
    assert split_rows(examples) == {"train": [0, 1], "test": [2]}
    nothing = read(write_manifest(tmp_path, "path,x\na.png,\n"), kind="regression")
    assert nothing.classes == () and nothing.labels.tolist() == [-1]


def test_bad_pictures_are_left_out_with_their_values(tmp_path, caplog):
    path = write_manifest(tmp_path, "path,x\na.png,1\nsub/b.png,0\nc.png,1\n")
    (tmp_path / "sub" / "b.png").write_bytes(b"no picture")
    examples = read(path, skip_bad=True, kind="multi_label")
    assert examples.labels.tolist() == [[1.0], [1.0]] and "'sub/b.png'" in caplog.text


@pytest.mark.parametrize(
    ("text", "kind", "part"),
    [
        ("path,x\na.png,two\n", "regression", "line 2 has a label that is no number"),
        ("path,x\na.png,inf\n", "regression", "every value must be finite"),
        ("path,x\na.png,2\n", "multi_label", "every value must be 0, 1, or -1"),
        ("path,x,y\na.png,1,\n", "multi_label", "lacks some of the values of example 0"),
        ("path,x,x\na.png,1,1\n", "regression", "one for each label or value, each named once"),
        ("x,y\n1,2\n", "regression", "they must be path, if wanted split"),
    ],
)
def test_bad_values_are_refused(tmp_path, text, kind, part):
    refuse(write_manifest(tmp_path, text), part, kind=kind)


def test_class_folders_are_no_numbers(tmp_path):
    fill(tmp_path, ["cat/a.png", "dog/b.png"])
    refuse(tmp_path, "holds class folders, and config.task.kind is 'regression'", kind="regression")


def test_a_task_reads_numbers_of_pictures(tmp_path):
    config = make_config(
        changes={
            "task.kind": "regression",
            "source": f"folder:{write_manifest(tmp_path / 'one', LINES)}",
            "target": f"folder:{fill(tmp_path / 'two', [f'{row}.png' for row in range(10)])}",
            "data.val_share": 0.2,
            "data.test_share": 0.2,
        }
    )
    task = load_task(config)
    assert task["source"].examples.labels.shape == task["target"].examples.labels.shape == (10, 1)
    assert np.isnan(task["target"].examples.labels).all()
    assert task["source"].examples.labels[:, 0].tolist() == list(range(10))
