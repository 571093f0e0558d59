"""Tests of members whose examples differ: what each of them sees, and that it is as if alone."""

import functools

import jax
import numpy as np
import pytest

from common.data.stream import Stream
from common.data.table import make_tables
from common.data.task import load_task
from tests import tiny
from tests.common.training.population_field_test import make_probe

MOONS = ("moons", "rotated_moons")
# The first and the third member have one draw.
DRAWS = (4, 5, 4, 6)
NEEDS = {
    "source": ("image", "label", "index"),
    "target": ("image", "index"),
    "target_labelled": ("image", "label", "index"),
}
MEMBERS = tuple(range(len(DRAWS)))
PATHS = ("resident", "streamed")


def make_config(draw, row="source_only"):
    options = {"train": 20, "val": 10, "test": 12, "seed": draw}
    changes = {f"data.{name}.{key}": own for name in MOONS for key, own in options.items()}
    changes |= {"source": MOONS[0], "target": MOONS[1], "model.normalization": "none"}
    changes |= {"data.strong_augment": {}}  # points are no pictures
    return tiny.make_config(row, changes)


TASKS = [load_task(make_config(draw)) for draw in DRAWS]


def make_run(path, members, center="none", row="source_only", **fields):
    tables, images = make_tables([TASKS[member] for member in members], center)
    where = {}
    if path == "streamed":
        where["stream"] = Stream(images, 500, 2)
    else:
        tables = {role: {**own, "image": images[role]} for role, own in tables.items()}
    config = make_config(DRAWS[0], row)
    return tiny.make_run(config, num_members=len(members), tables=tables, **fields, **where)


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


@pytest.mark.parametrize("path", PATHS)
def test_each_member_sees_its_own_examples(path):
    run = make_run(path, MEMBERS, method=make_probe(NEEDS))
    state = tiny.start(run)
    state, metrics = run.program.chunk(state, run.tables, 0, 10)
    for domain, fields in NEEDS.items():
        role = domain.partition("_")[0]
        for member in MEMBERS:
            own = TASKS[member][role]
            rows = own.splits["train"][np.asarray(metrics[f"{domain}/index"][member])]
            seen = np.asarray(metrics[f"{domain}/image"][member])
            np.testing.assert_array_equal(seen, own.examples.images[rows])
            if "label" in fields:
                labels = np.asarray(metrics[f"{domain}/label"][member])
                np.testing.assert_array_equal(labels, own.examples.labels[rows])
    for role, split in (("source", "val"), ("target", "test")):
        features = run.program.outputs(state, run.tables, role, split).features
        for member in MEMBERS:
            own = TASKS[member][role]
            expected = own.examples.images[own.splits[split]]
            np.testing.assert_array_equal(features[member], expected)
    run.program.close()


@functools.cache
def results_of(path, members):
    run = make_run(path, members, "source", "dann")
    state = tiny.start(run, {"seed": members})
    state, metrics = run.program.chunk(state, run.tables, 0, 10)
    evaluation = run.program.evaluate(state, run.tables)
    run.program.close()
    return jax.tree.map(np.asarray, (tiny.params_of(state), metrics, evaluation))


def assert_close(tree, expected):
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, 1e-5, 1e-6), tree, expected)


@pytest.mark.parametrize("member", [1, 2])
def test_a_member_is_what_it_is_alone(member):
    alone = results_of("resident", (member,))
    together = results_of("resident", MEMBERS)
    assert_close(jax.tree.map(lambda leaf: leaf[member : member + 1], together), alone)


def test_both_places_of_the_pictures_give_the_same():
    assert_close(*(results_of(path, MEMBERS) for path in PATHS))
