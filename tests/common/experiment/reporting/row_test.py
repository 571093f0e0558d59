import json
import shutil

import numpy as np
import pytest
from scipy import stats

from common.experiment import report
from common.experiment.reporting.grouping import reference_of, rows_of
from common.experiment.reporting.row import milliseconds_per_step
from tests.made_up_runs import ACCURACY, SEEDS, make_confusion, row_of, summarize, write_run


def test_numbers_are_those_of_a_second_derivation(written):
    row = row_of(written[1].summary, "dann")
    values, base, target = (
        np.asarray(ACCURACY[name]) for name in ("dann", "source_only", "train_on_target")
    )
    assert row["n"] == 4 and row["target_accuracy"]["seeds"] == list(SEEDS)
    assert row["target_accuracy"]["mean"] == pytest.approx(values.mean())
    assert row["target_accuracy"]["sd"] == pytest.approx(values.std(ddof=1))
    np.testing.assert_allclose(
        row["target_accuracy"]["ci95"],
        stats.t.interval(0.95, 3, values.mean(), stats.sem(values)),
    )
    difference, expected = row["difference_from_source_only"], stats.ttest_rel(values, base)
    assert difference["mean"] == pytest.approx(0.1875)
    assert difference["p_value"] == pytest.approx(expected.pvalue)
    np.testing.assert_allclose(difference["ci95"], expected.confidence_interval(0.95))
    share = (values.mean() - base.mean()) / (target.mean() - base.mean())
    assert row["gap_covered"]["mean"] == pytest.approx(share)
    assert row["gap_covered"]["ci95"][0] < share < row["gap_covered"]["ci95"][1]
    assert row["binomial_standard_error"] == pytest.approx(np.sqrt(0.7625 * 0.2375 / 400))
    assert row["negative_transfer"] is False
    assert row_of(written[1].summary, "source_only")["difference_from_source_only"] is None


def test_rows_come_by_selection_and_the_oracle_last(written):
    rows = [(row["selection"], row["method"]) for row in written[1].summary["rows"]]
    selections = ("last", "source_val", "information_maximization", "oracle")
    methods = ("source_only", "dann", "train_on_target")
    assert rows == [(selection, method) for selection in selections for method in methods]
    found = row_of(written[1].summary, "dann", "source_val")
    assert found["target_accuracy"]["mean"] == pytest.approx(0.7125)


def test_class_changes_come_from_the_confusion_matrices(written):
    row = row_of(written[1].summary, "dann")
    matrices = {
        method: np.asarray(
            [
                make_confusion(accuracy, 4 if method == "dann" else 0)
                for accuracy in ACCURACY[method]
            ]
        )
        for method in ("dann", "source_only")
    }
    recalls = {
        method: np.mean([[m[c, c] / m[c].sum() for c in range(10)] for m in own], axis=0)
        for method, own in matrices.items()
    }
    np.testing.assert_allclose(row["per_class_change"], recalls["dann"] - recalls["source_only"])
    text = written[1].path.read_text()
    assert f"| 4 | {100 * row['per_class_change'][4]:+.1f} |" in text


def test_cost_leaves_the_compilation_out(written):
    row = row_of(written[1].summary, "dann")
    assert row["milliseconds_per_step"] == pytest.approx(10)
    # Four runs, two domains of 64 pictures, 10 ms.
    assert (row["members"], row["pictures_per_second"]) == (4, pytest.approx(51_200))


def test_time_between_two_starts_is_no_training():
    times = [{"step": 100, "seconds": 9.0, "start": 0}, {"step": 200, "seconds": 10.0, "start": 0}]
    assert milliseconds_per_step(times) == pytest.approx(10)
    again = {"step": 300, "seconds": 40.0, "start": 1}
    assert milliseconds_per_step([*times, again]) == pytest.approx(10)
    assert milliseconds_per_step([]) is None
    assert milliseconds_per_step([{"step": 100, "seconds": 1.0, "start": 0}]) is None


