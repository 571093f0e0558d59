import json

import optuna
import pytest

from common.evaluation.scores.fact import FACTS
from common.experiment import family, folder, json_file, lock
from common.experiment.outcome import Stopped, StopRequest
from common.experiment.search import command, flag, objective, study
from common.experiment.search.search_range import Range, make_ranges, read_ranges
from configs import base, method_row
from tests.config import tiny_rows
from tests.tiny_run import make_method, tiny

FILE = "tests/config/tiny_rows.py"
RATE = "optimizer.learning_rate"


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        (None, {RATE: Range(1e-4, 1e-2, True)}),
        (f"{RATE}=0.1:1", {RATE: Range(0.1, 1.0)}),
        ("data.batch_size=8:16:log", {"data.batch_size": Range(8, 16, True)}),
        (
            "model.normalization=group|none",
            {"model.normalization": Range(choices=("group", "none"))},
        ),
    ],
)
def test_ranges_come_from_the_file_or_the_command_line(text, ranges):
    config = tiny_rows.get_config("method=dann").to_dict()
    assert make_ranges(read_ranges(f"{FILE}:method=dann", text), config, {}) == ranges


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"optimizer.lerning_rate": (0.1, 1.0)}, "lerning_rate"),
        ({"seed": (0, 5)}, "a search cannot change config.seed"),
        ({RATE: (1.0, 0.1)}, f"the range of {RATE} is (1.0, 0.1); it must have low < high"),
        ({RATE: (0.0, 0.1, "log")}, "it must have 0 < low < high"),
        ({RATE: (0.1, 1.0, "lgo")}, 'it must be (low, high), (low, high, "log") or a list'),
        ({RATE: [0.1]}, "a list holds two values or more"),
        ({"model.name": (1, 2)}, "everything else a list of values"),
        ({"data.batch_size": (1.5, 2.5)}, "numbers of the same kind have ranges"),
        ({"optimizer.momentum": (0.1, 0.9)}, "is set by the command line and by a range"),
    ],
)
def test_range_that_cannot_be_is_refused(declared, sentence):
    config = tiny_rows.get_config("method=dann").to_dict()
    with pytest.raises(ValueError) as error:
        make_ranges(declared, config, {"optimizer.momentum": 0.5})
    assert sentence in str(error.value)


def test_file_without_ranges_is_told_how_to_declare_them():
    with pytest.raises(ValueError, match=r"no function search\(\); write one that returns ranges"):
        read_ranges("tests/config/tiny_digits.py", None)


@pytest.mark.parametrize(
    ("score", "rule", "sentence"),
    [
        ("oracle", "last", "--score is 'oracle', which reads target labels"),
        ("oracle/target_test_accuracy", "last", "which reads target labels"),
        ("information_maximization", "oracle", "--selection is 'oracle', which reads target"),
        ("informaton_maximization", "last", "did you mean 'information_maximization'?"),
        ("information_maximization", "lst", "--selection is 'lst'; did you mean 'last'?"),
        ("reverse_validation", "last", "needs config.evaluation.reverse_validation, which is"),
        (
            "mixval",
            "last",
            "--score names 'mixval', but this run does not compute the score mixval",
        ),
        ("mixval", "last", "add it to config.evaluation.scores"),
        ("information_maximization", "rank_me_unguarded", "--selection names 'rank_me_unguarded'"),
        ("information_maximization", "consensus", "--selection names 'consensus', but"),
    ],
)
def test_objective_that_reads_target_labels_or_is_none_is_refused(score, rule, sentence, tmp_path):
    with pytest.raises(ValueError) as error:
        objective.check_objective(score, rule, tiny(tmp_path))
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"evaluation": {"scores": (), "score_examples": 0}}, "evaluation.score_examples is 0"),
        ({"task": {"kind": "regression"}}, "config.task.kind is 'regression'"),
        ({"source": "csv:books.csv"}, "config.source is of texts"),
    ],
)
def test_score_that_no_run_computes_is_refused_with_its_key(changes, sentence, tmp_path):
    with pytest.raises(ValueError) as error:
        objective.check_objective("mixval", "last", {**tiny(tmp_path), **changes})
    assert sentence in str(error.value)


