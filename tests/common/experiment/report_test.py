import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from common.experiment import report
from common.experiment.reporting import drawing
from common.experiment.reporting.row import milliseconds_per_step

SEEDS = (100, 101, 102, 103)
ACCURACY = {
    "source_only": (0.550, 0.575, 0.600, 0.575),
    "dann": (0.750, 0.800, 0.775, 0.725),
    "train_on_target": (0.990, 0.985, 0.990, 0.995),
}
DOMAINS = {
    "source_only": ["source"],
    "dann": ["source", "target"],
    "train_on_target": ["target_labelled"],
}
CLASSES = [str(index) for index in range(10)]
# Seven records at 10 ms a step; the first holds the compilation, the second start the same again.
TIMES = [(100, 9.0, 0), (200, 10.0, 0), (300, 11.0, 0), (400, 12.0, 0)]
TIMES += [(500, 8.0, 1), (600, 9.0, 1), (700, 10.0, 1)]


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def make_confusion(accuracy, weak_class):
    """Makes 400 test pictures, 40 a class, right as often as said; one class is worse."""
    total = round(400 * accuracy)
    right = np.full(10, total // 10) + (np.arange(10) < total % 10)
    if right.max() < 40:
        right += 1
        right[weak_class] -= 10
    confusion = np.diag(right)
    confusion[range(10), (np.arange(10) + 1) % 10] = 40 - right
    return confusion.tolist()


def write_run(
    experiment, method, seed, accuracy, *, task=("synthetic_digits", "digits"), **changes
):
    """Writes a run folder as training does; returns it."""
    strength = changes.get("strength", 0.3)
    name = f"{method}-seed{seed}-{strength}"
    folder = experiment / name
    folder.mkdir(parents=True)
    config = {
        "experiment": experiment.name,
        "method": method,
        "seed": seed,
        "source": task[0],
        "target": task[1],
        "num_steps": 700,
        "domains": DOMAINS.get(method, ["source", "target"]),
        "model": {"name": "cnn", "normalization": changes.get("normalization", "group")},
        "data": {"batch_size": 64, "split_seed": seed},
        "alignment": {"domain_adversarial": {"strength": strength}} if method == "dann" else {},
        "runtime": {"workdir": f"runs{seed}"},
    }
    start = {"devices": ["cpu", "cpu"], "hardware": "A processor", "runtime": {}}
    about = {"git_commit": "abc123", "versions": {"jax": "0.10.2"}, "starts": [start]}
    (folder / "config.json").write_text(json.dumps({"run_id": name, "config": config, **about}))

    records = []
    for step in range(100, 701, 100):
        record = {"step": step, "progress": step / 700, "train/loss": 1.0, "train/task_loss": 1.0}
        if method == "dann":
            record["train/domain_adversarial/domain_accuracy"] = changes.get("domain", 0.6)
            record["train/domain_adversarial/reversal_strength"] = strength
        if step % 200 == 100:
            record["oracle/target_test_accuracy"] = accuracy
        records.append(record)
    write_lines(folder / "metrics.jsonl", records)
    names = ("step", "seconds", "start")
    write_lines(
        folder / "time.jsonl",
        [{**dict(zip(names, row, strict=True)), "members": 4} for row in TIMES],
    )

    def choice(step, gain):
        return {
            "step": step,
            "source_val_accuracy": 1.0,
            "oracle/target_test_accuracy": accuracy + gain,
            "oracle/target_test_confusion": make_confusion(accuracy, 4 if method == "dann" else 0),
        }

    result = {
        "run_id": name,
        "status": "done",
        "experiment": experiment.name,
        "task": ">".join(task),
        "method": method,
        "seed": seed,
        "steps": 700,
        "target_test_seen": False,
        "sees_target_pictures": method != "source_only",
        "classes": CLASSES,
        "parameters": {"total": 58858, "trained": 58858},
        "selections": {
            "last": choice(700, 0),
            "oracle": choice(500, 0.005),
            "source_val": choice(300, -0.05),
            "information_maximization": choice(500, -0.01),
        },
        "warnings": [],
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def write_outputs(folder, seed):
    rng = np.random.default_rng(seed)
    label = np.arange(40) % 10
    np.savez_compressed(
        folder / "outputs.npz",
        value_max=16.0,
        **{
            "source_val/features": rng.normal(size=(40, 8)),
            "source_val/label": label,
            "source_val/prediction": label,
            "source_val/image": rng.integers(0, 17, (40, 8, 8, 1)).astype(np.uint8),
            "target_test/features": rng.normal(size=(40, 8)),
            "target_test/prediction": rng.integers(0, 10, 40),
            "target_test/image": np.full((40, 8, 8, 1), seed % 16, np.uint8),
            "oracle/target_test_label": label,
        },
    )


def write_experiment(workdir, name="digits"):
    experiment = workdir / name
    for method, values in ACCURACY.items():
        for seed, accuracy in zip(SEEDS, values, strict=True):
            folder = write_run(experiment, method, seed, accuracy)
            if seed == SEEDS[1]:
                write_outputs(folder, seed)
    (experiment / "populations" / "0123").mkdir(parents=True)
    (experiment / "report").mkdir()
    return experiment


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An experiment, and its report."""
    experiment = write_experiment(tmp_path_factory.mktemp("work"))
    return experiment, report.write_report([experiment])


@pytest.fixture
def experiment(written, tmp_path):
    """A copy of the experiment, to be spoilt."""
    return shutil.copytree(written[0], tmp_path / "digits")


def summarize(*folders):
    return report.summarize(report.read_runs(folders))


def row_of(summary, name, selection="last"):
    (row,) = [r for r in summary["rows"] if (r["name"], r["selection"]) == (name, selection)]
    return row


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


def test_report_files_are_written(written):
    experiment, made = written
    folder = experiment / "report"
    assert made.path == folder / "report.md"
    assert json.loads((folder / "summary.json").read_text()) == made.summary
    assert sorted(path.name for path in folder.iterdir()) == [
        *("figures", "report.md", "results.csv", "summary.json")
    ]
    names = list(drawing.READING)
    assert sorted(made.figures) == sorted(folder / "figures" / f"{name}.png" for name in names)
    text = made.path.read_text()
    for path in made.figures:
        with Image.open(path) as picture:
            assert picture.width == 1200
        assert f"](figures/{path.name})" in text


def test_report_states_its_protocol(written):
    text = written[1].path.read_text()
    for part in (
        *("weights after the last step", "Seeds 100 to 103", "t intervals over seeds"),
        *("the initial weights, the batches and the split of the target", "share one data set"),
        *("Binomial standard error of one run, in points: source_only 2.5", "steps 700"),
        *("abc123", "A processor (2 x cpu)", "jax 0.10.2", "target_test_seen false"),
        *("source_only nothing", "dann pictures", "train_on_target pictures and labels"),
        *("| alignment.domain_adversarial.strength | - | 0.3 | - |", 'model.name = "cnn"'),
    ):
        assert part in text
    assert text.endswith("## What is missing or went wrong\n\nNothing.\n")


def test_csv_has_a_line_a_run_and_selection(written):
    with (written[0] / "report" / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 3 * 4 * 4
    (line,) = [
        line
        for line in lines
        if (line["method"], line["seed"], line["selection"]) == ("dann", "101", "source_val")
    ]
    assert float(line["target_test_accuracy"]) == pytest.approx(0.75)
    assert (line["step"], line["task"]) == ("300", "synthetic_digits>digits")


def test_terminal_table_is_narrow_and_marks_the_oracle(written):
    text = report.format_table(written[1].summary)
    assert max(map(len, text.splitlines())) <= 100
    dann = [line for line in text.splitlines() if line.startswith("dann")]
    assert dann[0].split() == [
        *("dann", "4", "76.2", "±", "5.1", "3.2", "+18.8", "[+13.6,", "+23.9]"),
        *dann[0].split()[9:],
    ]
    sections = [line for line in text.splitlines() if line.endswith(")")]
    assert sections[0].startswith("last") and sections[1].startswith("source_val")
    assert sections[-1] == "oracle (uses target labels; for comparison only)"


def test_long_names_stay_within_the_width(experiment):
    for path in experiment.glob("dann*/result.json"):
        name = "a_method_of_a_hundred_and_more_letters_" * 3
        path.write_text(path.read_text().replace('"dann"', json.dumps(name)))
    assert max(map(len, report.format_table(summarize(experiment)).splitlines())) <= 100


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
    assert "failed: source_only-seed102-0.3: the loss is not finite (step 300)" in text
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
    assert "fewer than three seeds, so no interval: source_only, dann, train_on_target" in text


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


def test_folders_may_be_runs_experiments_or_their_folder(written):
    experiment, _ = written
    counts = [
        len(report.read_runs(folders))
        for folders in (
            [experiment / "dann-seed100-0.3"],
            [experiment],
            [experiment.parent],
            [experiment, experiment.parent, experiment / "dann-seed100-0.3"],
        )
    ]
    assert counts == [1, 12, 12, 12]


def test_same_run_in_two_folders_counts_once(experiment, tmp_path):
    copy = shutil.copytree(experiment / "dann-seed100-0.3", tmp_path / "copy" / "dann-seed100-0.3")
    summary = summarize(experiment, copy.parent)
    assert row_of(summary, "dann")["n"] == 4
    assert any("another folder has the same run" in note for note in summary["notes"])


def test_outrun_discriminator_and_warnings_of_runs_are_told(experiment):
    folder = experiment / "dann-seed100-0.3"
    shutil.rmtree(folder)
    write_run(experiment, "dann", 100, 0.75, domain=0.36)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "warnings": ["half is missing"]}))
    notes = summarize(experiment)["notes"]
    assert f"{folder.name}: half is missing" in notes
    assert any("outruns the discriminator" in note for note in notes)


JUNK = st.sampled_from(
    ["", "[]", "null", "{", "\x00", '{"seed": 1}', "[" * 9999, '{"step": 1e999}', '{"step": NaN}']
)


@given(st.lists(JUNK, min_size=6, max_size=6))
def test_junk_in_a_folder_never_stops_the_report(tmp_path_factory, junk):
    folder = tmp_path_factory.mktemp("junk") / "digits" / "dann-seed0-0"
    folder.mkdir(parents=True)
    names = ("config.json", "result.json", "failure.json", "metrics.jsonl", "time.jsonl")
    for name, text in zip(names, junk, strict=False):
        if text:
            (folder / name).write_text(text)
    (folder.parent / "sweep.json").write_text(junk[5])
    summary = summarize(folder.parent)
    assert summary["rows"] == []
    assert len(summary["incomplete"]) + len(summary["failed"]) == 1
    assert "no finished runs" in report.format_table(summary)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("selections", value) for value in ({}, {"last": {}}, {"last": None}, [])],
        ("selections", {"last": {"oracle/target_test_accuracy": None}}),
        ("selections", {"last": {"oracle/target_test_accuracy": 57.0}}),
        ("selections", {"last": {"oracle/target_test_accuracy": 10**400}}),
        ("seed", None),
        ("method", ["dann"]),
    ],
)
def test_result_without_a_number_is_no_result(experiment, name, value):
    path = experiment / "dann-seed100-0.3" / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    summary = summarize(experiment)
    assert [run["run"] for run in summary["incomplete"]] == ["dann-seed100-0.3"]
    assert row_of(summary, "dann")["n"] == 3


def test_odd_parts_of_a_finished_run_cost_only_themselves(experiment):
    folder = experiment / "dann-seed100-0.3"
    result = json.loads((folder / "result.json").read_text())
    result["selections"]["source_val"] = {"step": "x"}
    result["selections"]["last"]["oracle/target_test_confusion"] = [[1, 2], [3]]
    result |= {"classes": 3, "parameters": None, "warnings": "none", "population": []}
    (folder / "result.json").write_text(json.dumps(result))
    config = json.loads((folder / "config.json").read_text())
    config |= {"starts": {"devices": 1}, "versions": []}
    (folder / "config.json").write_text(json.dumps(config))
    write_lines(folder / "time.jsonl", [{"step": 1, "seconds": "x"}, {"step": 2, "seconds": None}])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 800, "train/lo')
    summary = summarize(experiment)
    assert row_of(summary, "dann")["n"] == 4
    assert row_of(summary, "dann", "source_val")["n"] == 3
    assert (
        f"{folder.name}: metrics.jsonl is read up to line 8, which is no record" in summary["notes"]
    )
    assert f"{folder.name}: selection source_val has no target test accuracy" in summary["notes"]


def test_broken_arrays_cost_only_their_figures(experiment):
    (experiment / "dann-seed101-0.3" / "outputs.npz").write_bytes(b"PK\x03\x04 half a file")
    made = report.write_report([experiment])
    text = made.path.read_text()
    for name in ("embedding", "sample_pictures"):
        assert f"no figure {name}: dann-seed101-0.3/outputs.npz cannot be read" in text
    assert len(made.figures) == len(drawing.READING) - 2


def test_crash_leaves_the_old_report(experiment, monkeypatch):
    folder = experiment / "report"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(experiment / "dann-seed100-0.3")

    def crash(summary):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write_markdown", crash)
    with pytest.raises(KeyboardInterrupt):
        report.write_report([experiment])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not list(folder.glob(".new-*"))


def test_report_leaves_the_files_of_others_alone(experiment):
    note = experiment / "report" / "figures" / "note.png"
    note.write_text("mine")
    report.write_report([experiment / "dann-seed100-0.3"], experiment / "report")
    assert note.read_text() == "mine"


def test_no_runs_make_an_empty_report(tmp_path):
    made = report.write_report([tmp_path])
    assert made.summary["rows"] == []
    assert report.format_table(made.summary) == "no finished runs"
    assert "No finished runs" in made.path.read_text()


def test_names_mean_nothing_to_markdown_spreadsheets_and_terminals(experiment):
    name = "=1+1|<b>`x`</b>\n# head\x1b[2J"
    for path in experiment.glob("dann*/result.json"):
        path.write_text(path.read_text().replace('"dann"', json.dumps(name)))
    made = report.write_report([experiment])
    text = made.path.read_text()
    assert "\n# head" not in text and "<b>" not in text.replace("\\<b>", "")
    header = next(line for line in text.splitlines() if line.startswith("| method | seeds"))
    line = next(line for line in text.splitlines() if line.startswith("| =1+1"))
    assert line.replace("\\|", "").count("|") == header.count("|")
    assert "\x1b" not in report.format_table(made.summary)
    with (experiment / "report" / "results.csv").open() as file:
        methods = {line["method"] for line in csv.DictReader(file)}
    assert f"'{name}" in methods and name not in methods


@pytest.mark.parametrize("cell", ["=1", "+1+1", "-1+1", "@a", "\t=1", "\r=1"])
def test_formulas_in_cells_are_text(cell):
    assert report._csv_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", [-0.5, 3, None, "dann", "a-b"])
def test_other_cells_stay_as_they_are(cell):
    assert report._csv_cell(cell) == cell


def test_module_starts_fast():
    heavy = {"jax", "matplotlib", "scipy", "sklearn"}
    code = f"import sys, common.experiment.report; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
