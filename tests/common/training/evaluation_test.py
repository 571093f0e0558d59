"""Tests of what every evaluation measures without target labels: scores, and signs of collapse."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.data.stream import Stream
from common.evaluation.evidence import Evidence
from common.evaluation.scores import score as scores_module
from common.evaluation.scores.score import SCORES, compute_scores
from common.method import Outputs
from common.training import evaluation, parallel
from common.training.split_pass import make_split_pass
from tests import tiny

# Of the 20 training rows of a split fewer, of its 12 validation rows too.
EXAMPLES = 8
NUM_MEMBERS = 2
CHANGES = {
    "evaluation.score_examples": EXAMPLES,
    "evaluation.scores": ("information_maximization", "proxy_a_distance", "mixval"),
    "optimizer.ema_decay": 0.9,
}


@pytest.fixture(scope="module")
def pair():
    """Two members after some steps, and what was measured of them."""
    run = tiny.make_run(tiny.make_config("dann", CHANGES), num_members=NUM_MEMBERS)
    state = tiny.train(run, 3)
    return run, state, run.program.evaluate(state, run.tables)


def assert_close(found, expected, select=lambda leaf: leaf):
    for kind in ("score", "guard"):
        assert found[kind].keys() == expected[kind].keys()
        for name, value in found[kind].items():
            np.testing.assert_allclose(
                value, select(expected[kind][name]), 1e-4, 1e-5, err_msg=f"{kind} {name}"
            )


@pytest.mark.parametrize("where", ["streamed", *parallel.MODES])
def test_a_member_has_the_scores_of_the_run_alone_wherever_that_is(pair, where):
    run, state, together = pair
    im = together["score"]["information_maximization"]
    assert im.shape == (NUM_MEMBERS,) and im[0] != im[1]
    tables, options = tiny.take_members(run.tables, [1]), {}
    state = jax.tree.map(lambda leaf: leaf[1:], state)
    if where == "streamed":
        images = {role: table.pop("image") for role, table in tables.items()}
        # Room for two batches at a time.
        options["stream"] = Stream(images, 1000, 2)
    else:
        options["placement"] = parallel.make_placement(1, 8, 8, where)
        state = parallel.place(state, options["placement"].members)
    alone = tiny.make_run(run.config, method=run.method, tables=tables, **options)
    found = alone.program.evaluate(state, alone.tables)
    assert_close(found, together, lambda leaf: leaf[1:])


def test_target_labels_change_nothing_that_needs_none(pair):
    run, state, before = pair
    other = {**run.tables["target"], "label": 2 - run.tables["target"]["label"]}
    after = run.program.evaluate(state, {**run.tables, "target": other})
    for kind in ("score", "guard", "source_val"):
        jax.tree.map(np.testing.assert_array_equal, after[kind], before[kind])
    assert (after["target_val"]["confusion"] != before["target_val"]["confusion"]).any()


def test_scores_cannot_reach_a_target_label_by_construction():
    hidden = evaluation.without_target_labels(tiny.make_tables())
    assert "label" not in hidden["target"] and "label" in hidden["source"]
    assert not [name for name in Evidence._fields if "target" in name and "label" in name]


def test_evidence_is_the_networks_on_a_fixed_part_of_each_split(pair, monkeypatch):
    run, state, _ = pair

    def show(evidence, key, names):
        """Hands out, in the place of scores, what they see."""
        images, repeated = evidence.target_val_image, None
        if "mixval" in names:
            repeated = evidence.predict(jnp.concatenate([images, images[:3]]))
        return evidence._replace(predict=repeated)._asdict()

    monkeypatch.setattr(evaluation, "compute_scores", show)
    compile_anew = evaluation.compile_scores.__wrapped__
    monkeypatch.setattr(evaluation, "compile_scores", compile_anew)
    tables = tiny.take_members(run.tables, [1])
    alone = jax.tree.map(lambda leaf: leaf[1:], state)
    passes = make_split_pass(run.method, tables, 1, 5)
    evaluate = evaluation.make_evaluate(run.config, tables, 1, passes, has_measures=False)
    seen = jax.tree.map(lambda leaf: leaf[0], evaluate(alone, tables)["score"])

    variables = jax.tree.map(lambda leaf: leaf[0], alone.ema)
    for part in evaluation.PARTS:
        role, split = part.split("_")
        rows = tables[role][split][0]
        positions = evaluation.sample_positions(part, len(rows), EXAMPLES)
        assert len(set(positions)) == EXAMPLES
        rows = rows[positions]
        inputs = jnp.asarray(tables[role]["image"][rows] / 16)
        expected = run.method.predict(variables, inputs, role)
        np.testing.assert_allclose(seen[part].logits, expected.logits, 1e-5, 1e-5)
        np.testing.assert_allclose(seen[part].features, expected.features, 1e-5, 1e-5)
        if role == "source":
            np.testing.assert_array_equal(seen[f"{part}_label"], tables[role]["label"][rows])
        elif split == "val":
            np.testing.assert_allclose(seen["target_val_image"], inputs, 1e-6)
            repeated = jnp.concatenate([expected.logits, expected.logits[:3]])
            np.testing.assert_allclose(seen["predict"].logits, repeated, 1e-5, 1e-5)


def test_what_the_guard_looks_at(pair):
    run, state, found = pair
    for member in range(NUM_MEMBERS):
        target = np.asarray(run.program.outputs(state, run.tables, "target", "val").logits[member])
        for name, classes in (
            ("class_entropy", target.argmax(-1)),
            (
                "source_class_entropy",
                run.tables["source"]["label"][run.tables["source"]["val"][member]],
            ),
        ):
            shares = np.bincount(classes) / len(classes)
            shares = shares[shares > 0]
            expected = -(shares * np.log(shares)).sum()
            np.testing.assert_allclose(found["guard"][name][member], expected, 1e-5, 1e-6)
    # Averages of noughts predict one class, so the gap is the share of all others.
    ruined = jax.tree.map(lambda leaf: leaf * 0, state.ema)
    gap = run.program.evaluate(state._replace(ema=ruined), run.tables)["guard"]
    assert np.all(gap["class_entropy"] == 0)
    raw = run.program.evaluate(
        state._replace(ema={"params": state.params, "batch_stats": state.batch_stats}), run.tables
    )
    assert np.all(raw["guard"]["averaging_gap"] == 0)
    positions = evaluation.sample_positions("target_val", 12, EXAMPLES)
    logits = run.program.outputs(
        state._replace(ema={"params": state.params, "batch_stats": state.batch_stats}),
        *(run.tables, "target", "val"),
    ).logits
    others = np.asarray(logits).argmax(-1)[:, positions] != 0
    np.testing.assert_allclose(gap["averaging_gap"], others.mean(1), 1e-6)


def test_a_small_split_is_seen_whole_and_every_split_draws_for_itself():
    np.testing.assert_array_equal(evaluation.sample_positions("target_val", 7, 8), np.arange(7))
    first, again, other = (
        evaluation.sample_positions(part, 1000, 20)
        for part in ("target_val", "target_val", "source_val")
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and (np.diff(first) > 0).all()


def test_which_scores_a_run_computes():
    names = evaluation.score_names
    assert names(tiny.make_config()) == ()
    assert names(tiny.make_config(changes={"evaluation.score_examples": 9})) == tuple(SCORES)
    assert names(tiny.make_config(changes=CHANGES)) == CHANGES["evaluation.scores"]
    config = tiny.make_config(changes=CHANGES)
    assert names({**config, "task": {**config["task"], "kind": "regression"}}) == ()


def test_what_a_score_reads_is_there():
    """Scores see what the table of their needs says, and nothing else has to be computed."""
    outputs: Any = Outputs(jnp.ones((6, 2)), jnp.eye(6, 3))
    labels, key = jnp.arange(6) % 3, jax.random.key(0)
    whole = Evidence(
        *(outputs, labels, outputs, labels, outputs, outputs, jnp.ones((6, 1))),
        predict=lambda images: Outputs(images, jnp.eye(6, 3)[: len(images)]),
    )
    lacking: dict[tuple[str, ...], dict[str, Any]] = {
        scores_module.OF_TRAINING: {"source_train": None, "target_train": None},
        scores_module.OF_PICTURES: {"target_val_image": None, "predict": None},
    }
    for names, without in lacking.items():
        others = [name for name in SCORES if name not in names]
        part = whole._replace(**without)
        jax.eval_shape(lambda: compute_scores(part, key, others))  # noqa: B023
        for name in names:
            with pytest.raises((AttributeError, TypeError)):
                jax.eval_shape(lambda: compute_scores(part, key, (name,)))  # noqa: B023
    for name in scores_module.WEIGHED:
        with pytest.raises(ValueError, match="domain classifier"):
            SCORES[name](whole, key)
