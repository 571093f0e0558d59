"""Tests of tasks: classes by name, splits that files lack, labels that are missing."""

import weakref
from typing import Any

import numpy as np
import pytest

from common.data import domain, reader, task
from common.data.arrangement import arrange
from common.data.split import complete_splits
from common.data.task import load_task
from configs import class_map
from tests.common.data.tiny_task import LETTERS, examples_of, make_config, names_of


def test_missing_splits_are_drawn_from_the_published_training_split(files):
    loaded = load_task(make_config())
    for name, count in (("source", 40), ("target", 60)):
        splits = loaded[name].splits
        sizes = {part: len(rows) for part, rows in splits.items()}
        assert sizes == {"train": count * 7 // 10, "val": count // 10, "test": count // 5}
        every = np.concatenate([splits[part] for part in ("train", "val", "test")])
        np.testing.assert_array_equal(np.sort(every), np.arange(count))
        assert all(rows.dtype == np.int32 for rows in splits.values())


def test_labels_follow_the_names_of_the_classes(files):
    labels = np.arange(60) % 3
    files["right"] = examples_of(("c", "a", "b"), labels)
    loaded = load_task(make_config())
    assert loaded["target"].examples.classes == LETTERS
    expected = [("c", "a", "b")[label] for label in labels]
    assert names_of(loaded["target"], np.arange(60)) == expected
    assert loaded["target"].examples.images is files["right"].images


def test_classes_that_are_not_wanted_are_dropped_and_may_be_missing_in_the_target(files):
    files["left"] = examples_of(("x", "c", "a"), np.arange(40) % 3)
    files["right"] = examples_of(("a", "y"), np.arange(60) % 2)
    loaded = load_task(make_config(**{"data.classes": ("a", "c")}))
    for role, kept in (("source", {"a", "c"}), ("target", {"a"})):
        rows = np.concatenate(list(loaded[role].splits.values()))
        assert loaded[role].examples.classes == ("a", "c")
        assert set(names_of(loaded[role], rows)) == kept
    rows = np.concatenate(list(loaded["target"].splits.values()))
    np.testing.assert_array_equal(np.sort(rows), np.arange(0, 60, 2))


def test_renamed_classes_come_together(files):
    files["left"] = examples_of(("automobile", "truck", "ship"), np.arange(40) % 3)
    files["right"] = examples_of(("car", "ship"), np.arange(60) % 2)
    names = {"automobile": "car", "truck": "car"}
    loaded = load_task(make_config(**{"data.rename_classes": names}))
    assert loaded["source"].examples.classes == ("car", "ship")
    labels = loaded["source"].examples.labels
    np.testing.assert_array_equal(labels, np.where(np.arange(40) % 3 == 2, 1, 0))


def test_numbered_classes_of_corrupted_pictures_get_the_names_of_the_clean_ones(files):
    text = "airplane automobile bird cat deer dog frog horse ship truck"
    files["left"] = examples_of(text.split(), np.arange(40) % 10)
    files["right"] = examples_of(map(str, range(10)), np.arange(60) % 10)
    changes = {f"data.{key}": value for key, value in class_map.CIFAR_AND_CORRUPTED.items()}
    loaded = load_task(make_config(**changes))
    for role, count in (("source", 40), ("target", 60)):
        assert loaded[role].examples.classes == tuple(text.split())
        np.testing.assert_array_equal(loaded[role].examples.labels, np.arange(count) % 10)


def test_an_embedded_domain_keeps_only_wanted_classes_and_its_counts(files):
    config = make_config(source="digits", target="digits", **{"data.classes": ("1", "7")})
    config["data"]["digits"] = {"train": 100, "val": 50}
    loaded = load_task(config)
    sizes = {part: len(rows) for part, rows in loaded["target"].splits.items()}
    assert (sizes["train"], sizes["val"]) == (100, 50)
    assert sum(sizes.values()) == int(
        np.isin(domain.load_examples("digits", config["data"]).labels, (1, 7)).sum()
    )
    assert set(names_of(loaded["target"], loaded["target"].splits["test"])) == {"1", "7"}


def test_members_of_a_population_share_what_was_rearranged(files):
    files["right"] = examples_of(("c", "a", "b"), np.arange(60) % 3)
    first, second = (load_task(make_config(seed=seed)) for seed in (0, 1))
    for role in ("source", "target"):
        assert first[role].examples is second[role].examples
        assert not np.array_equal(first[role].splits["train"], second[role].splits["train"])


def test_members_share_what_was_rearranged_however_many_draws_there_are():
    drawn = [examples_of(("c", "a", "b"), np.arange(9) % 3) for _ in range(40)]
    first, second = ([arrange(own, {}, LETTERS) for own in drawn] for _ in range(2))
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert arrange(drawn[0], {}, ("a", "b")) is not first[0]
    assert arrange(drawn[0], {"a": "b"}, ("b", "c")).classes == ("b", "c")


def test_a_target_without_labels_is_fine_where_none_is_trained_on(files):
    files["right"] = examples_of((), np.full(60, -1))
    loaded = load_task(make_config())
    assert loaded["target"].examples.classes == LETTERS
    assert set(loaded["target"].examples.labels) == {-1}
    with pytest.raises(ValueError, match="'folder:right', of whose 42 examples in the split train"):
        load_task(make_config(domains=("target_labelled",)))


def test_labels_that_are_missing_in_the_source_are_refused(files):
    files["left"] = examples_of(LETTERS, [-1, *np.arange(39) % 3])
    seeds = [seed for seed in range(9) if 0 in load_rows(files, seed)]
    with pytest.raises(ValueError, match="1 have no label; this run needs them"):
        load_task(make_config(seed=seeds[0]))
    files["left"] = examples_of((), np.full(40, -1))
    reader.read.cache_clear()
    with pytest.raises(ValueError, match="which has no labels; a source needs them"):
        load_task(make_config())


def load_rows(files, seed):
    return complete_splits(files["left"], 0.1, 0.2, seed)["train"]


@pytest.mark.parametrize(
    ("right", "changes", "message"),
    [
        (("a", "b", "d"), {}, r"with the classes a, b, c, .* with a, b, d; .* \(a, b in common\)"),
        (("a", "b"), {}, r"with a, b; name those that the task is about"),
        (("x", "y"), {"data.classes": ("a",)}, r"\(none in common\)"),
        (LETTERS, {"data.classes": ("a", "z")}, "config.data.classes names z; the source has a, b"),
        (LETTERS, {"data.rename_classes": {"aa": "b"}}, "names the class 'aa'; "),
        (LETTERS, {"data.rename_classes": {"a": 3}}, "rename_classes.a is 3; it must be text"),
    ],
)
def test_classes_that_do_not_fit_are_refused(files, right, changes, message):
    files["right"] = examples_of(right, np.arange(60) % len(right))
    with pytest.raises(ValueError, match=message):
        load_task(make_config(**changes))


@pytest.mark.parametrize(
    ("classes", "changes", "known"),
    [
        (LETTERS, {}, False),
        (("c", "a", "b"), {}, False),
        (LETTERS, {"data.rename_classes": {"a": "x"}}, False),
        ((*LETTERS, "d"), {"data.classes": LETTERS}, True),
    ],
)
def test_a_target_whose_rows_were_chosen_by_label_says_so(files, classes, changes, known):
    files["right"] = examples_of(classes, np.arange(60) % len(classes))
    if "data.rename_classes" in changes:
        files["left"] = examples_of(("x", "b", "c"), np.arange(40) % 3)
    loaded = load_task(make_config(**changes))
    assert loaded["target"].chosen_by_label is known
    assert loaded["source"].chosen_by_label is False


def test_a_published_test_split_may_be_chosen_by_label_unless_it_is_trained_on(files):
    splits = {"train": np.arange(40), "test": np.arange(40, 60)}
    labels = np.where(np.arange(60) == 59, 3, np.arange(60) % 3)
    files["right"] = examples_of((*LETTERS, "d"), labels, splits)
    changes: dict[str, Any] = {"data.classes": LETTERS}
    assert not load_task(make_config(**changes))["target"].chosen_by_label
    changes["data.transductive"] = True
    assert load_task(make_config(**changes))["target"].chosen_by_label


def test_a_task_of_one_class_is_refused(files):
    files["left"] = examples_of(("a",), np.zeros(40))
    files["right"] = examples_of(("a",), np.zeros(60))
    sentence = "config.source 'folder:left' gives the task the class a alone; a task needs at least"
    with pytest.raises(ValueError, match=sentence):
        load_task(make_config())
    files["left"] = files["right"] = examples_of(LETTERS, np.arange(60) % 3)
    reader.read.cache_clear()
    with pytest.raises(ValueError, match=sentence):
        load_task(make_config(**{"data.classes": ("a",)}))


def test_a_source_class_without_a_training_example_is_refused(files):
    splits = {"train": np.arange(30), "test": np.arange(30, 40)}
    labels = np.where(np.arange(40) < 30, np.arange(40) % 2, 2)
    files["left"] = examples_of(LETTERS, labels, splits)
    message = "'folder:left', of whose 27 training examples none shows c; a class without one"
    with pytest.raises(ValueError, match=message):
        load_task(make_config())
    files["left"] = examples_of(LETTERS, np.arange(40) % 3, splits)
    reader.read.cache_clear()
    load_task(make_config())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data.source_splits.train": "train[:5]"},
            r"source_splits.train is 'train\[:5\]', which is",
        ),
        (
            {"data.target_splits.test": "none"},
            "target_splits.test is 'none', which is for prepared",
        ),
        ({"source": "digits", "data.source_splits.val": "x"}, "config.source is 'digits': leave"),
        ({"data.num_features": 9}, "config.data.num_features is 9, which is for svmlight:"),
    ],
)
def test_options_that_no_domain_reads_are_refused(files, changes, message):
    with pytest.raises(ValueError, match=message):
        load_task(make_config(**changes))


