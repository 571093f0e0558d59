"""The section of the rules, from run folders."""

import pytest

from common.experiment import report, selection
from common.experiment.reporting import cell, rule_section
from tests.made_up_runs import summarize, write_run

TEST, VALIDATION = "oracle/target_test_accuracy", "oracle/target_val_accuracy"
# Of three strengths the accuracies of four evaluations, and the score of features at each: it
# follows the accuracy but for the strongest, which breaks.
RUNS = {
    0.1: ((0.50, 0.58, 0.60, 0.62), (1.0, 1.8, 2.0, 2.2)),
    0.3: ((0.55, 0.70, 0.74, 0.72), (1.5, 3.0, 3.4, 3.2)),
    3.0: ((0.50, 0.40, 0.30, 0.20), (1.0, 4.0, 5.0, 6.0)),
}
PLAIN = ((0.52, 0.55, 0.57, 0.58), (1.1, 1.2, 1.4, 1.3))
SEEDS = (0, 1, 2)


def evaluations_of(accuracies, scores, seed):
    """Makes evaluations; in the last half of a broken run the guard sees it."""
    found = {}
    for index, (accuracy, score) in enumerate(zip(accuracies, scores, strict=True)):
        step = 100 + 200 * index
        found[step] = {
            "step": step,
            TEST: accuracy + 0.01 * seed,
            VALIDATION: accuracy,
            "source_val/accuracy": 0.95,
            "source_val/loss": 0.1,
            "score/rank_me": score,
            "score/entropy": 0.5 - 0.01 * index,
            "flags": ["outrun"] if accuracy < 0.45 else [],
        }
    return found


def write(experiment, method, seed, accuracies, scores, **changes):
    found = evaluations_of(accuracies, scores, seed)
    records = [found[step] for step in sorted(found)]
    chosen = {
        rule: {**{key: records[index][key] for key in ("step", TEST)}, "source_val_accuracy": 0.95}
        for rule, index in selection.choose(records, num_source_val=100).items()
        if index is not None
    }
    return write_run(
        *(experiment, method, seed, accuracies[-1] + 0.01 * seed),
        evaluations=found,
        selections=chosen,
        **changes,
    )


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    experiment = tmp_path_factory.mktemp("runs") / "grid"
    for seed in SEEDS:
        write(experiment, "source_only", seed, *PLAIN)
        for strength, (accuracies, scores) in RUNS.items():
            write(experiment, "dann", seed, accuracies, scores, strength=strength)
    return experiment


def test_section_from_run_folders(grid):
    (entry,) = summarize(grid)["rules"]
    lines = rule_section.write_rules(entry)
    settings = lines.index("#### Which settings of a method")
    methods = lines.index("#### Which method and settings")
    zero, worse, worst = (
        cell.escape(f"{own} [{own}, {own}]") for own in ("+0.0", "+52.0", "+54.0")
    )

    def table(first, last):
        rows = [line[2:-2].split(" | ") for line in lines[first:last] if line.startswith("| ")]
        return {row[0]: row[1:] for row in rows[2:]}

    # The guard keeps the broken setting out: at the last step all of it is flagged, and before it
    # broke its score was low. Without it, the score takes the worst.
    found = table(settings, methods)
    assert found["rank_me"] == [
        *("3", zero, "+0.0", "0.0 %"),
        *("3", zero, "+0.0", "0.0 %", "0"),
    ]
    assert found["rank_me_unguarded"] == [
        *("3", worse, "+52.0", "100.0 %"),
        *("3", worst, "+54.0", "100.0 %", "0"),
    ]
    steps = table(0, settings)
    # source_only and the two strengths that hold lose 0, 0 and 2 points; the broken one 30.
    assert steps["last"][:4] == ["12", cell.escape("+8.0 [+8.0, +8.0]"), "+30.0", "25.0 %"]
    assert list(steps)[0] == "last"
    assert list(table(methods, None))[-1] == "a choice by lot"
    assert "The default rule last costs" not in lines[2]
    assert lines[2].startswith("**Choosing the step: ")


def test_report_has_the_section_and_few_tables(grid, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "save_figures", lambda *_: {})
    made = report.write_report([grid], tmp_path)
    text = made.path.read_text()
    assert text.count("### Is the choice any good") == 1
    assert text.index("### Selection last") < text.index("### Selection source_val")
    assert text.count("### Selection") == 3 and "rank_me_unguarded" in text
    assert "Seeds it takes to find a difference of 2 points from source_only" in text
    rows = made.summary["rows"]
    assert rows[0]["selection"] == "last" and rows[-1]["selection"] == "oracle"
    assert {"rank_me", "rank_me_unguarded", "oracle_test"} <= {row["selection"] for row in rows}


def test_old_runs_have_no_such_section(written):
    assert written[1].summary["rules"] == []
    assert "Is the choice any good" not in written[1].path.read_text()
