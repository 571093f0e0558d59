"""Tests of reverse validation: what the way back is told, and what it leaves alone."""

import json

import jax
import numpy as np
import pytest

from common.data.stream import Stream
from common.experiment import folder
from common.experiment.outcome import Stopped, StopRequest
from common.experiment.reverse_validation import reverse_accuracy
from common.experiment.run import train_population
from tests import tiny
from tests.tiny_run import make_method
from tests.tiny_run import tiny as tiny_config

CHANGES = {"num_steps": 60, "optimizer.learning_rate": 0.3, "data.batch_size": 16}


def make_tables(num_members=1, gap=0.0):
    """Returns three clusters a domain; the target's are moved towards one another by a share."""
    tables = tiny.make_tables(num_members)
    draw = np.random.default_rng(5)
    centres = draw.normal(size=(3, 4, 4, 1))
    for role, share in (("source", 0.0), ("target", gap)):
        moved = (1 - share) * centres + share * centres.mean(axis=0)
        pictures = 16 * moved[tables[role]["label"]] + draw.normal(size=(40, 4, 4, 1))
        tables[role]["image"] = pictures.astype(np.float32)
    return tables


def score(tables, num_members=1, name="source_only", changes=None, hparams=None, **where):
    run = tiny.make_run(
        tiny.make_config(name, CHANGES | (changes or {})),
        tables=tables,
        num_members=num_members,
        **where,
    )
    state = tiny.train(run, 60, hparams)
    before = jax.tree.map(np.array, tiny.params_of(state))
    run.program.close()
    accuracy = reverse_accuracy(
        *(run.config, run.method, run.program, state, run.tables, StopRequest()), **where
    )
    jax.tree.map(np.testing.assert_array_equal, before, tiny.params_of(state))
    return accuracy


def test_a_good_way_comes_back_right_and_one_without_classes_does_not():
    good, bad = score(make_tables()), score(make_tables(gap=1.0))
    assert good.shape == (1,)
    assert good[0] == 1.0
    assert bad[0] < 0.7


@pytest.mark.parametrize("name", ["source_only", "dann"])
def test_no_target_label_is_read(name):
    tables = make_tables(gap=0.8)
    permuted = {**tables, "target": {**tables["target"], "label": np.zeros(40, np.int32)}}
    assert score(tables, name=name) == score(permuted, name=name)


def test_the_way_back_is_never_told_a_label_of_the_source():
    tables = make_tables(gap=0.8)
    run = tiny.make_run(tiny.make_config("source_only", CHANGES), tables=tables)
    state = tiny.train(run, 60)
    rows = tables["source"]["train"][0]
    others = tables["source"]["label"].copy()
    others[rows] = 0
    hidden = {**tables, "source": {**tables["source"], "label": others}}
    scores = [
        reverse_accuracy(run.config, run.method, run.program, state, own, StopRequest())
        for own in (tables, hidden)
    ]
    assert scores[0] == scores[1]


def test_members_are_scored_by_their_own_labels():
    tables = make_tables(2, gap=0.8)
    rates = {"optimizer.learning_rate": [0.3, 0.0]}
    together = score(tables, 2, hparams=rates)
    for member, rate in enumerate(rates["optimizer.learning_rate"]):
        own = tiny.take_members(tables, [member])
        alone = score(own, hparams={"optimizer.learning_rate": [rate], "seed": [member]})
        assert together[member] == pytest.approx(alone[0], abs=0.1)


def test_streamed_pictures_give_the_same_score():
    tables = make_tables(gap=0.8)
    images = {role: own["image"] for role, own in tables.items()}
    bare = {
        role: {key: array for key, array in own.items() if key != "image"}
        for role, own in tables.items()
    }
    streamed = score(bare, stream=Stream(images, 2**20, 2))
    np.testing.assert_array_equal(streamed, score(tables))


def test_a_member_that_went_wrong_has_no_score():
    rates = {"optimizer.learning_rate": [0.3, 1e18]}
    found = score(make_tables(2), 2, hparams=rates)
    assert found[0] == 1.0
    assert np.isnan(found[1])


def test_a_signal_stops_the_way_back():
    run = tiny.make_run(tiny.make_config("source_only", CHANGES), tables=make_tables())
    state = tiny.train(run, 60)
    request = StopRequest()
    request.received = "SIGTERM"
    with pytest.raises(Stopped, match="in reverse validation, which begins anew"):
        reverse_accuracy(run.config, run.method, run.program, state, run.tables, request)


def test_a_run_folder_holds_the_score_where_it_is_asked_for(tmp_path):
    digests = []
    for asked in (True, False):
        changes = {"evaluation.reverse_validation": asked, "num_steps": 20}
        configs = [tiny_config(tmp_path, seed=seed, **changes) for seed in (0, 1)]
        train_population(configs, make_method, StopRequest())
        for config in configs:
            result = json.loads((folder.run_folder(config) / "result.json").read_text())
            assert ("score/reverse_validation" in result["selections"]["last"]) == asked
            digests.append(result["params_sha256"])
    assert digests[:2] == digests[2:]


def test_a_row_with_target_labels_in_a_scored_sweep_has_no_score(tmp_path):
    changes = {"evaluation.reverse_validation": True, "num_steps": 20}
    config = tiny_config(tmp_path, "train_on_target", **changes)
    train_population([config], make_method, StopRequest())
    result = json.loads((folder.run_folder(config) / "result.json").read_text())
    assert "score/reverse_validation" not in result["selections"]["last"]
