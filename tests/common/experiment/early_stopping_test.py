"""Tests of early stopping: by what it is decided, and what it leaves of a run."""

import json

import numpy as np
import pytest

from common.experiment import folder, selection
from common.experiment.outcome import Stopped, StopRequest
from common.experiment.run import train_population
from tests.common.experiment.selection_test import make_records
from tests.tiny import quick_compilation
from tests.tiny_run import make_method, tiny


@pytest.fixture(autouse=True, scope="module")
def quick():
    with quick_compilation():
        yield


def has_stopped(source, patience, rule="source_val", **more):
    records = make_records(source, **more)
    return selection.has_stopped(records, rule=rule, patience=patience, num_source_val=100)


def test_a_run_stops_once_its_best_evaluation_is_too_old():
    falling = [0.5, 0.9, 0.7, 0.6]
    assert [has_stopped(falling[:count], 2) for count in (1, 2, 3, 4)] == [False] * 3 + [True]
    assert not has_stopped(falling, 3) and not has_stopped(falling, 0)
    # On a plateau nothing is worse: the source is soon at its best, the target is not.
    assert not has_stopped([1.0] * 9, 1)


def test_what_decides_never_sees_a_target_label():
    rising, falling = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    assert not has_stopped(rising, 1, oracle=falling)
    assert has_stopped([0.9, 0.2, 0.1], 1, oracle=rising)
    assert has_stopped(rising, 1, "information_maximization", score=falling)


@pytest.mark.parametrize("rule", ["entropy", "entropy_unguarded", "consensus", "source_val"])
def test_any_rule_that_compares_may_decide(rule):
    assert has_stopped([0.9, 0.2, 0.1], 2, rule)
    assert not has_stopped([0.1, 0.2, 0.9], 2, rule)


def test_a_flagged_evaluation_is_none_to_wait_for():
    flags = [["loss"], [], []]
    assert has_stopped([0.9, 0.2, 0.3], 2, "entropy_unguarded", flags=flags)
    assert not has_stopped([0.9, 0.2, 0.3], 2, "entropy", flags=flags)
    assert not has_stopped([0.9, 0.2, 0.3], 2, "entropy", flags=[["loss"]] * 3)


class Interruption(StopRequest):
    """Asks to stop when it is looked at for a number of times."""

    def __init__(self, looks):
        super().__init__()
        self.looks, self.received = looks, "a test"

    def __bool__(self):
        self.looks -= 1
        return self.looks <= 0


def runs(workdir):
    return [
        tiny(workdir, "source_only", **{"optimizer.learning_rate": rate, "evaluation.patience": 1})
        for rate in (1e-3, 2e-3)
    ]


def result_of(config):
    return json.loads((folder.run_folder(config) / "result.json").read_text())


def steps_of(config):
    lines = (folder.run_folder(config) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


@pytest.fixture
def slow_is_best_at_first(monkeypatch):
    """Of two runs, that with the lower rate never gets better; the other one always does."""
    rates = []

    def rule(records, **_):
        rates.append(records[0]["train/learning_rate"])
        return 0 if rates[-1] < 1.5 * min(rates) else len(records) - 1

    monkeypatch.setitem(selection.RULES, "source_val", rule)


def assert_the_slow_one_stopped(configs):
    assert [steps_of(config)[-1] for config in configs] == [40, 60]
    # That is the count of the state itself, which was taken back to where it was.
    assert [result_of(config)["steps"] for config in configs] == [40, 60]
    assert result_of(configs[0])["selections"]["last"]["step"] == 40
    assert result_of(configs[0])["selections"]["source_val"]["step"] == 20


def test_a_stopped_member_stays_as_it_is_while_others_go_on(tmp_path, slow_is_best_at_first):
    configs = runs(tmp_path)
    assert not train_population(configs, make_method, StopRequest())
    assert_the_slow_one_stopped(configs)


@pytest.mark.matrix
def test_it_has_the_very_weights_of_a_population_that_ends_there(
    tmp_path, monkeypatch, slow_is_best_at_first
):
    configs = runs(tmp_path / "one")
    with pytest.raises(Stopped):
        train_population(configs, make_method, Interruption(5))
    assert not train_population(configs, make_method, StopRequest())
    assert_the_slow_one_stopped(configs)

    monkeypatch.setitem(selection.RULES, "source_val", lambda records, num_source_val: 0)
    others = runs(tmp_path / "both")
    assert not train_population(others, make_method, StopRequest())
    assert [steps_of(config) for config in others] == [[10, 20, 30, 40]] * 2
    shas = [result_of(own)["params_sha256"] for own in (configs[0], others[0])]
    assert shas[0] == shas[1]
    outputs = [np.load(folder.run_folder(own) / "outputs.npz") for own in (configs[0], others[0])]
    for name in outputs[0].files:
        np.testing.assert_array_equal(outputs[0][name], outputs[1][name])
