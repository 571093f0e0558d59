"""Tests of what the records of a population decide while it trains."""

import numpy as np
import pytest

from common.evaluation.task_metric import CLASSES
from common.experiment.history import History
from configs import base

KEEP = ("last", "source_val")
# Source validation accuracy of two members at three evaluations: one is over its best.
ACCURACIES = ((0.5, 0.9, 0.2), (0.5, 0.6, 0.7))
FAILED = {1: 400}


def make_history(patience):
    config = base.get_config().to_dict()
    config["num_steps"] = 600
    config["evaluation"] |= {"keep": KEEP, "patience": patience, "stop_by": "source_val"}
    return History([[], []], config, CLASSES, num_source_val=10**6, trains_on_source=True)


def evaluation_at(index):
    """What an evaluation finds: of 100 pictures of each class the same share is right."""
    right = np.asarray([round(100 * own[index]) for own in ACCURACIES])
    confusion = np.asarray([[[hit, 100 - hit], [100 - hit, hit]] for hit in right])
    return {"source_val": {"confusion": confusion, "loss": np.asarray([0.3, 0.4])}}


def train(history, failed=()):
    """Takes the records of three evaluations; returns what was chosen at each."""
    chosen = []
    for index in range(3):
        evaluation, step = evaluation_at(index), 200 * (index + 1)
        chosen.append(history.choose(step, {}, evaluation, failed))
        for member in range(2):
            if member not in failed:
                record = history.make_record(step, {}, evaluation, member)
                history.records[member].append(record)
    return chosen


def test_a_rule_keeps_the_evaluation_that_it_would_choose_now():
    history = make_history(0)
    first, second, third = train(history)
    for own in (first, second, third):
        assert set(own) == set(KEEP)
        np.testing.assert_array_equal(own["last"], [True, True])
    np.testing.assert_array_equal(second["source_val"], [True, True])
    np.testing.assert_array_equal(third["source_val"], [False, True])
    for records, accuracies in zip(history.records, ACCURACIES, strict=True):
        assert [record["source_val/accuracy"] for record in records] == pytest.approx(accuracies)
        assert [record["progress"] for record in records] == [1 / 3, 2 / 3, 1]
        assert all("flags" in record for record in records)


def test_records_between_evaluations_have_no_flags_and_choose_nothing():
    history = make_history(0)
    history.records[0].append(history.make_record(100, {"loss": np.asarray([1.0, 2.0])}, None, 0))
    assert history.records[0] == [{"step": 100, "progress": 1 / 6, "train/loss": 1.0}]
    np.testing.assert_array_equal(
        history.choose(200, {}, evaluation_at(0), ())["source_val"], [True, True]
    )


def test_a_member_over_its_best_stops_and_keeps_nothing_more():
    history = make_history(1)
    train(history)
    np.testing.assert_array_equal(history.stopped(()), [True, False])
    chosen = history.choose(800, {}, evaluation_at(1), ())
    for rule in KEEP:
        assert not chosen[rule][0]
    assert chosen["last"][1]


@pytest.mark.parametrize(("patience", "ended"), [(0, [False, False]), (1, [True, True])])
def test_nobody_waits_for_a_member_that_failed_where_members_may_stop(patience, ended):
    history = make_history(patience)
    train(history, FAILED)
    np.testing.assert_array_equal(history.stopped(FAILED), ended)
