"""Tests of the files of a domain: damaged ones, sizes, and what is kept in memory."""

import errno
import io
import logging
import os
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from common.data import picture as picture_module
from common.data import picture_file
from common.data.picture import FITS, Form, adapt, encode_png
from common.data.picture_store import Pictures
from tests.common.data.picture_folder import (
    PNG,
    fill,
    png,
    read,
    refuse,
    split_rows,
    values,
)


def test_all_bad_files_are_named_in_one_summary(tmp_path, caplog):
    fill(tmp_path, [f"cat/{number}.png" for number in range(3)])
    bad = {"cat/cut.png": PNG[:50], "cat/empty.jpg": b"", "dog/text.png": b"text"}
    fill(tmp_path, bad | {"dog/a.png": PNG})
    (tmp_path / "dog" / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "dog" / "pipe")
    refuse(
        tmp_path,
        "5 of 9 files",
        "'cat/cut.png' (it is cut short or damaged",
        "'cat/empty.jpg' (it is empty), 'dog/gone.png' (it is missing), "
        "'dog/pipe' (it is no ordinary file), 'dog/text.png' (it is no picture",
        "config.data.skip_bad=true",
    )
    assert not caplog.records
    fill(tmp_path, {f"ape/{number}.png": b"bad" for number in range(4)})
    sentence = refuse(tmp_path, "9 of 13 files", " and 4 more (the log names all); mend or remove")
    assert sentence.count(".png'") + sentence.count(".jpg'") == 5
    (record,) = caplog.records
    told, *names = record.getMessage().splitlines()
    assert told == f"9 of 13 files of {str(tmp_path)!r} are no readable pictures:"
    assert [name.split("'")[1] for name in names] == [
        *(f"ape/{number}.png" for number in range(4)),
        *("cat/cut.png", "cat/empty.jpg", "dog/gone.png", "dog/pipe", "dog/text.png"),
    ]


def test_bad_files_are_left_out_when_that_is_asked_for(tmp_path, caplog):
    fill(tmp_path, ["train/cat/1.png", "train/cat/2.png", "train/dog/3.png", "test/cat/4.png"])
    fill(tmp_path, {"train/cat/1b.png": b"bad", "test/bad.txt": b"bad", "test/cat/x.png": b""})
    with caplog.at_level(logging.WARNING):
        examples = read(tmp_path, skip_bad=True)
    assert values(examples) == [0, 1, 2, 3] and examples.labels.tolist() == [0, 0, 1, 0]
    assert split_rows(examples) == {"train": [0, 1, 2], "test": [3]}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "2 of 6 files" in record.getMessage() and "they are left out" in record.getMessage()
    assert "'train/cat/1b.png' (it is no" in record.getMessage()


def test_every_file_that_is_left_out_is_logged(tmp_path, caplog):
    bad = [f"cat/{number:02}.png" for number in range(20)]
    fill(tmp_path, {"cat/a.png": PNG, **dict.fromkeys(bad, b"bad")})
    read(tmp_path, skip_bad=True)
    (record,) = caplog.records
    told, *names = record.getMessage().splitlines()
    assert told.startswith("20 of 21 files of ") and told.endswith("; they are left out:")
    assert [name.split("'")[1] for name in names] == bad


def test_nothing_is_logged_where_all_is_well(tmp_path, caplog):
    read(fill(tmp_path, ["cat/a.png"]), skip_bad=True)
    assert not caplog.records


def test_leaving_out_all_of_a_class_is_refused(tmp_path):
    fill(tmp_path, {"cat/a.png": PNG, "dog/b.png": b"bad"})
    refuse(tmp_path, "'dog/b.png'", "would leave nothing of 'dog'", skip_bad=True)
    shutil.rmtree(tmp_path)
    refuse(fill(tmp_path, {"a.png": b"bad"}), "would leave nothing of them", skip_bad=True)


def test_a_split_that_is_all_bad_stays_as_an_empty_one(tmp_path):
    fill(tmp_path, {"train/cat/a.png": PNG, "test/cat/b.png": b"bad"})
    assert split_rows(read(tmp_path, skip_bad=True)) == {"train": [0], "test": []}


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_file, "MAX_FILE_BYTES", len(PNG))
    fill(tmp_path, {"cat/a.png": PNG, "cat/b.mp4": bytes(len(PNG) + 1)})
    refuse(
        tmp_path, "1 of 2", f"'cat/b.mp4' (it takes {len(PNG) + 1} bytes, and at most {len(PNG)}"
    )


def test_pictures_of_several_sizes_need_a_size(tmp_path):
    files = {"a/1.png": png(1), "a/2.png": png(2, (5, 4, 1)), "a/3.png": png(3, (4, 4, 3))}
    fill(tmp_path, files)
    refuse(tmp_path, "the sizes 4 x 4 ('a/1.png'), 5 x 4 ('a/2.png'); set config.data.size")
    refuse(
        tmp_path,
        "numbers of channels 1 ('a/1.png'), 3 ('a/3.png'); set config.data.channels",
        form=Form(4, "center", 0),
    )
    refuse(tmp_path, "sizes", form=Form(0, "center", 3))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("kept", [True, False])
