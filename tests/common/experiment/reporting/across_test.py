from typing import Any

import numpy as np
import pytest
from scipy import stats

from common.experiment import statistics
from common.experiment.reporting import across, across_figure, across_section, rank_section
from common.experiment.reporting.figure_style import colors_of

# Tasks lie far apart, gains are small and steady.
SOURCE_ONLY = (0.50, 0.60, 0.70, 0.80, 0.55, 0.65)
GAINS = (0.020, 0.010, 0.030, -0.005, 0.015, 0.025)


def make_row(task, name, values, **changes):
    return {
        "experiment": "pairs",
        "task": task,
        "selection": "last",
        "name": name,
        "method": name.partition(",")[0],
        "target_accuracy": {
            "mean": float(np.mean(values)),
            "values": values,
            "seeds": list(range(len(values))),
            "data": ["one"] * len(values),
        },
        **changes,
    }


def spread(mean, width=0.004):
    return [mean - width, mean, mean + width]


def make_rows(count=6, **others):
    """Makes source_only and dann, and other rows by their values of each task."""
    rows = []
    for index in range(count):
        task = f"a>{index}"
        rows.append(make_row(task, "source_only", spread(SOURCE_ONLY[index])))
        rows.append(make_row(task, "dann", spread(SOURCE_ONLY[index] + GAINS[index], 0.002)))
        for name, means in others.items():
            if means[index] is not None:
                rows.append(make_row(task, name, spread(means[index])))
    return rows


def compare(rows, choices=()):
    found = across.compare_across(rows, choices, "pairs")
    assert found is not None
    return found


def comparison_of(found, row, against="source_only"):
    (entry,) = [x for x in found["comparisons"] if (x["row"], x["against"]) == (row, against)]
    return entry


def test_averages_are_over_tasks():
    found = compare(make_rows())
    assert found["tasks"] == [f"a>{index}" for index in range(6)]
    assert found["rows"] == ["source_only", "dann"]
    assert found["average"]["source_only"] == pytest.approx(sum(SOURCE_ONLY) / 6)
    np.testing.assert_allclose(found["accuracy"]["dann"], np.add(SOURCE_ONLY, GAINS))
    entry = comparison_of(found, "dann")
    assert entry["mean"] == pytest.approx(sum(GAINS) / 6)
    assert (entry["wins"], entry["n"]) == (5, 6)


def test_tests_are_paired_by_task():
    entry = comparison_of(compare(make_rows()), "dann")
    dann = np.add(SOURCE_ONLY, GAINS)
    paired = stats.ttest_rel(dann, SOURCE_ONLY)
    assert entry["p_value"] == pytest.approx(paired.pvalue)
    unpaired: Any = stats.ttest_ind(dann, SOURCE_ONLY)
    assert entry["p_value"] < 0.05 < 0.7 < unpaired.pvalue
    np.testing.assert_allclose(entry["ci95"], paired.confidence_interval(0.95))
    # Ranks of the sizes are 4 2 6 1 3 5, the one of the loss 1: of the 64 sets of signs, those with
    # a sum of negative ranks of 0 and 1 are as odd as this, and as many at the other end.
    assert entry["signed_rank_p_value"] == pytest.approx(4 / 64)


def test_holm_is_over_the_rows_compared_with_the_same_row():
    better = [value + 0.05 + 0.001 * index for index, value in enumerate(SOURCE_ONLY)]
    found = compare(make_rows(linear_svm=better, mcc=[*better[:5], 0.6]))
    raw = {x["row"]: x["signed_rank_p_value"] for x in found["comparisons"][:3]}
    assert [x["against"] for x in found["comparisons"]] == ["source_only"] * 3 + ["linear_svm"] * 2
    # The one with all six tasks better is the smallest, and is multiplied by three.
    assert raw["linear_svm"] == pytest.approx(2 / 64)
    corrected = {x["row"]: x["holm_p_value"] for x in found["comparisons"][:3]}
    assert corrected["linear_svm"] == pytest.approx(6 / 64)
    assert corrected["dann"] == pytest.approx(max(6 / 64, 2 * raw["dann"]))
    assert corrected["mcc"] == pytest.approx(max(corrected["dann"], raw["mcc"]))
    against = comparison_of(found, "dann", "linear_svm")
    assert against["wins"] == 0 and against["mean"] < 0


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_few_tasks_are_averaged_and_not_tested(count):
    found = compare(make_rows(count))
    entry = comparison_of(found, "dann")
    assert entry["mean"] == pytest.approx(np.mean(GAINS[:count]))
    tests = ("p_value", "signed_rank_p_value", "holm_p_value", "ci95", "superiority")
    assert not any(key in entry for key in tests)
    assert found["superiority"] == {}
    (remark,) = across_section.remarks_across(found)
    assert remark.startswith(f"No interval and no test over tasks: there are {count}, and 6 are")
    assert f"would be {2 / 2**count:.2g}." in remark
    text = "\n".join(across_section.write_across(found, dict.fromkeys(found["tasks"], "x"), []))
    assert "| dann | source_only |" in text and remark in text
    assert "Beta(k" not in text