def test_a_long_sweep_keeps_few_domains_in_memory(files):
    seen = []
    for number in range(2 * reader.CACHED):
        files["left"] = examples_of(("c", "a", "b"), np.arange(40) % 3)
        files["right"] = examples_of(LETTERS, np.arange(60) % 3)
        loaded = load_task(make_config(**{"data.size": number, "data.classes": LETTERS}))
        seen.append(weakref.ref(loaded["source"].examples.labels))
    files.clear()
    del loaded
    assert sum(own() is not None for own in seen) <= reader.CACHED
    assert reader.read.cache_info().maxsize == reader.CACHED


def test_shapes_that_differ_are_refused_with_the_keys_that_bring_them_together(files):
    files["right"] = examples_of(LETTERS, np.arange(60) % 3, shape=(2, 2, 3))
    with pytest.raises(ValueError, match="config.data.size and config.data.channels"):
        load_task(make_config())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tdfs:mnist", "config.source is 'tdfs:mnist'; .*tfds:"),
        ("folder:", "config.source 'folder:': 'folder:' names no place"),
    ],
)
def test_names_that_lead_nowhere_are_refused(files, name, message):
    with pytest.raises(ValueError, match=message):
        load_task(make_config(source=name))


def test_a_broken_file_is_told_with_its_key(files, monkeypatch):
    def fail(place, options):
        raise ValueError(f"{place} holds no picture")

    monkeypatch.setitem(reader.READERS, "folder", fail)
    with pytest.raises(ValueError, match="config.source 'folder:left': left holds no picture"):
        load_task(make_config())


def test_what_is_read_depends_on_the_role_and_the_data_folder(monkeypatch):
    seen = []

    def read(place, options):
        seen.append((place, options["parts"]["train"], options["data_dir"], options["size"]))
        return examples_of(LETTERS, np.arange(60) % 3)

    monkeypatch.setitem(reader.READERS, "tfds", read)
    reader.read.cache_clear()
    changes = {
        "data.source_splits.train": "train[:50%]",
        "data.size": 2,
        "runtime.data_dir": "there",
    }
    config = make_config(source="tfds:one", target="tfds:one", **changes)
    task.load_task(config)
    task.load_task(config)
    assert seen == [("one", "train[:50%]", "there", 2), ("one", "", "there", 2)]
    reader.read.cache_clear()
