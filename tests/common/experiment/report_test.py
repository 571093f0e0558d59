import csv
import json
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.experiment import report
from common.experiment.reporting import drawing
from tests.made_up_runs import SEEDS, row_of, summarize, write_lines, write_run


def test_report_files_are_written(written):
    experiment, made = written
    folder = experiment / "report"
    assert made.path == folder / "report.md"
    assert json.loads((folder / "summary.json").read_text()) == made.summary
    assert sorted(path.name for path in folder.iterdir()) == [
        *("figures", "report.html", "report.md", "results.csv", "results.tex", "summary.json")
    ]
    # Pictures have no decision boundary.
    names = [name for name in drawing.READING if name not in OF_OTHER_TASKS]
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
        *(
            "the initial weights, the batches and the splits of source and target",
            "share one data set",
        ),
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


# Figures of tasks on a plane, of several numbers of labels, of runs that record scores or keep
# logits, and of a package that need not be there.
OF_OTHER_TASKS = (
    *("decision_boundary", "accuracy_by_labels", "score_against_accuracy", "reliability"),
    "embedding_umap",
)


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
    for name in ("embedding", "embedding_pca", "sample_pictures"):
        assert f"no figure {name}: dann-seed101-0.3/outputs.npz cannot be read" in text
    assert len(made.figures) == len(drawing.READING) - len(OF_OTHER_TASKS) - 3


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


def test_folder_without_a_run_is_refused_and_stays_as_it_is(tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(ValueError, match="no run is in"):
        report.write_report([tmp_path])
    assert [path.name for path in tmp_path.rglob("*")] == ["notes"]


def test_unfinished_runs_alone_make_a_report_that_names_them(experiment):
    for path in experiment.glob("*/result.json"):
        path.unlink()
    made = report.write_report([experiment])
    text = report.format_table(made.summary)
    assert text.startswith("no finished runs")
    assert "incomplete: digits/dann-seed100-0.3: result.json is missing; its last record" in text
    assert "No finished runs" in made.path.read_text()


def test_whatever_is_missing_is_named_in_the_report_and_on_the_terminal(experiment):
    for path in experiment.glob("*/outputs.npz"):
        path.unlink()
    shutil.rmtree(experiment / "train_on_target-seed100-0.3")
    (experiment / "dann-seed100-0.3" / "result.json").write_text('{"task": "synth')
    (experiment / "dann-seed101-0.3" / "config.json").write_text("")
    (experiment / "dann-seed102-0.3" / "metrics.jsonl").write_text('{"step": 1')
    (experiment / "dann-seed103-0.3" / "failure.json").write_text('{"reason": "lost", "step": 3}')
    for path in experiment.glob("source_only*"):
        shutil.rmtree(path)
    made = report.write_report([experiment])
    on_terminal = " ".join(report.format_table(made.summary).split())
    in_report = " ".join(made.path.read_text().split())
    for sentence in (
        "incomplete: digits/dann-seed100-0.3: result.json cannot be read",
        "incomplete: digits/dann-seed101-0.3: config.json cannot be read",
        "failed: digits/dann-seed103-0.3: lost (step 3)",
        "dann-seed102-0.3: metrics.jsonl is read up to line 1, which is no record",
        "there is no row source_only to compare with",
        "dann: no finished run of seeds 101, 103; such pairs are dropped",
        "no figure embedding: there is no seed for which dann have outputs.npz",
    ):
        assert sentence in on_terminal
        assert sentence in in_report


def test_single_row_of_a_single_seed_is_shown_without_interval(experiment):
    for path in experiment.glob("*-seed*"):
        if path.name != "dann-seed101-0.3":
            shutil.rmtree(path)
    made = report.write_report([experiment])
    text = report.format_table(made.summary)
    assert "dann    1      80.0" in text and "±" not in text.splitlines()[3]
    assert "fewer than three seeds, so no interval: dann" in text
    assert "there is no row source_only to compare with" in text
    assert (experiment / "report" / "figures" / "accuracy_by_method.png").is_file()


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


def leave_out_target_labels(experiment, scores):
    """Makes finished runs those of a target without labels."""
    for path in experiment.glob("*/result.json"):
        result = json.loads(path.read_text())
        last = {"step": 700, "source_val_accuracy": 0.75}
        if path.parent.name in scores:
            last["score/reverse_validation"] = scores[path.parent.name]
        result |= {"selections": {"last": last}, "oracle": {"labelled_test_examples": 0}}
        path.write_text(json.dumps(result))


def test_a_target_without_labels_has_a_report_of_what_is_known(experiment):
    for seed in SEEDS:
        write_run(experiment, "dann", seed, 0.5, strength=1.0)
    scores = {f"dann-seed{seed}-{own}": own / 2 for seed in SEEDS for own in (0.3, 1.0)}
    leave_out_target_labels(experiment, scores)
    made = report.write_report([experiment])
    (task,) = made.summary["unlabelled"]
    assert [(row["name"], row["n"]) for row in task["rows"]] == [
        ("source_only", 4),
        ("dann, strength=0.3", 4),
        ("dann, strength=1.0", 4),
        ("train_on_target", 4),
    ]
    assert made.summary["rows"] == [] and made.summary["incomplete"] == []
    (choice,) = made.summary["choices"]
    assert (choice["row"], choice["oracle"]) == ("dann, strength=1.0", None)
    for text in (made.path.read_text(), report.format_table(made.summary)):
        assert "target has no labels, so no accuracy" in text
        assert "dann, strength=1.0" in text and "75.0" in text and "0.500" in text
    assert "no finished runs" not in report.format_table(made.summary).lower()