def test_rule_at_whose_step_the_score_is_not_recorded_is_refused(tmp_path):
    config = tiny(tmp_path)
    evaluation = {**config["evaluation"], "scores": (), "keep": ("source_val",)}
    config = {**config, "evaluation": evaluation}
    for score, rule in (("mmd", "last"), ("mmd", "source_val"), ("mmd", "mmd_unguarded")):
        objective.check_objective(score, rule, config)
    objective.check_objective("mixval", "consensus", config)
    for rule in ("consensus", "mixval"):
        with pytest.raises(ValueError, match="does not record the score mmd; it does for last, so"):
            objective.check_objective("mmd", rule, config)


def write_result(run, **selections):
    folder.run_folder(run).mkdir(parents=True)
    json_file.write_json(folder.run_folder(run) / "result.json", {"selections": selections})


def test_objective_is_the_mean_over_seeds_and_never_the_oracle(tmp_path):
    runs = [tiny(tmp_path, seed=seed) for seed in range(2)]
    for run, value in zip(runs, (1.0, 2.0), strict=True):
        at = {"score/information_maximization": value, "oracle/target_test_accuracy": -9.0}
        write_result(run, last=at)
    assert objective.value_of(runs, "information_maximization", "last") == 1.5
    assert objective.value_of(runs, "mixval", "last") is None
    missing = tiny(tmp_path, seed=2)
    assert objective.value_of([*runs, missing], "information_maximization", "last") is None


def test_settings_of_which_a_run_is_flagged_are_the_worst(tmp_path):
    sure = {"score/information_maximization": 2.0}
    write_result(tiny(tmp_path), last=sure)
    write_result(tiny(tmp_path, seed=1), last={**sure, "flags": ["few_classes"]})
    runs = [tiny(tmp_path, seed=seed) for seed in range(2)]
    assert objective.value_of(runs[:1], "information_maximization", "last") == 2.0
    assert objective.value_of(runs, "information_maximization", "last") == study.WORST
    # A rule to which the guard left no evaluation has chosen none.
    assert objective.value_of(runs[:1], "information_maximization", "mixval") == study.WORST


def test_every_score_is_searched_in_its_direction():
    assert {name for name in FACTS if not objective.is_maximised(name)} == {
        *("entropy", "mmd", "proxy_a_distance", "importance_weighted_validation"),
        *("deep_embedded_validation", "deep_embedded_validation_uncontrolled"),
    }
    assert objective.is_maximised("reverse_validation")


@pytest.mark.parametrize("is_maximised", [True, False])
def test_direction_reaches_the_sampler_and_flagged_trials_are_its_worst(is_maximised, tmp_path):
    search = make_search(tmp_path, 3)._replace(is_maximised=is_maximised)
    values = iter([1.0, study.WORST, 2.0])
    trials = run_trials(search, lambda own: next(values))
    assert [(own[0], own[2]) for own in trials] == [
        *(("COMPLETE", 1.0), ("PRUNED", None), ("COMPLETE", 2.0)),
    ]
    assert study.open_study(search, None).best_value == (2.0 if is_maximised else 1.0)


def test_processes_of_one_run_do_not_search():
    flag.refuse_coordinator("")
    with pytest.raises(ValueError, match="is for train and sweep; start search once a machine"):
        flag.refuse_coordinator("auto")


def test_score_that_a_row_trains_for_is_noted(tmp_path):
    config = tiny(tmp_path, "dann+information_maximization")
    keys = ["objective.label_smoothing"]
    warnings = objective.warnings_of("information_maximization", config, keys)
    assert len(warnings) == 2
    assert "dann+information_maximization trains for the score" in warnings[0]
    assert not objective.warnings_of("mixval", config, [RATE])
    # A whole method without such a term.
    assert objective.warnings_of("entropy", config | {"method": "shot", "alignment": {}}, [RATE])
    assert not objective.warnings_of("information_maximization", tiny(tmp_path), [RATE])


def make_search(tmp_path, num_trials=6):
    ranges = {RATE: Range(1e-4, 1e-2, True), "data.batch_size": Range(8, 16)}
    return study.Search("name", tmp_path / "search", ranges, num_trials)


def run_trials(search, train, request=None, storage=None):
    opened = study.open_study(search, storage)
    request = StopRequest() if request is None else request
    study.run_trials(opened, search, train, request, lambda text: None)
    return [(trial.state.name, trial.params, trial.value) for trial in opened.trials]


