"""Tests of domains and their splits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from common.data import domain
from common.data.domain import Domain, load_examples, split, split_drawn
from common.data.example import Examples
from common.data.task import load_task
from configs import base

NUM_EXAMPLES = 60
CLASSES = ("a", "b", "c")


def make_examples(classes=CLASSES, shape=(2, 2, 1), seed=0):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 9, (NUM_EXAMPLES, *shape), np.uint8)
    return Examples(images, generator.permutation(NUM_EXAMPLES) % len(classes), classes, 8.0)


def load_domain(name, data, seed):
    examples = load_examples(name, data)
    return Domain(name, examples, split_drawn(name, examples, data, seed))


@pytest.fixture
def config(monkeypatch):
    """A config of two small domains, registered for the length of a test."""
    monkeypatch.setitem(domain.DOMAINS, "left", lambda options: make_examples(seed=1))
    monkeypatch.setitem(domain.DOMAINS, "right", lambda options: make_examples(seed=2))
    domain._load.cache_clear()
    yield {
        "source": "left",
        "target": "right",
        "domains": ("source", "target"),
        "task": {"kind": "multi_class"},
        "data": {
            "split_seed": 3,
            "transductive": False,
            "classes": (),
            "rename_classes": {},
            "target_classes": (),
            "target_labels_per_class": 0,
            "disjoint_halves": False,
            "num_features": 0,
            "source_splits": {},
            "target_splits": {},
            "left": {"train": 30, "val": 10},
            "right": {"train": 20, "val": 15},
        },
    }
    domain._load.cache_clear()


@pytest.mark.parametrize(("train", "val"), [(30, 10), (1, 1), (58, 1)])
def test_splits_are_disjoint_and_complete(train, val):
    splits = split(NUM_EXAMPLES, {"train": train, "val": val}, 0, "config.data.x")
    sizes = {name: len(rows) for name, rows in splits.items()}
    assert sizes == {"train": train, "val": val, "test": NUM_EXAMPLES - train - val}
    rows = np.concatenate(list(splits.values()))
    np.testing.assert_array_equal(np.sort(rows), np.arange(NUM_EXAMPLES))
    assert not np.array_equal(splits["train"], np.arange(train))


def test_a_seed_decides_the_split():
    first, again, other = (
        split(NUM_EXAMPLES, {"train": 30, "val": 10}, seed, "config.data.x") for seed in (0, 0, 1)
    )
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def test_splits_do_not_see_the_labels(config, monkeypatch):
    """A stratified split would hold equally many of each class, and carry labels into training."""
    loaded = [load_domain("left", config["data"], seed) for seed in range(4)]
    counts = {
        tuple(np.bincount(each.examples.labels[each.splits["train"]]).tolist()) for each in loaded
    }
    assert len(counts) > 1

    examples = make_examples(seed=1)
    permuted = examples._replace(labels=np.sort(examples.labels))
    monkeypatch.setitem(domain.DOMAINS, "permuted", lambda options: permuted)
    data = {**config["data"], "permuted": config["data"]["left"]}
    splits = load_domain("permuted", data, 0).splits
    for name, rows in loaded[0].splits.items():
        np.testing.assert_array_equal(splits[name], rows)


@pytest.fixture
def published(config, monkeypatch):
    """The same two domains, the target with splits of its own."""
    splits = {"train": np.arange(0, 40), "val": np.arange(40, 45), "test": np.arange(45, 60)}
    examples = make_examples(seed=2)._replace(splits=splits)
    monkeypatch.setitem(domain.DOMAINS, "right", lambda options: examples)
    domain._load.cache_clear()
    return config, splits


def test_a_domain_with_splits_of_its_own_keeps_them_for_every_seed(published):
    config, splits = published
    config["data"]["right"] = {}
    for seed in (0, 1):
        assert load_domain("right", config["data"], seed).splits == splits
        assert load_domain("left", config["data"], seed).examples.splits is None
    config["data"]["transductive"], config["domains"] = True, ("source", "target")
    seen = load_task(config)["target"].splits
    np.testing.assert_array_equal(seen["train"], [*range(40), *range(45, 60)])
    np.testing.assert_array_equal(seen["test"], splits["test"])


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_an_empty_split_of_its_own_is_refused(published, name):
    config, splits = published
    splits[name] = np.arange(0)
    with pytest.raises(ValueError, match=f"config.data.right: its own split {name} must hold"):
        load_domain("right", config["data"], 0)


@pytest.mark.parametrize(("train", "val"), [(0, 10), (10, 0), (50, 10), (70, 10), (-1, 10)])
def test_an_empty_split_is_refused(config, train, val):
    config["data"]["left"] = {"train": train, "val": val}
    message = f"config.data.left asks for {train} examples to train and {val} to validate of 60"
    with pytest.raises(ValueError, match=message):
        load_domain("left", config["data"], 0)


def test_an_unknown_domain_is_refused(config):
    with pytest.raises(ValueError, match="config.source is 'top'; legal are digits, left"):
        load_domain("top", config["data"], 0)


def test_a_task_is_a_source_and_a_target(config):
    task = load_task(config)
    assert {role: each.name for role, each in task.items()} == {"source": "left", "target": "right"}
    for role, name in (("source", "left"), ("target", "right")):
        expected = load_domain(name, config["data"], 3).splits
        for part, rows in expected.items():
            np.testing.assert_array_equal(task[role].splits[part], rows)


def test_transductive_training_adds_the_test_pictures_of_the_target(config):
    inductive = load_task(config)
    config["data"]["transductive"] = True
    config["domains"] = ("source", "target")
    task = load_task(config)
    before, after = inductive["target"].splits, task["target"].splits
    expected = sorted([*before["train"], *before["test"]])
    np.testing.assert_array_equal(after["train"], expected)
    assert len(set(expected)) == 45
    for part in ("val", "test"):
        np.testing.assert_array_equal(after[part], before[part])
    np.testing.assert_array_equal(
        task["source"].splits["train"], inductive["source"].splits["train"]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": ("a", "b", "d")},
            "'left' with the classes a, b, c, config.target 'right' with a, b, d; name those",
        ),
        (
            {"shape": (2, 3, 1)},
            r"'left' .* shape \(2, 2, 1\), config.target 'right' with \(2, 3, 1\); .* the same",
        ),
    ],
)
def test_domains_that_do_not_match_are_refused(config, monkeypatch, changes, message):
    monkeypatch.setitem(domain.DOMAINS, "right", lambda options: make_examples(**changes))
    with pytest.raises(ValueError, match=message):
        load_task(config)


def test_a_domain_is_loaded_once_and_anew_for_other_options(config, monkeypatch):
    asked = []

    def load(options):
        asked.append(options)
        return make_examples()

    monkeypatch.setitem(domain.DOMAINS, "left", load)
    for seed in range(3):
        load_domain("left", config["data"], seed)
    assert asked == [{"train": 30, "val": 10}]
    config["data"]["left"]["per_class"] = 5
    load_domain("left", config["data"], 0)
    assert asked[1:] == [{"train": 30, "val": 10, "per_class": 5}]


def test_the_embedded_domains_share_classes_shape_and_range():
    defaults = base.get_config().data.to_dict()
    few = {"per_class": 10, "train": 60, "val": 20}
    data = {
        **defaults,
        "split_seed": 0,
        "synthetic_digits": {**defaults["synthetic_digits"], **few},
    }
    config = base.get_config().to_dict()
    task = load_task({**config, "data": data})
    assert task["source"].examples.images.shape == (100, 8, 8, 1)
    digits = task["target"].examples
    assert digits.images.shape == (1797, 8, 8, 1)
    pictures, labels = load_digits(return_X_y=True)
    np.testing.assert_array_equal(digits.images, pictures.reshape(-1, 8, 8, 1))
    np.testing.assert_array_equal(digits.labels, labels)
    for each in task.values():
        examples = each.examples
        assert examples.images.dtype == np.uint8
        assert examples.labels.dtype == np.int32
        assert examples.images.max() == examples.maximum == 16
        assert [examples.classes[label] for label in examples.labels] == [
            str(label) for label in examples.labels
        ]
