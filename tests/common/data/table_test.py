"""Tests of what a program reads."""

import jax
import numpy as np
import pytest

from common.data import table
from common.data.domain import Domain
from common.data.example import Examples
from common.data.table import SPLITS, is_streamed, make_tables, mean_picture

ROLES = ("source", "target")


def make_examples(seed, count=50, dtype: type = np.uint8):
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, 3, 2, 1)).astype(dtype)
    return Examples(images, draw.integers(0, 3, count).astype(np.int32), ("a",), 255.0)


def make_tasks(num_members=2, draws=None):
    """Members share their examples, unless `draws` names the draw of each."""
    draws = draws or [0] * num_members
    examples = {
        (role, draw): make_examples([ROLES.index(role), draw]) for role in ROLES for draw in draws
    }
    tasks = []
    for member, draw in enumerate(draws):
        task = {}
        for role in ROLES:
            rows = np.random.default_rng(member).permutation(50).astype(np.int32)
            splits = {"train": rows[:30], "val": rows[30:40], "test": rows[40:]}
            task[role] = Domain(role, examples[role, draw], splits)
        tasks.append(task)
    return tasks


@pytest.mark.parametrize("block", [7, 1000])
def test_the_mean_is_that_of_the_source_training_pictures(block, monkeypatch):
    monkeypatch.setattr(table, "BLOCK", block)
    tasks = make_tasks()
    means = make_tables(tasks, "source")[0]["source"]["mean"]
    for member, task in enumerate(tasks):
        source = task["source"]
        expected = source.examples.images[source.splits["train"]].mean(0, np.float64) / 255
        np.testing.assert_allclose(means[member, 0], expected, 1e-6)
        # Nothing of the target, and nothing that is held out.
        held_out = source.examples.images.copy()
        held_out[source.splits["test"]] = 0
        np.testing.assert_array_equal(
            mean_picture(held_out, source.splits["train"], 255.0), means[member]
        )


def test_without_a_centre_the_mean_is_zero_and_fits_any_picture():
    means = make_tables(make_tasks(), "none")[0]["source"]["mean"]
    assert means.shape == (2, 1, 1, 1, 1)
    assert not means.any()


def test_examples_that_all_members_share_are_not_copied():
    tasks = make_tasks(3)
    tables, images = make_tables(tasks, "none")
    for role in ROLES:
        assert images[role] is tasks[0][role].examples.images
        assert tables[role]["label"] is tasks[0][role].examples.labels
        for split in SPLITS:
            rows = np.stack([task[role].splits[split] for task in tasks])
            np.testing.assert_array_equal(tables[role][split], rows)


def test_each_member_has_the_rows_of_its_own_examples():
    tasks = make_tasks(draws=[0, 1, 0, 2])
    tables, images = make_tables(tasks, "source")
    for role in ROLES:
        # The first and the third member have one draw, which is there once.
        assert images[role].shape == (150, 3, 2, 1) and tables[role]["label"].shape == (150,)
        for member, task in enumerate(tasks):
            examples = task[role].examples
            for split in SPLITS:
                rows, own = tables[role][split][member], task[role].splits[split]
                assert rows.dtype == np.int32
                np.testing.assert_array_equal(images[role][rows], examples.images[own])
                np.testing.assert_array_equal(tables[role]["label"][rows], examples.labels[own])
    for member, task in enumerate(tasks):
        source = task["source"]
        own = mean_picture(source.examples.images, source.splits["train"], 255.0)
        np.testing.assert_array_equal(tables["source"]["mean"][member], own)


class Store:
    """Pictures that are read when they are asked for."""

    shape, dtype, ndim = (50, 3, 2, 1), np.dtype(np.uint8), 4


def test_a_store_must_be_shared_by_all_members():
    def with_store(stores):
        tasks = make_tasks(draws=[0, 1])
        for task, store in zip(tasks, stores, strict=True):
            examples = task["target"].examples._replace(images=store)
            task["target"] = task["target"]._replace(examples=examples)
        return tasks

    shared = with_store([Store()] * 2)
    shared[1]["target"] = shared[1]["target"]._replace(examples=shared[0]["target"].examples)
    assert isinstance(make_tables(shared, "none")[1]["target"], Store)
    with pytest.raises(ValueError, match="config.data.target.seed .* read from a store; give them"):
        make_tables(with_store([Store(), Store()]), "none")


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (make_examples(9, count=60), r"config.data.source .* different form .*50, 3.*60, 3"),
        (make_examples(9, dtype=np.float32), "uint8.*float32"),
        (make_examples(9)._replace(maximum=16.0), "255.0.*16.0"),
    ],
)
def test_examples_of_another_form_are_refused(examples, message):
    tasks = make_tasks(draws=[0, 1])
    tasks[1]["source"] = tasks[1]["source"]._replace(examples=examples)
    with pytest.raises(ValueError, match=message):
        make_tables(tasks, "none")