def test_one_task_is_no_comparison_of_tasks():
    assert across.compare_across(make_rows(1), [], "pairs") is None
    assert across.compare_across(make_rows(6), [], "others") is None


def test_row_that_a_task_lacks_is_left_out_and_named():
    # Missing in the hardest task, its average would be the best of all.
    found = compare(make_rows(mcc=[None, 0.61, 0.71, 0.81, 0.56, 0.66]))
    assert found["rows"] == ["source_only", "dann"]
    assert found["left_out"] == {"mcc": ["a>0"]}
    assert not any(entry["row"] == "mcc" for entry in found["comparisons"])
    assert "mcc is left out of the average: it is missing in 1 of 6 tasks (a>0)." in (
        across_section.remarks_across(found)
    )


def test_other_selections_and_experiments_do_not_count():
    rows = make_rows()
    other = [{**row, "selection": "oracle", "target_accuracy": {}} for row in rows]
    other += [{**row, "experiment": "others", "task": f"{row['task']}'"} for row in rows]
    assert compare([*rows, *other]) == compare(rows)


def test_without_source_only_there_is_no_comparison():
    found = compare([row for row in make_rows() if row["method"] != "source_only"])
    assert found["comparisons"] == []
    assert across_section.remarks_across(found) == [
        "No row can be compared with one row source_only in every task."
    ]
    assert across_section.average_headline(found).startswith(
        "dann is right on 64.9 % of the target's"
    )


def test_tasks_without_a_common_row_are_told_and_not_averaged():
    rows = [make_row("a>0", "dann", spread(0.5)), make_row("a>1", "mcc", spread(0.6))]
    found = compare(rows)
    assert found["rows"] == [] and found["average"] == {}
    assert across_section.average_headline(found) == "No row is there in all 2 tasks."
    with pytest.raises(ValueError, match="no row is there in all tasks"):
        across_figure.accuracy_by_task(found["accuracy"], found["tasks"], {}, title="T")


def test_row_is_compared_with_the_source_only_of_its_settings():
    rows = []
    for index, mean in enumerate(SOURCE_ONLY):
        for setting, gain in (("size=1", 0.0), ("size=2", 0.1)):
            rows.append(make_row(f"a>{index}", f"source_only, {setting}", spread(mean + gain)))
            values = spread(mean + gain + GAINS[index])
            rows.append(make_row(f"a>{index}", f"dann, {setting}", values))
    entry = comparison_of(compare(rows), "dann, size=2", "source_only, size=2")
    assert entry["mean"] == pytest.approx(sum(GAINS) / 6)


def test_ceilings_are_averaged_and_compared_with_nothing():
    found = compare(make_rows(train_on_target=[0.9] * 6, statistics_only=[0.7] * 6))
    assert [entry["row"] for entry in found["comparisons"]] == ["dann"]
    assert found["average"]["train_on_target"] == pytest.approx(0.9)
    assert list(found["superiority"]) == ["source_only", "dann", "statistics_only"]


def test_rounding_is_no_win():
    # 0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1 to the last bit.
    rows = [make_row(f"a>{i}", "source_only", [0.1, 0.2, 0.3]) for i in range(6)]
    rows += [make_row(f"a>{i}", "dann", [0.3, 0.2, 0.1]) for i in range(6)]
    for row in rows:
        row["target_accuracy"]["mean"] = sum(row["target_accuracy"]["values"]) / 3
    entry = comparison_of(compare(rows), "dann")
    assert (entry["wins"], entry["mean"], entry["signed_rank_p_value"]) == (0, 0.0, 1.0)


def test_superiority_comes_from_shared_seeds():
    rows = make_rows()
    found = compare(rows)
    chances = []
    for index in range(6):
        # source_only is spread by .004, dann by .002: over seeds the differences vary by .002.
        t = GAINS[index] / (0.002 / np.sqrt(3))
        chances.append(stats.t.cdf(t, 2))
    expected = statistics.probability_of_superiority(chances)
    assert comparison_of(found, "dann")["superiority"] == pytest.approx(expected)
    assert found["superiority"]["dann"]["source_only"] == pytest.approx(expected)
    assert found["superiority"]["source_only"]["dann"] == pytest.approx(1 - expected)
    rows[1]["target_accuracy"]["seeds"] = [0, 1, 9]
    assert comparison_of(compare(rows), "dann")["superiority"] is None
    assert any(
        "three shared seeds" in remark for remark in across_section.remarks_across(compare(rows))
    )


def test_ranks_over_tasks_leave_ceilings_out():
    last = [0.4, 0.5, 0.6, 0.7, 0.45, 0.55]
    found = compare(make_rows(6, train_on_target=[0.9] * 6, mcc=last))["ranks"]
    # dann is better than source_only in five of six tasks, mcc always the worst.
    expected = {"dann": 7 / 6, "source_only": 11 / 6, "mcc": 3.0}
    assert found["ranks"] == {name: pytest.approx(rank) for name, rank in expected.items()}
    assert (found["n"], found["difference"]) == (
        6,
        pytest.approx(2.343 * np.sqrt(12 / 36), abs=1e-3),
    )
    cells = rank_section.rank_cells(found)
    assert cells == [["dann", "1.17", "a"], ["source_only", "1.83", "a b"], ["mcc", "3.00", "b"]]
    text = "\n".join(rank_section.write_ranks(found))
    assert "### Average ranks over tasks" in text and "Critical difference 1.35 over 6" in text


