import json

import numpy as np
import pytest

from common.data import domain
from common.experiment import folder, json_file, resume
from common.experiment.outcome import Stopped, StopRequest, UsageError
from common.experiment.single_run import train_alone
from tests.tiny_run import make_method, tiny

CONFIG = {"num_steps": 3, "data": {"batch_size": 2}, "runtime": {"allow_other_versions": False}}
DATA = {"left/images": "a" * 64, "oracle/right/labels": "b" * 64}
VERSIONS = {"jax": "0.10.2", "numpy": "2.3.1"}
ABOUT = {"run_id": "dann-seed0", "config": CONFIG, "data": DATA, "versions": VERSIONS}


def test_the_same_run_goes_on():
    resume.check_resume(ABOUT, CONFIG, DATA, VERSIONS)
    other = {**CONFIG, "runtime": {"allow_other_versions": False, "workdir": "elsewhere"}}
    resume.check_resume(ABOUT, other, DATA, VERSIONS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"config": {**CONFIG, "num_steps": 4}},
            "dann-seed0 began under another config: config.num_steps was 3, now it is 4",
        ),
        (
            {"config": {**CONFIG, "data": {}}},
            "config.data.batch_size was 2, now it is missing",
        ),
        (
            {"data": {**DATA, "oracle/right/labels": "c" * 64}},
            "other data: oracle/right/labels was bbbbbbbbbbbb…, now it is cccccccccccc…",
        ),
        (
            {"versions": {"jax": "0.11.2", "numpy": "2.4.0"}},
            "other versions: jax was 0.10.2, now it is 0.11.2, numpy was 2.3.1, now it is 2.4.0; "
            "go on anyway with --config.runtime.allow_other_versions=true",
        ),
    ],
)
def test_a_difference_is_refused_and_shown(changes, sentence):
    now = {"config": CONFIG, "data": DATA, "versions": VERSIONS} | changes
    with pytest.raises(ValueError) as error:
        resume.check_resume(ABOUT, now["config"], now["data"], now["versions"])
    assert sentence in str(error.value)


def test_other_versions_may_be_allowed_but_neither_another_config_nor_other_data():
    allowed = {**CONFIG, "runtime": {"allow_other_versions": True}}
    resume.check_resume(ABOUT, allowed, DATA, {"jax": "9"})
    with pytest.raises(ValueError, match="other data"):
        resume.check_resume(ABOUT, allowed, {}, VERSIONS)
    with pytest.raises(ValueError, match="another config"):
        resume.check_resume(ABOUT, {**allowed, "num_steps": 4}, DATA, VERSIONS)


def test_a_file_without_the_record_is_refused():
    with pytest.raises(ValueError, match="this run began under another config"):
        resume.check_resume({}, CONFIG, DATA, VERSIONS)


def start(step, commit="abc", **versions):
    return {"first_step": step, "git_commit": commit, "versions": versions}


@pytest.mark.parametrize(
    ("starts", "warnings"),
    [
        ([], []),
        ([start(0), start(20)], []),
        ([start(0), start(20, "def")], ["trained by more than one commit: abc, then def"]),
        ([start(0, jax="1"), start(9, jax="2")], ["trained by more than one jax: 1, then 2"]),
        # The second start kept nothing of the first.
        ([start(0), start(0, "def")], []),
        ([start(0), start(0, "def"), start(20, "def")], []),
    ],
)
def test_what_changed_between_starts_is_named(starts, warnings):
    assert resume.warnings_of(starts) == warnings


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped at its first boundary."""
    config = tiny(tmp_path_factory.mktemp("work"), "source_only", num_steps=30)
    request = StopRequest()
    request.received = "SIGTERM"
    with pytest.raises(Stopped):
        train_alone(config, make_method, request)
    return config


def files_of(config):
    root = folder.experiment_folder(config)
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_target_labels_are_recorded_as_oracle(stopped):
    about = json_file.read_json(folder.run_folder(stopped) / "config.json")
    assert list(about["data"]) == [
        *("digits/images", "oracle/digits/labels"),
        *("synthetic_digits/images", "synthetic_digits/labels"),
    ]
    assert [start["first_step"] for start in about["starts"]] == [0]


def test_a_run_of_other_versions_is_refused_and_stays_as_it_is(stopped, monkeypatch):
    before = files_of(stopped)
    monkeypatch.setattr(folder, "versions", lambda: {"jax": "0.0.1"})
    with pytest.raises(UsageError, match=r"jax was \d.*, now it is 0.0.1"):
        train_alone(stopped, make_method, StopRequest())
    assert files_of(stopped) == before


def test_a_run_of_other_data_is_refused_and_stays_as_it_is(stopped, monkeypatch):
    load = domain.DOMAINS["digits"]

    def permuted(options):
        examples = load(options)
        return examples._replace(labels=np.roll(examples.labels, 1))

    before = files_of(stopped)
    monkeypatch.setitem(domain.DOMAINS, "digits", permuted)
    domain._load.cache_clear()
    try:
        with pytest.raises(UsageError, match="other data: oracle/digits/labels was"):
            train_alone(stopped, make_method, StopRequest())
    finally:
        domain._load.cache_clear()
    assert files_of(stopped) == before


@pytest.mark.parametrize("text", ['{"config": {}, "population": "%s"}', '{"config', "[]"])
def test_a_run_whose_config_file_was_changed_is_refused_and_stays_as_it_is(stopped, text):
    path = folder.run_folder(stopped) / "config.json"
    kept = path.read_text()
    path.write_text(text.replace("%s", folder.population_folder([stopped]).name))
    before = files_of(stopped)
    try:
        with pytest.raises(UsageError, match=r"another config|cannot be read|holds no object"):
            train_alone(stopped, make_method, StopRequest())
        assert files_of(stopped) == before
    finally:
        path.write_text(kept)


def test_mixed_versions_are_allowed_on_request_and_named_in_the_result(stopped):
    path = folder.run_folder(stopped) / "config.json"
    about = json_file.read_json(path)
    about["versions"] = about["starts"][0]["versions"] = {**about["versions"], "jax": "0.0.1"}
    about["starts"][0]["git_commit"] = "another"
    path.write_text(json.dumps(about))
    runtime = {**stopped["runtime"], "allow_other_versions": True}
    train_alone({**stopped, "runtime": runtime}, make_method, StopRequest())
    result = json_file.read_json(folder.run_folder(stopped) / "result.json")
    told = [text.partition(", then")[0] for text in result["warnings"]]
    assert told[:2] == [
        "trained by more than one commit: another",
        "trained by more than one jax: 0.0.1",
    ]
    # What is done is not checked.
    about["versions"] = {}
    path.write_text(json.dumps(about))
    train_alone(stopped, make_method, StopRequest())
