"""Tests of what a program reads of a target whose labels are limited by a budget."""

import functools

import jax
import numpy as np
import pytest

from common.data.stream import Stream
from tests import tiny
from tests.common.training.population_field_test import make_probe

ROWS = ("train_on_target", "train_on_both", "dann+target_labelled", "mcc+target_labelled")
NUM_MEMBERS, EACH = 2, 2
NEEDS = {
    "source": ("image",),
    "target": ("image", "index"),
    "target_labelled": ("image", "label", "index"),
}


def make_tables():
    """Returns tables in which each member has labelled examples of its own, one class in turn."""
    tables = tiny.make_tables(NUM_MEMBERS)
    target, found = tables["target"], []
    for rows in target["train"]:
        of_classes = [rows[target["label"][rows] == own][:EACH] for own in range(tiny.NUM_CLASSES)]
        found.append(np.stack(of_classes, axis=1).reshape(-1))
    target["labelled"] = np.stack(found)
    return tables


TABLES = make_tables()


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


def make_config(row):
    return tiny.make_config(row, {"data.target_labels_per_class": EACH})


@functools.cache
def run_of(row):
    return tiny.make_run(make_config(row), num_members=NUM_MEMBERS, tables=TABLES)


def leaves_after(row, labels):
    run = run_of(row)
    tables = {**run.tables, "target": {**run.tables["target"], "label": labels}}
    state = tiny.train(run._replace(tables=tables), 5)
    return jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))


@pytest.mark.parametrize("row", ROWS)
def test_no_label_beyond_the_budget_reaches_what_is_trained(row):
    true, seen = TABLES["target"]["label"], TABLES["target"]["labelled"]
    others = np.setdiff1d(np.arange(len(true)), seen)
    changed = true.copy()
    changed[others] = (changed[others] + 1) % tiny.NUM_CLASSES
    before, after = leaves_after(row, true), leaves_after(row, changed)
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, two)
    changed[seen[0, 0]] = (true[seen[0, 0]] + 1) % tiny.NUM_CLASSES
    after = leaves_after(row, changed)
    assert not all(map(np.array_equal, before, after))


@pytest.mark.parametrize("path", ["resident", "streamed"])
def test_steps_and_refreshes_see_the_labelled_examples_alone(path):
    def refresh(variables, outputs, hparams):
        return {"seen": {name: own["features"] for name, own in outputs.items()}} | {
            "label": outputs["target_labelled"]["label"]
        }

    method = make_probe(NEEDS, refresh=refresh)
    tables, where = TABLES, {}
    if path == "streamed":
        where["stream"] = Stream({role: own["image"] for role, own in TABLES.items()}, 10_000, 2)
        tables = {
            role: {name: array for name, array in own.items() if name != "image"}
            for role, own in TABLES.items()
        }
    config = make_config("dann+target_labelled")
    run = tiny.make_run(config, num_members=NUM_MEMBERS, method=method, tables=tables, **where)
    state = run.program.refresh(tiny.start(run), run.tables)
    target = TABLES["target"]
    for member, rows in enumerate(target["labelled"]):
        seen = jax.tree.map(lambda leaf, m=member: np.asarray(leaf[m]), state.method_state)
        np.testing.assert_array_equal(seen["label"], target["label"][rows])
        for domain, own in (("target_labelled", rows), ("target", target["train"][member])):
            images = target["image"][own].reshape(len(own), -1) / 16
            np.testing.assert_allclose(seen["seen"][domain], images, 1e-6)

    _, metrics = run.program.chunk(tiny.start(run), run.tables, 0, 4)
    run.program.close()
    for member, rows in enumerate(target["labelled"]):
        drawn = rows[np.asarray(metrics["target_labelled/index"][member])]
        assert drawn.shape == (4, 16)
        label = np.asarray(metrics["target_labelled/label"][member])
        np.testing.assert_array_equal(label, target["label"][drawn])
        images = np.asarray(metrics["target_labelled/image"][member])
        np.testing.assert_allclose(images, target["image"][drawn] / 16, 1e-6)
        counts = np.stack([np.bincount(own, minlength=tiny.NUM_CLASSES) for own in label])
        assert (np.ptp(counts, axis=1) <= 1).all()
        pool = target["train"][member][np.asarray(metrics["target/index"][member])]
        assert pool.shape == (4, 8)