@pytest.mark.parametrize(
    ("count", "others", "reason"),
    [
        (5, {"mcc": [0.5] * 5}, "there are 5 tasks, and 6 are needed"),
        (6, {}, "there are 2 rows, and 3 are needed"),
    ],
)
def test_ranks_are_refused_with_the_reason(count, others, reason):
    found = compare(make_rows(count, **others))["ranks"]
    assert reason in found["refused"] and list(found) == ["refused"]
    assert reason in "\n".join(rank_section.write_ranks(found))


def make_choice(task, row):
    return {"experiment": "pairs", "task": task, "method": "dann", "row": row}


def test_chosen_rows_stand_for_their_method():
    rows, choices = [], []
    for index, mean in enumerate(SOURCE_ONLY):
        task = f"a>{index}"
        rows.append(make_row(task, "source_only", spread(mean)))
        # The last task has one setting alone, and needs no choice.
        settings = (0.1, 0.3) if index < 5 else (0.1,)
        for setting in settings:
            values = spread(mean + 0.1 * setting + 0.001 * index)
            rows.append(
                make_row(task, f"dann, strength={setting}" if index < 5 else "dann", values)
            )
        if index < 5:
            setting = settings[index % 2]
            choices.append(make_choice(task, f"dann, strength={setting}"))
    found = compare(rows, choices)
    assert found["rows"] == ["source_only", "dann, chosen"] and found["left_out"] == {}
    gains = [0.1 * (0.1, 0.3)[index % 2 if index < 5 else 0] + 0.001 * index for index in range(6)]
    np.testing.assert_allclose(comparison_of(found, "dann, chosen")["values"], gains)
    assert across_section.average_headline(found).startswith("dann, chosen is right on")
    # Without a choice in one task there is no such row.
    fewer = compare(rows, choices[1:])
    assert "dann, chosen" not in fewer["rows"]
    assert set(fewer["left_out"]) == {"dann", "dann, strength=0.1", "dann, strength=0.3"}


def test_section_links_its_tasks_and_says_the_average():
    found = compare(make_rows(6, **{"a|b": [0.5] * 6}))
    found["figure"] = {"file": "figures/x.png", "reading": "How to read it."}
    anchors = {task: f"anchor_{index}" for index, task in enumerate(found["tasks"])}
    text = "\n".join(across_section.write_across(found, anchors, []))
    assert (
        "**dann is right on 64.9 % of the target's test examples at the last step, on average "
        in text
    )
    assert (
        "over 6 tasks, +1.6 points against source_only (95 % interval over tasks \\[+0.3, +2.9"
        in text
    )
    assert "it is better in 5 of 6.**" in text
    assert "| [a → 0](#anchor_0) | 50.0 | 52.0 | 50.0 |" in text
    assert "| average | 63.3 | 64.9 | 50.0 |" in text
    assert "| better than source_only | - | 5 of 6 | 0 of 6 |" in text
    assert "a\\|b" in text
    assert "probability of superiority is no p value" in text
    assert "p_value" not in text.partition("superior")[2]


def test_published_averages_stand_below_ours():
    names = {"a>0": "tfds:mnist>tfds:usps", "a>1": "tfds:usps>tfds:mnist"}
    rows = [{**row, "task": names[row["task"]]} for row in make_rows(2)]
    header, lines = across_section.average_table(compare(rows))
    assert header == ["task", "source_only", "dann"]
    assert lines[-1][0].startswith("published average, Transfer Learning Library")
    assert lines[-1][1:] == ["78.4", "93.4"] or lines[-1][1:] == ["78.3", "93.5"]


def test_many_tasks_begin_at_five():
    entries = [{"experiment": str(count), "tasks": ["t"] * count} for count in (2, 4, 5, 12)]
    assert across.with_many_tasks(entries) == {"5", "12"}


@pytest.mark.parametrize("count", [2, 12])
def test_figure_shows_every_task_and_the_average(count):
    rng = np.random.default_rng(0)
    names = ["source_only", "dann", "linear_svm", "train_on_target"]
    accuracy = {name: rng.uniform(0.5, 0.9, count).tolist() for name in names}
    tasks = [f"tfds:amazon_reviews/books>tfds:amazon_reviews/t{index}" for index in range(count)]
    figure = across_figure.accuracy_by_task(accuracy, tasks, colors_of(names), title="T")
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [*(f"books → t{index}" for index in range(count)), "average"]
    places = np.concatenate([np.asarray(own.get_offsets()) for own in axes.collections])
    assert len(places) == len(names) * (count + 1)
    for name in names:
        assert np.isclose(places[:, 0], 100 * np.mean(accuracy[name])).any()