def test_rows_that_are_trained_for_sure_predictions_are_marked(tmp_path):
    terms = {"dann": ("domain_adversarial",), "dann+entropy": ("domain_adversarial", "entropy")}
    for method in (*terms, "adamatch", "mean_teacher"):
        path = write_run(tmp_path / "digits", method, 100, 0.7) / "config.json"
        held = json.loads(path.read_text())
        held["config"]["alignment"] = {term: {"weight": 1.0} for term in terms.get(method, ())}
        path.write_text(json.dumps(held))
    summary = summarize(tmp_path / "digits")
    marked = {row["method"]: row["rewards_confidence"] for row in summary["rows"]}
    assert marked == {"dann": False, "dann+entropy": True, "adamatch": True, "mean_teacher": True}


def test_unfinished_runs_are_named_and_leave_the_pairs(experiment):
    (experiment / "dann-seed100-0.3" / "result.json").unlink()
    (experiment / "dann-seed101-0.3" / "result.json").write_text('{"task": "synth')
    failed = experiment / "source_only-seed102-0.3"
    (failed / "result.json").unlink()
    (failed / "failure.json").write_text('{"reason": "the loss is not finite", "step": 300}')
    (experiment / "mcc-seed1-00").mkdir()
    summary = summarize(experiment)
    reasons = {run["run"]: run["reason"] for run in summary["incomplete"]}
    assert reasons["dann-seed100-0.3"] == "result.json is missing; its last record is of step 700"
    assert reasons["dann-seed101-0.3"].startswith("result.json cannot be read")
    assert "config.json is missing" in reasons["mcc-seed1-00"]
    assert [run["reason"] for run in summary["failed"]] == ["the loss is not finite (step 300)"]
    row = row_of(summary, "dann")
    assert row["target_accuracy"]["seeds"] == [102, 103]
    assert row["difference_from_source_only"]["seeds"] == [103]
    assert (row["difference_from_source_only"]["ci95"], row["negative_transfer"]) == (None, None)
    assert "dann: no finished run of seeds 100, 101; such pairs are dropped" in summary["notes"]
    text = report.format_table(summary)
    assert "failed: digits/source_only-seed102-0.3: the loss is not finite (step 300)" in text
    assert "fewer than three seeds, so no interval: dann" in text


def test_planned_runs_that_never_began_are_missing(experiment):
    plan = {"populations": [["dann-seed100-0.3", "dann-seed9-0.3"], ["../elsewhere"]]}
    (experiment / "sweep.json").write_text(json.dumps(plan))
    summary = summarize(experiment)
    assert [run["run"] for run in summary["incomplete"]] == ["dann-seed9-0.3"]
    assert summary["incomplete"][0]["reason"] == "planned, not started"


def test_missing_row_costs_only_its_comparison(experiment):
    for folder in experiment.glob("source_only*"):
        shutil.rmtree(folder)
    made = report.write_report([experiment])
    row = row_of(made.summary, "dann")
    assert row["difference_from_source_only"] is None and row["gap_covered"] is None
    text = made.path.read_text()
    assert "there is no row source_only to compare with" in text
    assert "no figure per_class_change" in text
    assert "per_class_change.png" not in text
    # The report that was there before had drawn it.
    assert not (experiment / "report" / "figures" / "per_class_change.png").exists()
    assert (experiment / "report" / "figures" / "embedding.png").exists()


def test_one_seed_has_no_interval_and_says_so(experiment):
    for folder in experiment.glob("*-seed10[0123]*"):
        if "seed101" not in folder.name:
            shutil.rmtree(folder)
    made = report.write_report([experiment])
    assert all("reason" not in entry for entry in made.summary["tasks"][0]["figures"].values())
    text = made.path.read_text()
    assert "| dann | 1 | 80.0 | - | +22.5 | 54.9 |" in text
    assert "fewer than three seeds, so no interval: all rows" in text


@pytest.mark.parametrize(
    ("accuracies", "is_negative"),
    [((0.45, 0.475, 0.5, 0.45), True), ((0.45, 0.475, 0.65, 0.6), False)],
)
def test_negative_transfer_is_flagged_where_it_is_sure(experiment, accuracies, is_negative):
    for seed, accuracy in zip(SEEDS, accuracies, strict=True):
        shutil.rmtree(experiment / f"dann-seed{seed}-0.3")
        write_run(experiment, "dann", seed, accuracy)
    summary = summarize(experiment)
    row = row_of(summary, "dann")
    assert row["difference_from_source_only"]["mean"] < 0
    assert row["negative_transfer"] is is_negative
    remark = "negative transfer, the interval of the difference lies below 0: dann"
    assert (remark in report.format_table(summary)) == is_negative