def test_splits_of_another_size_are_refused():
    tasks = make_tasks(draws=[0, 1])
    splits = tasks[1]["source"].splits
    splits = splits | {"val": splits["val"][:9]}
    tasks[1]["source"] = tasks[1]["source"]._replace(splits=splits)
    with pytest.raises(ValueError, match="config.data.source .* different form"):
        make_tables(tasks, "none")


def test_pictures_of_all_members_count():
    runtime = {"data_path": "auto", "resident_bytes": 1200}
    assert not is_streamed(make_tasks(draws=[0, 1, 0]), runtime)
    assert is_streamed(make_tasks(draws=[0, 1, 2]), runtime)


def test_an_unknown_centre_is_refused():
    with pytest.raises(ValueError, match="config.data.center is 'target'.*none, source"):
        make_tables(make_tasks(), "target")


@pytest.mark.parametrize(
    ("path", "limit", "expected"),
    [("auto", 600, False), ("auto", 599, True), ("resident", 0, False), ("streamed", 9999, True)],
)
def test_pictures_are_streamed_where_they_do_not_fit(path, limit, expected):
    runtime = {"data_path": path, "resident_bytes": limit}
    assert is_streamed(make_tasks(), runtime) == expected


def test_an_unknown_path_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'streamed'"):
        is_streamed(make_tasks(), {"data_path": "stream", "resident_bytes": 0})


def test_without_scaling_nothing_is_there_to_scale():
    tables, _ = make_tables(make_tasks(), "source")
    assert "scaling" not in tables["source"] and "scaling" not in tables["target"]


def make_vectors(num_members):
    """Returns tasks of counts; the first and the last member have one split."""
    tasks = make_tasks(num_members)
    for member, task in enumerate(tasks):
        for role in ROLES:
            examples = task[role].examples
            counts = examples.images.reshape(50, 6) // 100
            examples = examples._replace(images=counts, maximum=1.0)
            splits = tasks[0][role].splits if member == num_members - 1 else task[role].splits
            task[role] = task[role]._replace(examples=examples, splits=splits)
    for role in ROLES:
        for task in tasks:
            task[role] = task[role]._replace(examples=tasks[0][role].examples)
    return tasks


def test_each_member_is_scaled_by_its_own_source_training_rows(monkeypatch):
    fits = []
    fit = table.fit_scaling
    monkeypatch.setattr(table, "fit_scaling", lambda *given: fits.append(0) or fit(*given))
    tasks = make_vectors(3)
    source = make_tables(tasks, "source", "log+standardize")[0]["source"]
    assert len(fits) == 2
    (_, own) = source["scaling"]
    for member, task in enumerate(tasks):
        inputs = np.log1p(task["source"].examples.images.astype(np.float64))
        inputs = inputs[task["source"].splits["train"]]
        fitted = own["standardize"]
        np.testing.assert_allclose(fitted["mean"][member, 0], inputs.mean(0), 1e-5)
        np.testing.assert_allclose(fitted["deviation"][member, 0], inputs.std(0), 1e-5)
    assert (own["standardize"]["mean"][0] != own["standardize"]["mean"][1]).any()
    # What is standardized is centred already.
    np.testing.assert_allclose(source["mean"], np.zeros((3, 1, 6)), atol=1e-6)


def test_the_mean_is_that_of_scaled_inputs():
    tasks = make_vectors(2)
    source = make_tables(tasks, "source", "log")[0]["source"]
    for member, task in enumerate(tasks):
        inputs = np.log1p(task["source"].examples.images.astype(np.float64))
        expected = inputs[task["source"].splits["train"]].mean(0)
        np.testing.assert_allclose(source["mean"][member, 0], expected, 1e-6)


def test_no_scaling_of_inputs_depends_on_the_target():
    tasks, others = make_vectors(2), make_vectors(2)
    for task in others:
        examples = task["target"].examples
        task["target"] = task["target"]._replace(
            examples=examples._replace(images=examples.images + 1)
        )
    one, other = (
        make_tables(own, "source", "tf_idf+standardize")[0]["source"] for own in (tasks, others)
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_counts_are_asked_for_by_name():
    tasks = make_vectors(2)
    examples = tasks[0]["target"].examples
    negative = examples._replace(images=-examples.images.astype(np.float32))
    tasks = [{**task, "target": task["target"]._replace(examples=negative)} for task in tasks]
    with pytest.raises(ValueError, match="config.data.scaling .* config.target 'target' holds"):
        make_tables(tasks, "none", "log")
    with pytest.raises(ValueError, match="the examples are pictures"):
        make_tables(make_tasks(), "none", "log")


class Pictures:
    """The least that a store has to have."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, rows):
        return self._array[rows]


@pytest.mark.parametrize("center", ["none", "source"])
def test_a_store_gives_the_tables_of_its_array(center):
    tasks = make_tasks()
    stored = make_tasks()
    for role in ROLES:
        examples = stored[0][role].examples
        examples = examples._replace(images=Pictures(examples.images))
        for task in stored:
            task[role] = task[role]._replace(examples=examples)
    mine, other = (make_tables(own, center)[0] for own in (tasks, stored))
    jax.tree.map(np.testing.assert_array_equal, mine, other)