def rate(values):
    return -abs(values[RATE] - 1e-3)


def test_interrupted_search_goes_on_as_it_would_have(tmp_path):
    whole = run_trials(make_search(tmp_path / "whole"), rate)
    search, request, seen = make_search(tmp_path / "parts"), StopRequest(), []

    def interrupted(values):
        seen.append(values)
        if len(seen) == 3:
            raise Stopped("SIGTERM")
        return rate(values)

    with pytest.raises(Stopped):
        run_trials(search, interrupted, request)
    parts = run_trials(search, lambda values: seen.append(values) or rate(values))
    assert parts == whole and [own[0] for own in parts] == ["COMPLETE"] * 6
    assert seen[3] == seen[2]
    assert len({json.dumps(own[1]) for own in parts}) == 6
    assert run_trials(search, lambda values: pytest.fail("it was done")) == whole


def test_failed_trial_has_no_value_and_counts(tmp_path):
    trials = run_trials(make_search(tmp_path, 2), lambda values: None)
    assert [own[0] for own in trials] == ["FAIL"] * 2


def test_trial_of_a_living_process_is_left_to_it(tmp_path):
    search = make_search(tmp_path, 3)
    opened = study.open_study(search, None)
    trial = study._ask(opened, search)
    trial.set_user_attr(study.FOLDER, study.folder_mark(search.place))
    with lock.hold([search.place], ".trial-0"):
        trials = run_trials(search, rate)
    assert [own[0] for own in trials] == ["RUNNING", "COMPLETE", "COMPLETE"]
    assert [own[0] for own in run_trials(search, rate)] == ["COMPLETE"] * 3


def test_processes_with_other_folders_share_a_database(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    first, second = (make_search(tmp_path / name, 2) for name in "ab")
    opened = study.open_study(first, url)
    study._ask(opened, first).set_user_attr(study.FOLDER, study.folder_mark(first.place))
    trials = run_trials(second, rate, storage=url)
    assert [own[0] for own in trials] == ["RUNNING", "COMPLETE"]


def test_search_trains_populations_and_writes_the_best(tmp_path, monkeypatch, capsys):
    # Of entropies the lowest is the best.
    config = tiny_rows.get_config("method=source_only")
    config.runtime.workdir = str(tmp_path)
    config.evaluation.scores = ("entropy",)
    config.evaluation.keep = ()
    config.evaluation.guard.diversity = 0.0
    given = {"search": None, "trials": 2, "seeds": 2, "score": "entropy"}
    given |= {"selection": "last", "storage": None}
    monkeypatch.setattr(command.flag, "read", lambda: given)
    checked = []
    keep = lambda runs, make_method: checked.append(runs[0]["optimizer"]["learning_rate"])  # noqa: E731
    monkeypatch.setattr(command, "check_population", keep)

    def resolve(own):
        return family.resolve_family(own, {}, base.get_config(), method_row)

    command.run(f"{FILE}:method=source_only", config, {}, resolve, make_method, [])
    assert checked == [1e-4, 1e-2]
    (path,) = tmp_path.glob("rows/search/source_only-*/search.json")
    about = json.loads(path.read_text())
    values = [trial["value"] for trial in about["trials"]]
    assert len(values) == 2 and about["best"]["value"] == min(values) < max(values)
    assert len(list(tmp_path.glob("rows/source_only-seed*/result.json"))) == 4
    for name in about["best"]["runs"]:
        run = json.loads((tmp_path / "rows" / name / "config.json").read_text())["config"]
        assert run["optimizer"]["learning_rate"] == about["best"]["values"][RATE]
    assert f"--config.{RATE}={about['best']['values'][RATE]}" in capsys.readouterr().out


def test_distributions_are_those_of_the_ranges():
    made = study.distributions_of(
        {"a": Range(0.1, 1.0, True), "b": Range(2, 9), "c": Range(choices=("x", "y"))}
    )
    assert made["a"] == optuna.distributions.FloatDistribution(0.1, 1.0, log=True)
    assert made["b"] == optuna.distributions.IntDistribution(2, 9)
    assert made["c"] == optuna.distributions.CategoricalDistribution(("x", "y"))