def test_rows_are_compared_with_statistics_only_too(experiment):
    for seed in SEEDS:
        write_run(experiment, "statistics_only", seed, 0.625)
    summary = summarize(experiment)
    assert row_of(summary, "dann")["difference_from_statistics_only"]["mean"] == pytest.approx(
        0.1375
    )
    assert "minus statistics_only: dann +13.8 [" in report.format_table(summary)


def test_runs_with_other_settings_are_other_rows(experiment):
    for seed in SEEDS:
        write_run(experiment, "dann", seed, 0.65, strength=1.0)
    summary = summarize(experiment)
    assert [row["name"] for row in summary["rows"][:4]] == [
        *("source_only", "dann, strength=0.3", "dann, strength=1.0", "train_on_target")
    ]
    assert row_of(summary, "dann, strength=1.0")["target_accuracy"]["mean"] == pytest.approx(0.65)


def test_row_is_compared_with_the_source_only_of_its_settings(experiment):
    for seed in SEEDS:
        write_run(experiment, "source_only", seed, 0.65, normalization="joint", strength="joint")
        write_run(experiment, "dann", seed, 0.7, normalization="joint", strength="joint")
    summary = summarize(experiment)
    differences = {
        row["name"]: row["difference_from_source_only"]
        for row in summary["rows"]
        if row["selection"] == "last"
    }
    assert differences["dann, strength=joint, normalization=joint"]["mean"] == pytest.approx(0.05)
    assert differences["dann, strength=0.3, normalization=group"]["mean"] == pytest.approx(0.1875)
    assert differences["source_only, normalization=joint"] is None


def test_tasks_and_experiments_are_kept_apart(experiment, tmp_path):
    other = tmp_path / "other"
    for method in ("source_only", "dann"):
        write_run(other, method, 100, 0.5, task=("mnist", "mnist_m"))
    made = report.write_report([tmp_path], tmp_path / "out")
    assert [task["task"] for task in made.summary["tasks"]] == [
        *("synthetic_digits>digits", "mnist>mnist_m")
    ]
    rows = [row for row in made.summary["rows"] if row["task"] == "mnist>mnist_m"]
    assert {row["n"] for row in rows} == {1}
    names = {path.name for path in made.figures}
    assert "other_mnist_mnist_m_accuracy_by_method.png" in names
    assert "digits_synthetic_digits_digits_accuracy_by_method.png" in names


def test_outrun_discriminator_and_warnings_of_runs_are_told(experiment):
    folder = experiment / "dann-seed100-0.3"
    shutil.rmtree(folder)
    write_run(experiment, "dann", 100, 0.75, domain=0.36)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "warnings": ["half is missing"]}))
    notes = summarize(experiment)["notes"]
    assert f"{folder.name}: half is missing" in notes
    assert any("outruns the discriminator" in note for note in notes)


def change(run, name, **parts):
    """Changes parts of a file of a run folder; a mapping is added to, all else is replaced."""
    path = run / name
    content = json.loads(path.read_text())
    for key, value in parts.items():
        old = content.get(key)
        content[key] = {**old, **value} if isinstance(old, dict) else value
    path.write_text(json.dumps(content))


def runs_of(experiment, method):
    return sorted(experiment.glob(f"{method}-*"))


def test_runs_on_other_data_are_not_paired(experiment):
    for run in experiment.glob("*-seed*"):
        change(run, "result.json", fingerprints={"digits/images": "before"})
    for run in runs_of(experiment, "dann")[:2]:
        change(run, "result.json", fingerprints={"digits/images": "after"})
    summary = summarize(experiment)
    difference = row_of(summary, "dann")["difference_from_source_only"]
    assert difference["seeds"] == [102, 103]
    said = "dann and source_only have other data or splits at seeds 100, 101, so they are not"
    assert any(said in note for note in summary["notes"])
    # The seeds did not draw these examples: somebody changed them.
    assert summary["tasks"][0]["drawn_domains"] == []


def test_labels_of_other_data_are_other_data(experiment):
    for run in runs_of(experiment, "dann"):
        change(run, "result.json", oracle={"digits/labels": "other"})
    assert row_of(summarize(experiment), "dann")["difference_from_source_only"] is None


