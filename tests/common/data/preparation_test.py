import errno
import json
import os
import shutil

import numpy as np
import pytest

from common.data import catalogue, preparation, progress
from common.data.data_folder import CHECKSUMS, find_prepared, list_prepared
from common.data.picture import Form
from common.data.preparation import STAGING, prepare
from common.data.prepared import read_prepared
from common.experiment.outcome import RunFailed
from tests.common.data import tiny_dataset_builder as tiny


@pytest.fixture
def manual(tmp_path, monkeypatch):
    monkeypatch.setitem(catalogue.OWN_BUILDERS, "tiny", tiny.__name__)
    folder = tmp_path / "manual"
    folder.mkdir()
    (folder / "tiny.txt").touch()
    return folder


def run(manual, root, name="tiny/grey"):
    shown = []
    prepare(name, manual_dir=str(manual), data_dir=str(root), show=shown.append)
    return shown


def content(folder):
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_a_prepared_set_is_read_and_nothing_else_is_left(manual, tmp_path):
    root = tmp_path / "data"
    shown = run(manual, root)
    assert shown[0] == f"tiny/grey: preparing it in {root}/tiny/grey/1.2.3"
    assert shown[1].startswith("tiny/grey 1.2.3 (train 12, validation 4, test 6; 0.4 MiB in ")
    examples = read_prepared("tiny/grey", {}, Form(0, "center", 0), str(root))
    assert np.array_equal(examples.images[np.array([3])][0], tiny.picture_of("grey", "train", 3))
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_dir()} == {
        *("tiny", "tiny/.config", "tiny/grey", "tiny/grey/1.2.3"),
    }


def test_what_tfds_makes_alone_is_the_same(manual, tmp_path):
    run(manual, tmp_path / "data")
    alone = content(tiny.build("grey", tmp_path / "alone", manual))
    ours = content(tmp_path / "data" / "tiny" / "grey" / "1.2.3")
    recorded = json.loads(ours.pop(CHECKSUMS))
    assert ours == alone
    assert {name: own["bytes"] for name, own in recorded.items()} == {
        name: len(data) for name, data in ours.items()
    }


def test_a_bare_name_of_ours_means_all_its_parts(manual, tmp_path, monkeypatch):
    monkeypatch.setattr(tiny.Builder, "BUILDER_CONFIGS", tiny.Builder.BUILDER_CONFIGS[:2])
    run(manual, tmp_path / "data", "tiny")
    assert [row.name for row in list_prepared(str(tmp_path / "data"))] == [
        *("tiny/colour", "tiny/grey"),
    ]


def test_a_finished_set_is_told_and_left_alone(manual, tmp_path):
    run(manual, tmp_path / "data")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "data").rglob("*record*")}
    (manual / "tiny.txt").unlink()
    (shown,) = run(manual, tmp_path / "data")
    assert shown.endswith("finished before, its files are unchanged")
    assert before == {file: file.stat().st_mtime_ns for file in before}


def test_a_changed_file_is_found_by_its_hash_and_the_set_prepared_again(manual, tmp_path):
    root = tmp_path / "data"
    run(manual, root)
    folder = find_prepared("tiny/grey", str(root)).folder
    whole = content(folder)
    file = next(folder.glob("*train*"))
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    file.write_bytes(changed)
    assert find_prepared("tiny/grey", str(root)).problem == ""
    shown = run(manual, root)
    assert f"({file.name} has another content than was written): preparing it again" in shown[0]
    assert content(folder) == whole
    assert not (root / "tiny" / STAGING).exists()


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("dataset_info.json", None, "dataset_info.json is missing"),
        ("dataset_info.json", "[]", "its dataset_info.json is damaged"),
        ("features.json", None, "features.json is missing"),
        (CHECKSUMS, '{"file": 5}', f"its {CHECKSUMS} is damaged"),
        (CHECKSUMS, "no JSON", f"its {CHECKSUMS} is damaged"),
    ],
)
def test_a_set_without_its_small_files_is_prepared_again(manual, tmp_path, file, text, problem):
    root = tmp_path / "data"
    run(manual, root)
    folder = find_prepared("tiny/grey", str(root)).folder
    whole = content(folder)
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    assert run(manual, root)[0] == (
        f"tiny/grey in {folder} is damaged ({problem}): preparing it again"
    )
    assert content(folder) == whole