def test_pictures_are_brought_to_the_form(tmp_path, fit, kept, monkeypatch):
    rng = np.random.default_rng(0)
    pictures = [
        rng.integers(0, 256, shape, np.uint8) for shape in [(5, 9, 3), (8, 6, 1), (3, 3, 3)]
    ]
    fill(tmp_path, {f"a/{number}.png": encode_png(own) for number, own in enumerate(pictures)})
    form = Form(6, fit, 3)
    monkeypatch.setattr(picture_file, "KEPT_BYTES", 3 * 6 * 6 * 3 - (not kept))
    images = read(tmp_path, form).images
    assert isinstance(images, np.ndarray if kept else Pictures)
    np.testing.assert_array_equal(images[:], np.stack([adapt(own, form) for own in pictures]))


def test_what_does_not_fit_into_memory_is_read_when_needed(tmp_path, monkeypatch):
    fill(tmp_path, [f"{label}/{number}.png" for label in "ab" for number in range(20)])
    expected = read(tmp_path)
    monkeypatch.setattr(picture_file, "KEPT_BYTES", 100)
    examples = read(tmp_path)
    assert isinstance(examples.images, Pictures)
    assert (
        examples.images.shape == (40, 4, 4, 1) and examples.labels.tolist() == [0] * 20 + [1] * 20
    )
    found = {}

    def take(number):
        rows = np.random.default_rng(number).integers(0, 40, 100)
        found[number] = (rows, examples.images[rows])

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rows, own in found.values():
        np.testing.assert_array_equal(own, expected.images[rows])
    np.testing.assert_array_equal(examples.images.hold(), expected.images)


def test_bad_files_are_no_rows_of_a_store(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_file, "KEPT_BYTES", 0)
    fill(tmp_path, ["a/1.png", "a/3.png"])
    fill(tmp_path, {"a/2.png": b"bad", "a/0.png": b"bad"})
    assert values(read(tmp_path, skip_bad=True)) == [0, 1]


def test_a_picture_that_is_gone_later_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_file, "KEPT_BYTES", 0)
    fill(tmp_path, ["a/1.png", "a/2.png"])
    images = read(tmp_path).images
    (tmp_path / "a" / "2.png").unlink()
    with pytest.raises(
        ValueError, match="'a/2.png' of .* could be read at first, but no longer: it"
    ):
        images[:]
    fill(tmp_path, {"a/2.png": png(0, (5, 5, 1))})
    with pytest.raises(ValueError, match="picture 1 now is"):
        images[:]


@pytest.mark.parametrize("num_bytes", [0, 2**28])
def test_every_picture_is_decoded_once_to_check_it(tmp_path, monkeypatch, num_bytes):
    monkeypatch.setattr(picture_file, "KEPT_BYTES", num_bytes)
    names, decode = [], picture_file.decode_picture
    monkeypatch.setattr(
        picture_file, "decode_picture", lambda data: (names.append(data), decode(data))[1]
    )
    read(fill(tmp_path, [f"a/{number}.png" for number in range(30)]))
    assert len(names) == len(set(names)) == 30


def test_exif_is_obeyed_in_folders(tmp_path):
    exif = Image.Exif()
    exif[picture_module.ORIENTATION] = 6
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "PNG", exif=exif)
    images = read(fill(tmp_path, {"a/1.png": buffer.getvalue()})).images
    np.testing.assert_array_equal(images[0, ..., 0], [[3, 0], [4, 1], [5, 2]])


@pytest.mark.parametrize("name", ["open", "stat"])
def test_a_file_that_may_not_be_read_is_refused_and_never_left_out(tmp_path, monkeypatch, name):
    fill(tmp_path, ["cat/a.png", "cat/b.png"])
    locked = str(tmp_path / "cat" / "b.png")
    place = picture_file.os if name == "stat" else picture_file
    original = os.stat if name == "stat" else open

    def call(path, *arguments, **options):
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return original(path, *arguments, **options)

    monkeypatch.setattr(place, name, call, raising=False)
    for skip_bad in (False, True):
        refuse(tmp_path, f"'{locked}' cannot be read (Permission denied)", skip_bad=skip_bad)


def test_ten_thousand_small_files(tmp_path):
    labels = [f"{label:02}" for label in range(10)]
    (tmp_path / "00").mkdir()
    (tmp_path / "00" / "0000").write_bytes(PNG)
    for label in labels:
        (tmp_path / label).mkdir(exist_ok=True)
        for number in range(label == "00", 1000):
            os.link(tmp_path / "00" / "0000", tmp_path / label / f"{number:04}")
    examples = read(tmp_path)
    assert examples.images.shape == (10_000, 4, 4, 1) and (examples.images == 7).all()
    np.testing.assert_array_equal(examples.labels, np.repeat(np.arange(10), 1000))
