import json
import shutil

import pytest

from common.experiment import folder, json_file, run, sweep
from common.experiment.outcome import RunFailed, Stopped, StopRequest
from common.experiment.run import train_population
from tests.tiny_run import make_method, tiny


def silent(text):
    del text


def test_runs_of_equal_structure_share_a_program(tmp_path):
    seeds = [tiny(tmp_path, seed=seed) for seed in range(3)]
    strengths = [
        tiny(tmp_path, **{"alignment.domain_adversarial.strength": value}) for value in (0.1, 1.0)
    ]
    wide = tiny(tmp_path, **{"alignment.domain_adversarial.hidden": (16, 16)})
    source_only = tiny(tmp_path, "source_only")
    groups = sweep.pack([*seeds, wide, *strengths, source_only])
    assert groups == [[*seeds, *strengths], [wide], [source_only]]


def test_population_that_was_begun_keeps_its_members(tmp_path):
    first = [tiny(tmp_path, "source_only", seed=seed) for seed in range(2)]
    assert sweep.plan(first) == [first]
    more = [*first, tiny(tmp_path, "source_only", seed=2)]
    assert sweep.plan(more) == [first, [more[2]]]
    assert sweep.plan(more) == [first, [more[2]]]
    plan = json.loads((tmp_path / "tiny" / "sweep.json").read_text())["populations"]
    assert plan == [[folder.run_id(config) for config in group] for group in (first, [more[2]])]


def test_result_of_another_population_is_never_overwritten(tmp_path):
    three = [tiny(tmp_path, "source_only", seed=seed, num_steps=20) for seed in range(3)]
    assert sweep.plan(three) == [three]
    assert not sweep.run_sweep(three[:2], make_method, StopRequest(), [], silent)
    assert sweep.plan(three) == [[three[2]]]


def test_run_that_another_population_took_over_begins_anew(tmp_path):
    def stopped_at_the_first_boundary(configs):
        request = StopRequest()
        request.received = "SIGTERM"
        with pytest.raises(Stopped):
            train_population(configs, make_method, request)

    pair = [tiny(tmp_path, seed=seed) for seed in range(2)]
    stopped_at_the_first_boundary(pair)
    stopped_at_the_first_boundary(pair[:1])
    assert not train_population(pair, make_method, StopRequest())
    twins = [tiny(tmp_path / "twin", seed=seed) for seed in range(2)]
    assert not train_population(twins, make_method, StopRequest())
    for own, twin in zip(pair, twins, strict=True):
        for name in ("metrics.jsonl", "result.json"):
            mine, other = (folder.run_folder(config) / name for config in (own, twin))
            assert mine.read_text() == other.read_text()


def test_members_with_and_without_a_parent_do_not_share_a_program(tmp_path):
    alone = tiny(tmp_path, "source_only")
    child = tiny(tmp_path, "source_only", **{"init_from.run": "somewhere"})
    assert sweep.pack([alone, child]) == [[alone], [child]]


def test_deleted_failed_run_is_tried_again(tmp_path):
    rates = (1e-3, 1e30)
    configs = [
        tiny(tmp_path, "source_only", **{"optimizer.learning_rate": rate, "num_steps": 20})
        for rate in rates
    ]
    assert sweep.run_sweep(configs, make_method, StopRequest(), [], silent)
    shutil.rmtree(folder.run_folder(configs[1]))
    assert sweep.plan(configs) == [[configs[1]]]


def test_sweep_trains_what_is_missing_and_lists_what_failed(tmp_path):
    rates = (1e-3, 1e30)
    configs = [
        tiny(tmp_path, "source_only", **{"optimizer.learning_rate": rate, "num_steps": 20})
        for rate in rates
    ]
    for _ in range(2):
        failures = sweep.run_sweep(configs, make_method, StopRequest(), [], silent)
        assert list(failures) == [folder.run_id(configs[1])]
    assert folder.is_done(configs[0])
    assert sweep.plan(configs) == []


def test_a_run_that_another_process_finishes_meanwhile_keeps_its_result(tmp_path, monkeypatch):
    pair = [tiny(tmp_path, "source_only", seed=seed, num_steps=20) for seed in range(2)]
    original = run.check_population

    def finish_the_first_meanwhile(configs, make_method):
        monkeypatch.setattr(run, "check_population", original)
        assert not train_population(pair[:1], make_method, StopRequest())

    monkeypatch.setattr(run, "check_population", finish_the_first_meanwhile)
    with pytest.raises(RunFailed, match="was trained by another process"):
        train_population(pair, make_method, StopRequest())
    result = json_file.read_json(folder.run_folder(pair[0]) / "result.json")
    assert result["population"]["size"] == 1
    assert not folder.is_done(pair[1])
