"""Tests of the ranking of many rows."""

import pytest

from common.experiment.reporting.collapse import COLLAPSE, has_collapsed
from common.experiment.reporting.ranking import rank_rows, write_ranking
from tests.made_up_runs import ACCURACY, SEEDS, summarize, write_run

# Gains over source_only by seed.
GAINS = {
    "dann": (0.2, 0.22, 0.21, 0.19),
    "coral": (0.05, -0.02, 0.03, -0.01),
    "mcc": (-0.05, -0.04, -0.06, -0.05),
    "mmd": (0.3, 0.3, -0.11, 0.3),
    "entropy": (0.0, 0.01, -0.01, 0.0),
    "cdan": (0.1, 0.1, 0.1, 0.11),
}


def rows_of(folder, gains):
    plain = ACCURACY["source_only"]
    for method, own in {"source_only": (0, 0, 0, 0), **gains}.items():
        for seed, base, gain in zip(SEEDS, plain, own, strict=True):
            write_run(folder / "study", method, seed, base + gain)
    return [row for row in summarize(folder / "study")["rows"] if row["selection"] == "last"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return rows_of(tmp_path_factory.mktemp("runs"), GAINS)


def test_rows_stand_in_the_order_of_their_means_with_what_single_seeds_lost(rows):
    ranked = rank_rows(rows)
    names = [own["name"] for own in ranked]
    assert names == ["dann", "mmd", "cdan", "coral", "source_only", "entropy", "mcc"]
    found = {own["name"]: (own["below"], own["collapsed"]) for own in ranked}
    assert found["mmd"] == (1, 1)
    assert found["coral"] == (2, 0)
    assert found["mcc"] == (4, 0)
    by_name = {own["name"]: own["differences"] for own in ranked}
    assert by_name["dann"] == pytest.approx(GAINS["dann"])
    assert by_name["source_only"] == []


def test_a_verdict_needs_an_interval_without_zero(rows):
    text = "\n".join(write_ranking(rows))
    assert "Better than source_only: dann, cdan." in text
    assert "Worse than source_only: mcc." in text
    assert "With collapsed runs: mmd." in text
    line = next(line for line in text.splitlines() if line.startswith("| 2 |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == "mmd" and cells[5:8] == ["-11.0", "1 of 4", "1"]
    # Ten milliseconds a step of a program of four runs.
    assert cells[8] == "2.50"


def test_few_rows_have_no_ranking(tmp_path):
    few = {name: GAINS[name] for name in ("dann", "coral")}
    assert write_ranking(rows_of(tmp_path, few)) == []


def test_runs_on_other_data_are_not_paired(rows):
    changed = [dict(row, target_accuracy=dict(row["target_accuracy"])) for row in rows]
    own = next(row for row in changed if row["name"] == "dann")
    own["target_accuracy"]["data"] = ["other", *own["target_accuracy"]["data"][1:]]
    ranked = {entry["name"]: entry for entry in rank_rows(changed)}
    assert len(ranked["dann"]["differences"]) == 3
    # It may still have collapsed, against the mean.
    assert (ranked["dann"]["compared"], ranked["dann"]["collapsed"]) == (4, 0)
    own["target_accuracy"]["values"] = [0.0, *own["target_accuracy"]["values"][1:]]
    ranked = {entry["name"]: entry for entry in rank_rows(changed)}
    assert (ranked["dann"]["below"], ranked["dann"]["collapsed"]) == (0, 1)


@pytest.mark.parametrize(("accuracy", "collapsed"), [(0.7, False), (0.699, True), (0.9, False)])
def test_ten_points_are_no_collapse_whatever_rounding_says(accuracy, collapsed):
    assert 0.7 - 0.8 < -COLLAPSE
    assert has_collapsed(accuracy, 0.8) == collapsed