def test_the_home_folder_may_be_written_as_a_tilde(manual, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run("~/manual", tmp_path / "data")
    assert find_prepared("tiny/grey", str(tmp_path / "data"))


def test_a_part_that_is_made_by_its_name_raises_no_warning(tmp_path, caplog):
    shown = []
    name = "synthetic_digits/train2_test1_seed0"
    prepare(name, manual_dir="", data_dir=str(tmp_path), show=shown.append)
    assert shown[-1].endswith("finished")
    assert "custom data configuration" not in caplog.text


def test_a_damaged_set_stays_where_it_cannot_be_prepared_again(manual, tmp_path):
    root = tmp_path / "data"
    run(manual, root)
    folder = find_prepared("tiny/grey", str(root)).folder
    next(folder.glob("*train*")).unlink()
    (manual / "tiny.txt").unlink()
    with pytest.raises(ValueError):
        run(manual, root)
    assert len(list(folder.glob("*record*"))) == 2


def test_a_missing_manual_file_is_said_with_the_instructions_below(manual, tmp_path):
    (manual / "tiny.txt").rename(manual / "other.txt")
    with pytest.raises(ValueError) as caught:
        run(manual, tmp_path / "data")
    assert str(caught.value) == (
        f"the manual folder {manual} lacks tiny.txt (a text); it holds other.txt"
    )
    assert caught.value.__notes__ == ["write anything into\na file tiny.txt"]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("is_given", [True, False])
def test_an_empty_or_missing_manual_folder_is_said(manual, tmp_path, is_given):
    (manual / "tiny.txt").unlink()
    root = tmp_path / "data"
    with pytest.raises(ValueError, match="a person has to get .* --manual_dir names") as caught:
        run(manual if is_given else "", root)
    folder = manual if is_given else root / "downloads" / "manual"
    assert f"{folder} does not exist or is empty" in str(caught.value)
    assert caught.value.__notes__
    with pytest.raises(ValueError, match="--manual_dir is '.*nowhere', which is no folder"):
        run(tmp_path / "nowhere", root)


def test_a_set_in_another_format_is_not_touched(manual, tmp_path):
    root = tmp_path / "data"
    run(manual, root)
    info = find_prepared("tiny/grey", str(root)).folder / "dataset_info.json"
    for file in info.parent.glob("*array_record*"):
        file.rename(file.with_name(file.name.replace("array_record", "tfrecord")))
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    (info.parent / CHECKSUMS).unlink()
    before = content(root)
    with pytest.raises(RunFailed, match="is there as tfrecord, and only array_record is read"):
        run(manual, root)
    assert content(root) == before


def test_files_that_hold_less_than_was_written_are_never_published(manual, tmp_path, monkeypatch):
    build = preparation._build

    def build_and_cut(task, show):
        build(task, show)
        file = next((task.staging / "tiny").rglob("*train*"))
        file.write_bytes(file.read_bytes()[:100])

    monkeypatch.setattr(preparation, "_build", build_and_cut)
    with pytest.raises(RunFailed, match="holds 0 of 12 records; is the disk full"):
        run(manual, tmp_path / "data")
    assert not (tmp_path / "data").exists() or list_prepared(str(tmp_path / "data")) == []


def raising(error):
    def example(self, config, split, number):
        raise error

    return example


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"), "[prepare]"),
        (ModuleNotFoundError("No module named 'cv2'", name="cv2.x"), "pip install cv2"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "/data: No space left on device"),
        (RuntimeError("write() failed: No space left on device; at 3"), "cannot write "),
        (ConnectionRefusedError("no"), "its builder failed: ConnectionRefusedError"),
        (KeyError("a"), "tiny/grey: its builder failed: KeyError: "),
        (np.exceptions.AxisError("b"), "its builder failed: AxisError: "),
    ],
)
def test_whatever_a_builder_raises_becomes_one_sentence(
    manual, tmp_path, monkeypatch, error, sentence
):
    monkeypatch.setattr(tiny.Builder, "example", raising(error))
    with pytest.raises(RunFailed) as caught:
        run(manual, tmp_path / "data")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_without_a_network_the_instructions_are_given(manual, tmp_path, monkeypatch):
    def split_generators(self, dl_manager):
        # The address of a host that no resolver may know (RFC 2606).
        return {"train": dl_manager.download("http://adaptax.invalid/file")}

    from tensorflow_datasets.core.download import downloader

    monkeypatch.setattr(tiny.Builder, "_split_generators", split_generators)
    real = downloader._open_url
    monkeypatch.setattr(downloader, "_open_url", lambda url, **_: at_once(downloader, real, url))
    with pytest.raises(RunFailed, match="tiny/grey cannot be downloaded") as caught:
        run(manual, tmp_path / "data")
    assert caught.value.__notes__ == ["write anything into\na file tiny.txt"]


def at_once(downloader, real, url):
    """Opens an address without trying again, which would take seconds."""
    downloader.MAX_RETRIES = 0
    return real(url)


def test_a_log_gets_plain_lines_with_counts(manual, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    slow = tiny.Builder.example

    def example(self, config, split, number):
        import time

        time.sleep(0.02)
        return slow(self, config, split, number)

    monkeypatch.setattr(tiny.Builder, "example", example)
    lines = [line for line in run(manual, tmp_path / "data") if "examples made" in line]
    counts = [int(line.split(" s, ")[1].split()[0]) for line in lines]
    assert lines[0].startswith("tiny/grey: 0 s, ")
    assert counts == sorted(counts)
    assert 0 < counts[-1] <= 22


def test_what_others_print_is_kept_silent(manual, tmp_path, capsys):
    run(manual, tmp_path / "data")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_partial_downloads_of_a_killed_preparation_are_removed(manual, tmp_path):
    root = tmp_path / "data"
    left = root / "downloads" / "tiny" / "file.tmp.0123"
    left.mkdir(parents=True)
    other = shutil.copytree(root / "downloads" / "tiny", root / "downloads" / "other")
    run(manual, root)
    assert not left.exists()
    assert other.exists()
