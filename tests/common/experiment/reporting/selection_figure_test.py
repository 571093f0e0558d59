"""Figures of rules, scores and calibration, on made-up numbers."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from common.experiment.reporting import calibration_figure, drawing, rule_figure, score_figure
from common.experiment.reporting import figure as figures
from common.experiment.reporting.grouping import group_by_task
from common.experiment.reporting.run_record import read_runs
from common.experiment.selection_rule import DEFAULT_RULE
from tests.common.experiment.reporting.figure_test import (
    ACCURACY,
    COLORS,
    assert_legible,
    make_records,
    texts,
)
from tests.made_up_runs import write_experiment, write_lines

RULES = ("oracle", "source_val", "entropy", "last", "entropy_unguarded", "oracle_test", "consensus")


def points_of(line):
    """Returns the places that a line was drawn through."""
    return np.asarray(line.get_xydata(), float)


def test_rules_are_listed_with_the_usual_ones_first_and_the_oracle_last():
    shown = ["last", "source_val", "consensus", "entropy", "oracle"]
    assert rule_figure.shown_rules(RULES) == shown
    many = rule_figure.shown_rules([*RULES, *map(str, range(20))])
    assert len(many) == rule_figure.MAX_RULES and (many[0], many[-1]) == ("last", "oracle")
    assert rule_figure.shown_rules(["last"]) == ["last"]
    assert rule_figure.rule_style(shown)["oracle"]["markerfacecolor"] == "white"


def test_default_rule_is_listed_first():
    assert rule_figure.FIRST_RULES[0] == DEFAULT_RULE
    assert len(set(rule_figure.FIRST_RULES)) == len(rule_figure.FIRST_RULES)


def test_each_rule_has_a_mean_and_an_interval_in_each_row():
    accuracy = {
        row: {rule: {seed: value - 0.01 * place for seed, value in values.items()}}
        | {"last": values}
        for row, values in ACCURACY.items()
        for place, rule in enumerate(RULES)
    }
    for row, values in ACCURACY.items():
        accuracy[row] |= {rule: values for rule in RULES}
    figure = rule_figure.accuracy_by_rule(accuracy, title="Rules")
    assert_legible(figure)
    drawn = [points for points in map(points_of, figure.axes[0].lines) if len(points) == 1]
    assert len(drawn) == 5 * len(ACCURACY)
    assert min(points[0, 0] for points in drawn) == pytest.approx(58.0)
    with pytest.raises(ValueError, match="no two rules"):
        rule_figure.accuracy_by_rule({"dann": {"last": {0: 0.5}}}, title="Rules")


def test_chosen_steps_are_marked_on_the_curve():
    runs = {"dann": [make_records(0.8, 0.3)] * 3}
    chosen = {"dann": {"last": [2000] * 3, "source_val": [400, 600, 1900], "oracle": [800] * 3}}
    figure = figures.training_curves(runs, COLORS, title="Training", chosen=chosen)
    assert_legible(figure)
    marks = [line for line in figure.axes[0].lines if len(points_of(line)) == 1]
    curve = dict(points_of(figure.axes[0].lines[0]).tolist())
    expected = [[step, curve[step]] for step in (2000, 600, 800)]
    assert [points_of(line)[0].tolist() for line in marks] == expected
    assert marks[-1].get_markerfacecolor() == "white"


def make_scored(count, seed):
    rng = np.random.default_rng(seed)
    records = [{"step": 0, "score/mmd": 1.0}, {"step": 1, "oracle/target_test_accuracy": 0.5}]
    for step in range(2, count + 2):
        accuracy = float(rng.uniform(0.3, 0.9))
        record = {"step": step, "oracle/target_test_accuracy": accuracy}
        record |= {"score/entropy": accuracy + rng.normal() / 10, "score/mmd": -accuracy}
        records.append(record | {"score/constant": 1.0, "score/odd": None})
    return records


def test_scores_are_shown_against_the_accuracy_of_the_same_evaluation():
    records = {
        "source_only": [make_scored(30, 0)],
        "dann": [make_scored(30, seed) for seed in (1, 2)],
    }
    pairs = score_figure.pairs_of(records)
    assert {name: sum(map(len, own.values())) for name, own in pairs.items()} == {
        "constant": 90,
        "entropy": 90,
        "mmd": 90,
    }
    figure = score_figure.score_against_accuracy(pairs, COLORS, title="Scores")
    assert_legible(figure)
    every = [pair for own in pairs["entropy"].values() for pair in own]
    expected = spearmanr(np.asarray(every))[0]
    shown = " ".join(text for text, _ in texts(figure))
    assert f"entropy\nrank correlation {expected:+.2f}" in shown
    assert "mmd\nrank correlation −1.00" in shown and "constant\nrank correlation -" in shown
    assert score_figure.pairs_of({"dann": [[]]}) == {}


def test_many_rows_are_told_apart_by_method_and_leave_room_for_the_panels():
    methods = [f"information_maximization_{index}" for index in range(9)]
    rows = [f"{method}, weight={weight}" for method in methods for weight in (0.3333, 1.0, 3.0)]
    pairs = score_figure.pairs_of({row: [make_scored(6, 0)] for row in rows})
    colors = {row: COLORS["dann"] for row in rows}
    figure = score_figure.score_against_accuracy(pairs, colors, title="Scores")
    assert_legible(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == methods
    assert len({mark.get_color() for mark in legend.get_lines()}) == len(methods)
    assert all(axes.get_position().height > 0.3 for axes in figure.axes)


def make_logits(sure, right):
    """Makes predictions of two classes of one probability, of which a share is right."""
    count = 200
    label = (np.arange(count) >= round(right * count)).astype(int)
    logits = np.stack([np.full(count, np.log(sure / (1 - sure))), np.zeros(count)], axis=1)
    arrays = {"source_val/label": label, "oracle/target_test_label": label}
    return arrays | {f"{split}/logits": logits for split in calibration_figure.PANELS}


def test_reliability_is_the_share_of_right_predictions_at_each_confidence():
    outputs = {"dann": [make_logits(0.9, 0.6), make_logits(0.7, 0.7)]}
    figure = calibration_figure.reliability(outputs, COLORS, title="Reliability")
    assert_legible(figure)
    curve = figure.axes[0].lines[1]
    np.testing.assert_allclose(points_of(curve), [[70, 70], [90, 60]])
    # Half of the predictions are 30 points too sure, the others not at all.
    assert {"dann", "ECE 15.0 %"} <= {text for text, _ in texts(figure)}


def test_reliability_of_long_names_leaves_room_for_the_panels():
    rows = [f"fine_tune, target_labels_per_class=all, freeze=last_{k}_stages" for k in range(4)]
    outputs = {row: [make_logits(0.9, 0.6)] for row in rows}
    colors = dict.fromkeys(rows, COLORS["dann"])
    figure = calibration_figure.reliability(outputs, colors, title="Reliability")
    assert_legible(figure)
    assert all(axes.get_position().width > 0.38 for axes in figure.axes)


def test_examples_without_a_label_or_a_finite_logit_are_left_out():
    logits = np.asarray([[2.0, 0.0], [0.0, np.nan], [0.0, 1.0], [np.inf, 0.0]])
    sure, right = calibration_figure.confidence_of(logits, np.asarray([0, 0, -1, 0]))
    np.testing.assert_allclose(sure, [1 / (1 + np.exp(-2))])
    assert right.tolist() == [True]


@pytest.mark.parametrize(
    "change",
    [
        {"source_val/logits": np.zeros((200, 4, 4))},
        {"target_test/logits": np.zeros((200, 1))},
        {"oracle/target_test_label": np.zeros((200, 2))},
    ],
    ids=str,
)
def test_other_outputs_have_no_reliability(change):
    arrays = make_logits(0.9, 0.6) | change
    assert not calibration_figure.has_logits(arrays)
    with pytest.raises(ValueError, match="no run kept its logits"):
        calibration_figure.reliability({"dann": [arrays]}, COLORS, title="T")


def test_figures_are_made_of_run_folders_that_have_what_they_show(tmp_path):
    experiment = write_experiment(tmp_path)
    group = next(iter(group_by_task(read_runs([experiment])).values()))
    assert {"score_against_accuracy", "reliability"}.isdisjoint(drawing._figure_makers(group))
    for folder in experiment.glob("dann-*"):
        write_lines(folder / "metrics.jsonl", make_scored(5, 0))
        np.savez(folder / "outputs.npz", **make_logits(0.8, 0.7))  # pyright: ignore
    group = next(iter(group_by_task(read_runs([experiment])).values()))
    makers = drawing._figure_makers(group)
    assert {"score_against_accuracy", "reliability", "accuracy_by_rule"} <= set(makers)
    assert_legible(makers["score_against_accuracy"]())
    assert_legible(makers["reliability"]())
