import json

from common.experiment import folder, sweep
from common.experiment.outcome import StopRequest
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
