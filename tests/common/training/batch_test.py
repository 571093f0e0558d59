"""Tests of how stored examples become inputs: in training as in evaluation."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfTransformer

from common.data.domain import Domain
from common.data.example import Examples
from common.data.stream import Stream
from common.data.table import make_tables
from common.training.batch import make_assemble, prepare
from tests import tiny
from tests.common.training.population_field_test import make_probe

NEEDS = {"source": ("image", "index"), "target": ("image", "index")}
NUM_MEMBERS = 2
ROLES = tuple(NEEDS)


def make_tasks():
    tasks = []
    draw = np.random.default_rng(0)
    counts = {role: draw.poisson(1.0, (40, 6)).astype(np.uint8) for role in ROLES}
    labels = draw.integers(0, 3, 40).astype(np.int32)
    examples = {role: Examples(own, labels, ("a", "b", "c"), 1.0) for role, own in counts.items()}
    for member in range(NUM_MEMBERS):
        task = {}
        for role in ROLES:
            rows = np.random.default_rng([member, len(role)]).permutation(40).astype(np.int32)
            splits = {"train": rows[:20], "val": rows[20:32], "test": rows[32:]}
            task[role] = Domain(role, examples[role], splits)
        tasks.append(task)
    return tasks


TASKS = make_tasks()


def expected_inputs(member, role):
    """Returns log-scaled tf-idf of all examples, less the mean of the source's training split."""
    logs = {role: np.log1p(own.examples.images * 1.0) for role, own in TASKS[member].items()}
    known = logs["source"][TASKS[member]["source"].splits["train"]]
    transformer: Any = TfidfTransformer().fit(known)
    mean = transformer.transform(known).toarray().mean(0)
    return transformer.transform(logs[role]).toarray() - mean


@pytest.mark.parametrize("path", ["resident", "streamed"])
def test_training_and_evaluation_see_inputs_scaled_by_each_members_source(path):
    tables, images = make_tables(TASKS, "source", "log+tf_idf")
    where = {}
    if path == "streamed":
        where["stream"] = Stream(images, 500, 2)
    else:
        tables = {role: {**own, "image": images[role]} for role, own in tables.items()}
    config = tiny.make_config(changes={"data.strong_augment": {}})  # vectors are no pictures
    with tiny.quick_compilation():
        run = tiny.make_run(
            config, num_members=NUM_MEMBERS, method=make_probe(NEEDS), tables=tables, **where
        )
        state, metrics = run.program.chunk(tiny.start(run), run.tables, 0, 10)
        for role in ROLES:
            outputs = run.program.outputs(state, run.tables, role, "val")
            for member in range(NUM_MEMBERS):
                inputs, splits = expected_inputs(member, role), TASKS[member][role].splits
                rows = splits["train"][np.asarray(metrics[f"{role}/index"][member])]
                seen = metrics[f"{role}/image"][member]
                np.testing.assert_allclose(seen, inputs[rows], 1e-4, 1e-6)
                seen = outputs.features[member]
                np.testing.assert_allclose(seen, inputs[splits["val"]], 1e-4, 1e-6)
        counts = TASKS[0]["target"].examples.images[:7]
        seen = run.program.predict(state, run.tables, counts, "target").features
        for member in range(NUM_MEMBERS):
            expected = expected_inputs(member, "target")[:7]
            np.testing.assert_allclose(seen[member], expected, 1e-4, 1e-6)
    run.program.close()


def test_strong_pictures_are_scaled_after_they_are_augmented():
    draw = np.random.default_rng(3)
    pictures = draw.integers(0, 256, (40, 4, 4, 3)).astype(np.uint8)
    examples = Examples(pictures, np.zeros(40, np.int32), ("a",), 255.0)
    rows = np.arange(40, dtype=np.int32)
    splits = {"train": rows[:20], "val": rows[20:32], "test": rows[32:]}
    task = {role: Domain(role, examples, splits) for role in ROLES}
    tables, _ = make_tables([task], "none", "standardize")
    alone = jax.tree.map(lambda leaf: leaf[0], tables["source"]["scaling"])
    tables["source"] |= {"scaling": alone, "train": rows[:20], "mean": jnp.zeros((1, 1, 1, 1))}
    always = {"shift": {"pixels": 4, "probability": 1.0}}
    config = {"augment": {}, "strong_augment": always}
    assemble = make_assemble(config, {"source": ("image", "strong_image")})
    tables, stored = jax.tree.map(jnp.asarray, (tables, pictures[:20]))
    drawn = {"source": jnp.arange(20)}
    batch = assemble(tables, drawn, {"source": stored}, jax.random.key(0))["source"]
    np.testing.assert_array_equal(batch["image"], prepare(tables, "source", stored))
    values = pictures[:20] / 255
    black = -values.mean((0, 1, 2)) / values.std((0, 1, 2))
    # What a shift uncovers is black, as in a picture, not the mean.
    is_black = np.isclose(batch["strong_image"], black, atol=1e-4).all(-1)
    assert is_black.mean() > 0.3