def test_examples_that_seeds_draw_are_paired(experiment):
    for run in experiment.glob("*-seed*"):
        seed = json.loads((run / "result.json").read_text())["seed"]
        change(run, "result.json", fingerprints={"digits/images": f"of {seed}"})
    summary = summarize(experiment)
    assert row_of(summary, "dann")["difference_from_source_only"]["n"] == 4
    assert summary["tasks"][0]["drawn_domains"] == ["digits"]


def test_runs_on_another_split_are_a_row_of_their_own(experiment):
    for seed, accuracy in zip(SEEDS, (0.1, 0.1, 0.1, 0.1), strict=True):
        run = write_run(experiment, "dann", seed, accuracy, strength=0.31)
        settings = json.loads((run / "config.json").read_text())["config"]
        settings["data"]["split_seed"] = 7
        settings["alignment"]["domain_adversarial"]["strength"] = 0.3
        change(run, "config.json", config=settings)
    summary = summarize(experiment)
    assert row_of(summary, "dann, split_seed=7")["difference_from_source_only"] is None
    assert row_of(summary, "dann, split_seed=own")["difference_from_source_only"]["n"] == 4


def test_a_split_that_all_runs_share_is_no_setting_of_a_row(experiment):
    for run in experiment.glob("*-seed*"):
        settings = json.loads((run / "config.json").read_text())["config"]
        settings["data"]["split_seed"] = SEEDS[0]
        change(run, "config.json", config=settings)
    assert row_of(summarize(experiment), "dann")["difference_from_source_only"]["n"] == 4


def test_options_of_a_method_and_of_its_scoring_do_not_cost_the_baseline(experiment):
    for run in runs_of(experiment, "dann"):
        settings = json.loads((run / "config.json").read_text())["config"]
        settings["adaptation"] = {"rate": 2}
        settings["evaluation"] = {"reverse_validation": True, "retrained_head": True}
        change(run, "config.json", config=settings)
    runs = [run for run in report.read_runs([experiment]) if run.state == "done"]
    members, _ = rows_of(runs)
    assert list(members) == ["source_only", "dann", "train_on_target"]
    assert reference_of("dann", "source_only", members) == "source_only"


def test_examples_that_are_trained_on_and_chosen_by_label_are_told(experiment):
    text = report.write_report([experiment]).path.read_text()
    assert "byte for byte" not in text and "by label." not in text
    for number, run in enumerate(runs_of(experiment, "dann")):
        shared = {"source_train": number, "target_train": 0}
        change(run, "result.json", target_test_shared_with=shared, target_chosen_by_label=True)
    text = report.write_report([experiment]).path.read_text()
    assert "in the worst run 3 also in source_train and 0 also in target_train." in text
    assert "in training are those of the task's classes, by label." in text


def test_a_budget_of_labels_is_told_and_makes_no_ceiling(experiment):
    for method, seen in (("dann", 30), ("train_on_target", 30)):
        for run in runs_of(experiment, method):
            settings = json.loads((run / "config.json").read_text())["config"]
            settings["data"]["target_labels_per_class"] = 3
            if method == "dann":
                settings["domains"] = ["source", "target", "target_labelled"]
                settings["data"]["batch_sizes"] = {"target_labelled": 16}
            change(run, "config.json", config=settings)
            change(run, "result.json", target_labels_seen=seen)
    written = report.write_report([experiment])
    row = row_of(written.summary, "dann")
    assert row["sees_target"] == "pictures, 30 with labels"
    assert row_of(written.summary, "train_on_target")["sees_target"] == "30 labelled pictures"
    assert row["difference_from_source_only"]["n"] == len(SEEDS)
    assert row["gap_covered"] is None
    text = written.path.read_text()
    assert "Labelled target examples are 3 of each class, drawn by label from" in text


def test_a_partial_target_is_told(experiment):
    for method in ("source_only", "dann", "train_on_target"):
        for run in runs_of(experiment, method):
            settings = json.loads((run / "config.json").read_text())["config"]
            settings["data"]["target_classes"] = ["3", "5"]
            change(run, "config.json", config=settings)
            change(run, "result.json", target_chosen_by_label=True)
    text = report.write_report([experiment]).path.read_text()
    assert "were picked by label: those of the classes 3, 5 alone, while the source" in text
    assert "are those of the task's classes" not in text
