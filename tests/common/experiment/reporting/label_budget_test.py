"""Tests of the section on the number of labelled target examples."""

import json

import numpy as np
import pytest

from common.experiment.report import write_report
from common.experiment.reporting import label_budget, label_figure
from common.experiment.reporting.figure_style import colors_of
from common.experiment.reporting.grouping import rows_of
from common.experiment.reporting.label_budget import crossing
from common.experiment.reporting.run_record import read_runs
from tests.made_up_runs import write_run

SEEDS = (100, 101, 102, 103)
SPREAD = (-0.01, 0.01, 0.0, 0.005)
CURVES = {
    "train_on_target": {1: 0.40, 3: 0.60, 10: 0.80, 0: 0.95},
    "fine_tune": {1: 0.70, 3: 0.55, 10: 0.90, 0: 0.95},
}


def write_labelled(folder, method, seed, accuracy, labels):
    """Writes a run that was given labelled target examples."""
    path = write_run(folder, method, seed, accuracy, strength=f"n{labels}")
    about = json.loads((path / "config.json").read_text())
    about["config"]["domains"] = ["target_labelled"]
    about["config"]["data"]["target_labels_per_class"] = labels
    (path / "config.json").write_text(json.dumps(about))
    result = json.loads((path / "result.json").read_text())
    result["target_labels_seen"] = 10 * (labels or 90)
    (path / "result.json").write_text(json.dumps(result))
    return path


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Two rows at four numbers of labels, and one without labels that lies between."""
    folder = tmp_path_factory.mktemp("study") / "labels"
    for seed, shift in zip(SEEDS, SPREAD, strict=True):
        write_run(folder, "source_only", seed, 0.75 + shift)
        for method, curve in CURVES.items():
            for labels, accuracy in curve.items():
                own = shift * (1 if method == "fine_tune" else -1)
                path = write_labelled(folder, method, seed, accuracy + own, labels)
                if method == "fine_tune":
                    about = json.loads((path / "config.json").read_text())
                    about["config"]["init_from"] = {"parent": f"source_only-seed{seed}-0.3"}
                    (path / "config.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="module")
def labels(experiment):
    return label_budget.label_budgets(rows_of(read_runs([experiment]))[0])


def test_rows_that_differ_in_their_labels_alone_make_one_line(labels):
    assert labels["budgets"] == [0, 1, 3, 10, 90] and labels["all"] == 90
    assert {name: list(own) for name, own in labels["lines"].items()} == {
        "source_only": ["0"],
        "fine_tune": ["1", "3", "10", "90"],
        "train_on_target": ["1", "3", "10", "90"],
    }
    assert labels["lines"]["fine_tune"]["3"]["mean"] == pytest.approx(0.55 + sum(SPREAD) / 4)
    assert labels["updates"] == {"source_only": 700, "fine_tune": 1400, "train_on_target": 700}


def test_negative_transfer_is_an_interval_below_training_on_the_same_labels(labels):
    found = {key: own["negative_transfer"] for key, own in labels["lines"]["fine_tune"].items()}
    # At 90 the means are equal; a smaller mean alone would be no evidence.
    assert found == {"1": False, "3": True, "10": False, "90": False}
    difference = labels["lines"]["fine_tune"]["3"]["difference_from_scratch"]
    assert difference["mean"] == pytest.approx(-0.05 + 2 * sum(SPREAD) / 4)
    assert not any(own["negative_transfer"] for own in labels["lines"]["train_on_target"].values())


def test_the_answers_name_the_best_row_and_those_that_cannot_be_told_from_it(labels):
    assert [(own["budget"], own["best"], own["alike"]) for own in labels["answers"]] == [
        (1, "source_only", []),
        (3, "source_only", []),
        (10, "fine_tune", []),
        (90, "fine_tune", ["train_on_target"]),
    ]


def test_a_row_overtakes_where_it_stays_above(labels):
    found = {own["row"]: own for own in labels["crossings"]}
    # Its accuracy at one label is no reason to say that it overtakes there: at three it is below.
    assert 3 < found["fine_tune"]["labels"] < 10
    low, high = found["fine_tune"]["ci95"]
    assert 3 < low <= found["fine_tune"]["labels"] <= high < 10
    assert found["train_on_target"]["over"] == "source_only"


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        ((0.6, 0.7, 0.8), 1.0),
        ((0.1, 0.2, 0.3), float("inf")),
        ((0.0, 1.0, 1.0), 10**0.5),
        ((0.9, 0.4, 0.6), 10**1.5),
    ],
)
def test_crossings_are_read_off_straight_lines_over_the_logarithm(accuracy, expected):
    budgets = np.asarray([1.0, 10.0, 100.0])
    assert crossing(budgets, np.asarray(accuracy), 0.5) == pytest.approx(expected)


def test_rows_that_differ_in_more_than_their_labels_make_lines_of_their_own(tmp_path):
    for freeze in ("all_but_head", "none"):
        for labels in (1, 3, 10):
            path = write_labelled(tmp_path / "made", "fine_tune", 0, 0.5, labels)
            about = json.loads((path / "config.json").read_text())
            about["config"]["transfer"] = {"freeze": freeze}
            (path / "config.json").write_text(json.dumps(about))
            path.rename(tmp_path / "made" / f"{freeze}-{labels}")
    found = label_budget.label_budgets(rows_of(read_runs([tmp_path / "made"]))[0])
    assert found is not None
    assert {name: list(own) for name, own in found["lines"].items()} == {
        f"fine_tune, freeze={freeze}": ["1", "3", "10"] for freeze in ("all_but_head", "none")
    }


@pytest.mark.parametrize("setting", ["", ", freeze=all_but_head", f", layers={'x' * 40}"])
def test_the_legend_fits_into_the_figure_whatever_the_length_of_the_names(labels, setting):
    lines = {f"{name}{setting}": own for name, own in labels["lines"].items()}
    lines |= {f"dann_then_fine_tune{setting[:-1]}{index}": own for index, own in enumerate(lines)}
    lines = {name: labels["lines"]["fine_tune"] for name in lines}
    figure = label_figure.accuracy_by_labels(
        {**labels, "lines": lines}, colors_of(lines), title="T"
    )
    figure.canvas.draw()
    (legend,) = figure.legends
    box, page = legend.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0
    bottom = figure.axes[0].xaxis.label.get_window_extent().y0
    assert box.y1 <= bottom


def test_two_numbers_of_labels_are_no_curve(tmp_path):
    for labels in (1, 3):
        write_labelled(tmp_path / "few", "fine_tune", 0, 0.5, labels)
    assert label_budget.label_budgets(rows_of(read_runs([tmp_path / "few"]))[0]) is None


def test_the_report_shows_the_section_and_its_figure_first(experiment, tmp_path):
    written = write_report([experiment], tmp_path / "report")
    text = written.path.read_text()
    assert text.index("accuracy_by_labels.png") < text.index("### By labelled target examples")
    assert "| fine_tune | 1,400 |" in text and "▼" in text
    assert "- 3: source_only (75.1 %)." in text
    assert "not told from it by these seeds: train_on_target" in text
    assert "fine_tune is better than source_only, which is given none, from" in text
    assert "### Ranking" not in text
