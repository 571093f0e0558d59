import hashlib
from types import SimpleNamespace

import pytest

from common.data.builders.manual import (
    check_manual,
    check_num_examples,
    check_sha256,
    find_manual,
    manual_folder,
    sha256,
)


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_a_complete_folder_passes(tmp_path):
    fill(tmp_path, "a.gz", "pictures/1.jpg", "pictures/2.jpg")
    check_manual(tmp_path, {"a.gz": "labels", "pictures/*.jpg": "pictures"}, "get it")


def test_everything_that_is_missing_is_named_and_what_is_there(tmp_path):
    fill(tmp_path, "a.gz", "other/1.png")
    needed = {"a.gz": "labels", "b.gz": "more labels", "pictures/*.jpg": "pictures"}
    with pytest.raises(ValueError) as caught:
        check_manual(tmp_path, needed, "\nget it\nfrom there\n")
    assert str(caught.value) == (
        f"the manual folder {tmp_path} lacks b.gz (more labels), pictures/*.jpg (pictures); "
        "it holds a.gz, other/; get it from there"
    )


def test_one_of_several_places_is_enough(tmp_path):
    fill(tmp_path, "mnist/a.gz")
    check_manual(tmp_path, {"a.gz|mnist/a.gz": "labels"}, "get it")
    with pytest.raises(ValueError, match=r"b\.gz or mnist/b\.gz \(labels\)"):
        check_manual(tmp_path, {"b.gz|mnist/b.gz": "labels"}, "get it")


def test_the_first_place_that_has_files_wins(tmp_path):
    names = [f"one/{number * 7 % 20:02}" for number in range(20)]
    fill(tmp_path, *names, "two/c")
    assert find_manual(tmp_path, "none/*|one/*|two/*") == [tmp_path / own for own in sorted(names)]
    assert find_manual(tmp_path, "none/*") == []


def test_what_operating_systems_leave_behind_is_no_file_of_the_set(tmp_path):
    fill(tmp_path, "__MACOSX/a.gz", ".trash/a.gz")
    assert find_manual(tmp_path, "a.gz|*/a.gz") == []
    fill(tmp_path, "new/a.gz")
    assert find_manual(tmp_path, "a.gz|*/a.gz") == [tmp_path / "new" / "a.gz"]


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_what_is_no_folder_is_refused(tmp_path, kind):
    path = tmp_path / "manual"
    if kind == "file":
        path.write_text("")
    with pytest.raises(ValueError, match=r"manual is no folder; get it$"):
        check_manual(path, {"a": "labels"}, "get it")


def test_a_full_folder_is_listed_in_short(tmp_path):
    fill(tmp_path, *(f"{number:02}" for number in range(20)))
    with pytest.raises(ValueError, match="it holds 00, 01, 02, 03, 04, 05, 06, 07 and 12 more;"):
        check_manual(tmp_path, {"a": "labels"}, "get it")


def test_an_empty_folder_holds_nothing(tmp_path):
    with pytest.raises(ValueError, match="it holds nothing;"):
        check_manual(tmp_path, {"a": "labels"}, "get it")


def test_missing_and_changed_files_are_told_apart():
    expected = {"a": "1", "b": "2", "c": "3"}
    check_sha256("here", {**expected, "extra": "4"}, expected)
    with pytest.raises(ValueError) as caught:
        check_sha256("here", {"a": "1", "b": "x"}, expected)
    assert str(caught.value) == (
        "here lacks c and has other content than was published in b (the SHA-256 of b is x, not "
        "2); get these files again"
    )


def test_the_sum_is_that_of_the_whole_file(tmp_path):
    content = bytes(range(256)) * 4096
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_both_counts_are_named():
    check_num_examples("here", 5, 5)
    with pytest.raises(ValueError, match="here holds 4 examples; the published one holds 5"):
        check_num_examples("here", 4, 5)


def test_the_folder_of_a_preparation_is_found(tmp_path):
    assert manual_folder(SimpleNamespace(manual_dir=str(tmp_path))) == tmp_path


@pytest.mark.parametrize("kind", ["absent", "empty"])
def test_an_absent_or_empty_folder_of_a_preparation_is_one_sentence(tmp_path, kind):
    from tensorflow_datasets import download

    manual = tmp_path / "manual"
    if kind == "empty":
        manual.mkdir()
    manager = download.DownloadManager(
        download_dir=tmp_path, manual_dir=manual, manual_dir_instructions="get it\nfrom there"
    )
    with pytest.raises(ValueError, match=r"manual does not exist or is empty.*get it from there$"):
        manual_folder(manager)
