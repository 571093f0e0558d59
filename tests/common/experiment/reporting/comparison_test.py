import json
import shutil

import pytest

from common.experiment import compare
from common.experiment.reporting import comparison, comparison_section
from common.experiment.reporting.comparison import compare_runs
from common.experiment.reporting.run_record import read_runs
from tests.made_up_runs import SEEDS, hostile_experiment, write_experiment, write_run


def change(path, edit):
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


@pytest.fixture
def experiment(tmp_path):
    return write_experiment(tmp_path)


@pytest.fixture
def after(experiment, tmp_path):
    """The same runs of another commit, where dann is one to four points better."""
    other = shutil.copytree(experiment, tmp_path / "after" / "renamed")
    for gain, seed in enumerate(SEEDS, 1):

        def improve(result, gain=gain):
            for chosen in result["selections"].values():
                chosen["oracle/target_test_accuracy"] += gain / 100

        change(other / f"dann-seed{seed}-0.3" / "result.json", improve)
    for path in other.glob("*/result.json"):
        change(path, lambda result: result.update(experiment="renamed"))
    for path in other.glob("*/config.json"):
        change(path, lambda about: about.update(git_commit="def456", versions={"jax": "0.11.2"}))
    return other


def compared(*folders):
    return compare_runs(*(read_runs([folder]) for folder in folders))


def row_of(found, name, rule="last"):
    (row,) = [row for row in found["rows"] if (row["row"], row["rule"]) == (name, rule)]
    return row


def test_difference_is_paired_by_seed(experiment, after):
    found = compared(experiment, after)
    row = row_of(found, "dann")
    # The mean of 1 to 4 points, and t(3) = 3.182 standard errors around it, by hand.
    assert row["difference"]["mean"] == pytest.approx(0.025)
    half = 3.18245 * (5 / 3) ** 0.5 / 2 / 100
    assert row["difference"]["ci95"] == pytest.approx([0.025 - half, 0.025 + half], rel=1e-4)
    assert row["difference"]["seeds"] == list(SEEDS)
    assert row["second"] - row["first"] == pytest.approx(0.025)
    assert row_of(found, "source_only")["difference"]["mean"] == 0
    assert found["rows"][0]["rule"] == "last" and found["rows"][-1]["rule"] == "oracle"
    assert [origin["commits"] for origin in found["origins"]] == [["abc123"], ["def456"]]


def test_order_of_the_sides_is_the_sign(experiment, after):
    one, other = compared(experiment, after), compared(after, experiment)
    assert [own["difference"]["mean"] for own in one["rows"]] == pytest.approx(
        [-own["difference"]["mean"] for own in other["rows"]]
    )


def test_runs_on_other_data_are_no_pair(experiment, after):
    def move(result):
        result["fingerprints"] = {"digits/images": "other"}

    change(after / "dann-seed101-0.3" / "result.json", move)
    shutil.rmtree(after / "dann-seed103-0.3")
    row = row_of(compared(experiment, after), "dann")
    assert (row["difference"]["seeds"], row["other_data"]) == ([100, 102], [101])
    assert (row["only_in_first"], row["only_in_second"]) == ([103], [])
    assert row["difference"]["ci95"] is None
    # Means are those of the same two seeds, not of all that a side has.
    assert row["first"] == pytest.approx((0.750 + 0.775) / 2)


def test_row_of_another_config_is_the_same_row_where_it_is_the_only_one(experiment, after):
    for path in after.glob("*/config.json"):
        change(path, lambda about: about["config"].update(num_steps=900))
    for seed in SEEDS:
        shutil.rmtree(after / f"dann-seed{seed}-0.3")
        write_run(after, "dann", seed, 0.9, strength=1.0)
        write_run(after, "coral", seed, 0.6)
    found = compared(experiment, after)
    row = row_of(found, "dann")
    assert row["settings"]["alignment.domain_adversarial.strength"] == [0.3, 1.0]
    assert row_of(found, "source_only")["settings"] == {"num_steps": [700, 900]}
    assert [own["row"] for own in found["only_in_second"]] == ["coral"]
    # Two rows of a method on one side are not the one of the other.
    write_run(after, "dann", 100, 0.9, strength=3.0)
    found = compared(experiment, after)
    assert not [row for row in found["rows"] if row["row"].startswith("dann")]
    assert [own["row"] for own in found["only_in_first"]] == ["dann"]


def test_comparison_is_written_and_printed(experiment, after):
    (after / "train_on_target-seed100-0.3" / "result.json").unlink()
    made = compare.write_compared([experiment, after])
    assert made.path.parent == after / "report"
    text = made.path.read_text()
    assert "| dann | last | 76.2 | 78.8 | +2.5 \\[" in text
    for part in ("only A: jax 0.10.2", "only B: jax 0.11.2", "def456", "result.json is missing"):
        assert part in text
    assert "dann" in made.text and "+2.5 [" in made.text and "unfinished in B: 1 runs" in made.text
    held = json.loads((after / "report" / "comparison.json").read_text())
    assert held["rows"] == made.compared["rows"]
    assert "<script>" in (after / "report" / "comparison.html").read_text()


def test_another_default_rule_comes_first_and_is_the_one_printed(experiment, after, monkeypatch):
    for module in (compare, comparison, comparison_section):
        monkeypatch.setattr(module, "DEFAULT_RULE", "source_val")

    def lower(result):
        result["selections"]["source_val"]["oracle/target_test_accuracy"] = 0.25

    for path in after.glob("dann-*/result.json"):
        change(path, lower)
    made = compare.write_compared([experiment, after])
    rules = [row["rule"] for row in made.compared["rows"]]
    assert (rules[0], rules[-1]) == ("source_val", "oracle")
    assert "25.0" in made.text and "78.8" not in made.text


def test_hostile_names_stay_text(tmp_path):
    sides = [hostile_experiment(tmp_path / side) for side in "ab"]
    compare.write_compared(sides, tmp_path / "out")
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert page.count("<script") == 1 and "<img" not in page


def test_wrong_folders_are_refused(experiment, tmp_path):
    with pytest.raises(ValueError, match="takes two folders, .* not 1"):
        compare.write_compared([experiment])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no run is in .*empty"):
        compare.write_compared([experiment, tmp_path / "empty"])
    assert not list((tmp_path / "empty").iterdir())
