import json

import pytest

from common.experiment.reporting.run_page import count_planned, describe_runs
from common.experiment.reporting.run_record import flags_of, read_runs
from common.experiment.reporting.summary import summarize
from common.experiment.reporting.table import wrong_with
from common.experiment.reporting.wrong import find_problems, write_problems
from tests.made_up_runs import SEEDS, write_experiment, write_lines, write_run

# Of the collapse guard, and of a run that was stopped and went on.
WARNINGS = ["one class is left", "trained by more than one commit: abc, then def"]


@pytest.fixture
def found(tmp_path):
    """What is found in a folder in which everything went wrong once."""
    experiment = write_experiment(tmp_path)
    for seed in SEEDS:
        write_run(experiment, "coral", seed, 0.4 + 0.01 * (seed % 3))
    for name, reason in (("nan", "the loss is not finite"), ("lost", "the disk is full")):
        folder = write_run(experiment, "dann", 900, 0.5, strength=name)
        (folder / "failure.json").write_text(json.dumps({"reason": reason, "step": 7}))
    path = experiment / "dann-seed100-0.3" / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "warnings": WARNINGS}))
    records = [{"step": step, "flags": ["source floor"] * (step > 100)} for step in (100, 200, 300)]
    write_lines(experiment / "dann-seed101-0.3" / "metrics.jsonl", records)
    (experiment / "train_on_target-seed103-0.3" / "result.json").unlink()
    (experiment / "sweep.json").write_text('{"populations": [["dann-seed1", "dann-seed2"]]}')
    runs = read_runs([experiment])
    return find_problems(summarize(runs), describe_runs(runs), count_planned(runs))


def test_everything_is_named_in_its_place(found):
    assert found["not_finite"] == ["digits/dann-seed900-nan: the loss is not finite (step 7)"]
    assert found["failed"] == ["digits/dann-seed900-lost: the disk is full (step 7)"]
    assert "digits/dann-seed100-0.3: one class is left" in found["collapsed"]
    # A flag that was worth a warning has one; others passed.
    assert not any("source floor" in text for text in found["collapsed"])
    (lost,) = [text for text in found["collapsed"] if "lose more than" in text]
    assert "4 of 4 runs of coral" in lost
    (worse,) = found["negative_transfer"]
    assert worse.startswith("synthetic_digits>digits: coral, by last: -")
    # Made-up rules choose alike, so the row is worse by each of them, and named once.
    assert worse.endswith("so by source_val, information_maximization, oracle")
    assert found["missing"][0] == "digits: 15 of 20 runs are done"
    assert (
        "incomplete: 2 runs of digits: planned, not started: dann-seed1, dann-seed2"
        in (found["missing"])
    )
    assert f"dann-seed100-0.3: {WARNINGS[1]}" in found["other"]
    assert not any("one commit" in text for text in found["collapsed"])
    assert any("train_on_target: no finished run of seed 103" in text for text in found["other"])


def test_section_lists_much_in_a_fold(found):
    found["failed"] = [f"run {index}" for index in range(40)]
    text = "\n".join(write_problems(found))
    assert "**Failed** (40)" in text and "<details><summary>28 more</summary>" in text
    assert write_problems({key: [] for key in found})[-2] == "Nothing."


@pytest.mark.parametrize(
    "flags", [["a", "b"], {"a": True, "b": 1, "c": False}, ["b", "a", "a"]], ids=str
)
def test_flags_are_read_in_every_form(flags):
    records = [{"step": 1}, {"step": 2, "flags": []}, {"step": 3, "flags": flags}]
    assert flags_of([*records, {"step": 4, "flags": "a"}]) == {"a": [3, 4], "b": [3]}


@pytest.mark.parametrize("flags", [None, 3, "", {}, float("nan")])
def test_what_is_no_flag_is_none(flags):
    assert flags_of([{"step": 1, "flags": flags}]) == {}


def test_runs_that_went_on_under_the_same_other_conditions_are_named_in_one_sentence():
    mixed = WARNINGS[1]
    notes = [f"dann-seed0: {mixed}", "dann-seed0: odd", f"dann-seed1: {mixed}", "mcc-seed0: odd"]
    summary = {"failed": [], "incomplete": [], "tasks": [], "across": []}
    assert wrong_with({**summary, "notes": notes}) == [
        f"2 runs: {mixed}: dann-seed0, dann-seed1",
        "dann-seed0: odd",
        "mcc-seed0: odd",
    ]
    assert wrong_with({**summary, "notes": notes[:2]}) == notes[:2]
