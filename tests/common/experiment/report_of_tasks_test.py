"""Reports over several tasks and experiments."""

import json
import re
import shutil

import numpy as np
import pytest

from common.experiment import report
from common.experiment.reporting import across_figure, drawing
from tests.made_up_runs import row_of, summarize, write_outputs, write_run

SEEDS = (0, 1, 2)
METHODS = ("source_only", "dann", "train_on_target")
PRODUCTS = ("books", "dvd", "electronics")


def edit_result(folder, **changes):
    path = folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def write_task(experiment, task, methods=METHODS, seeds=SEEDS, gain=0.0):
    """Writes the runs of a task, each in a folder that no other task has."""
    for method in methods:
        for seed in seeds:
            accuracy = 0.6 + gain + 0.1 * METHODS.index(method) + 0.005 * seed
            own = write_run(experiment, method, seed, accuracy, task=task)
            name = re.sub(r"/|:", "-", f"{task[0]}+{task[1]}-{own.name}")
            yield own.rename(own.parent / name)


def write_pairs(workdir, count=6):
    experiment = workdir / "reviews"
    products = ("books", "dvd", "electronics", "kitchen")
    pairs = [(a, b) for a in products for b in products if a != b][:count]
    for index, pair in enumerate(pairs):
        task = tuple(f"tfds:amazon_reviews/{name}" for name in pair)
        list(write_task(experiment, task, gain=0.01 * index))
    return experiment


class _Figure:
    """Writes what it should show in place of a picture."""

    def __init__(self, group):
        self.text = " ".join(str(run.folder) for run in group)

    def savefig(self, path, **kwargs):
        path.write_text(self.text)


def draw_text_alone(monkeypatch):
    """Has one figure a task, which takes no time."""
    monkeypatch.setattr(
        drawing, "_figure_makers", lambda group: {"accuracy_by_method": lambda: _Figure(group)}
    )
    monkeypatch.setattr(drawing, "save", lambda figure, path: figure.savefig(path))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    experiment = write_pairs(tmp_path_factory.mktemp("many"))
    return experiment, report.write_report([experiment])


def assert_links_end(text, folder):
    """Asserts that anchors are unique, and that every link and figure exists."""
    anchors = re.findall(r'<a id="([^"]*)"></a>', text)
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(anchors)
    for file in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text):
        assert (folder / file).is_file()
    headings = [line for line in text.splitlines() if line.startswith(("# ", "## "))]
    assert len(set(headings)) == len(headings)


def test_many_tasks_have_one_figure_and_short_sections(many):
    experiment, made = many
    assert [path.name for path in made.figures] == ["reviews_accuracy_by_task.png"]
    text = made.path.read_text()
    assert_links_end(text, experiment / "report")
    assert [task["figures"] for task in made.summary["tasks"]] == [{}] * 6
    assert text.index("## Across tasks: reviews") < text.index("## reviews: tfds:amazon")
    visible = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    for part in ("### Selection oracle", "### Protocol", "### Cost"):
        assert text.count(part) == 6 and part not in visible
    assert visible.count("### Selection last") == 6
    assert visible.count("### Published numbers") == 6
    # What the published numbers differ in is told once, and not under each pair.
    assert text.count("C chosen on the source alone is another protocol") == 1
    assert text.count('model.name = "cnn"') == 1
    assert len(visible.splitlines()) < 40 * 6


def test_average_of_many_tasks_is_first_on_the_terminal_too(many):
    text = report.format_table(many[1].summary)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert " ".join(text.split()).startswith(
        "reviews: dann is right on 73.0 % of the target's test examples at the last step, on "
        "average over 6 tasks, +10.0 points against source_only (95 % interval over tasks [+10.0, "
        "+10.0]); it is better in 6 of 6."
    )
    assert any(re.fullmatch(r"books → dvd +60\.5 +70\.5 +80\.5", line) for line in lines)
    assert text.count("last: the weights after the last step") == 1
    assert len(re.findall("method .* oracle", text)) == 6


def test_keys_that_others_read_stay(many):
    summary = json.loads((many[0] / "report" / "summary.json").read_text())
    assert summary == many[1].summary
    assert summary.keys() == {
        *("experiment", "rows", "tasks", "incomplete", "failed", "notes"),
        *("across", "choices", "rules", "published", "unlabelled", "measured"),
        *("cross_validation", "pretraining"),
    }
    assert summary["across"][0]["average"] == {
        "source_only": pytest.approx(0.63),
        "dann": pytest.approx(0.73),
        "train_on_target": pytest.approx(0.83),
    }
    assert len(summary["rows"]) == 6 * 3 * 4 and len(summary["published"]) == 6


def test_tasks_with_missing_and_failed_runs_are_named(many, tmp_path):
    experiment = shutil.copytree(many[0], tmp_path / "reviews")
    for folder in experiment.glob("tfds-amazon_reviews-books+*dvd-dann*"):
        (folder / "result.json").unlink()
        (folder / "failure.json").write_text('{"reason": "the loss is not finite", "step": 3}')
    (one,) = experiment.glob("*books+tfds-amazon_reviews-kitchen-dann-seed1*")
    (one / "result.json").write_text("{")
    made = report.write_report([experiment])
    (across,) = made.summary["across"]
    assert across["rows"] == ["source_only", "train_on_target"]
    assert across["left_out"] == {"dann": ["tfds:amazon_reviews/books>tfds:amazon_reviews/dvd"]}
    for text in (made.path.read_text(), report.format_table(made.summary)):
        told = " ".join(text.split())
        assert "dann is left out of the average: it is missing in 1 of 6 tasks" in told
        assert "the loss is not finite (step 3)" in told
        assert "reviews/kitchen: dann: no finished run of seed 1; such pairs are dropped" in (
            told.replace("\\", "")
        )


def test_figure_that_cannot_be_drawn_is_named_and_no_stale_one_stays(many, tmp_path, monkeypatch):
    experiment = shutil.copytree(many[0], tmp_path / "reviews")
    figure = experiment / "report" / "figures" / "reviews_accuracy_by_task.png"
    assert figure.is_file()

    def refuse(*args, **kwargs):
        raise ValueError("no ink")

    monkeypatch.setattr(across_figure, "accuracy_by_task", refuse)
    made = report.write_report([experiment])
    assert "reviews: no figure accuracy_by_task: no ink" in made.path.read_text()
    assert not figure.exists() and made.figures == []


def test_settings_that_differ_between_tasks_are_told(many, tmp_path):
    experiment = shutil.copytree(many[0], tmp_path / "reviews")
    for path in experiment.glob("*books+tfds-amazon_reviews-dvd-*/config.json"):
        about = json.loads(path.read_text())
        about["config"]["model"]["name"] = "mlp"
        path.write_text(json.dumps(about))
    text = report.write_report([experiment]).path.read_text()
    assert "Settings of tasks; a dash where the rows of a task differ" in text
    assert '| tfds:amazon_reviews/books>tfds:amazon_reviews/dvd | "mlp" |' in text
    assert 'model.name = "cnn"' not in text and "num_steps = 700" in text


def test_without_dann_the_headline_is_of_the_highest_row(tmp_path, monkeypatch):
    draw_text_alone(monkeypatch)
    for method, accuracy in (("source_only", 0.5), ("coral", 0.6), ("mcc", 0.7), ("mmd", 0.65)):
        for seed in SEEDS:
            write_run(tmp_path / "made", method, seed, accuracy)
    text = report.write_report([tmp_path / "made"]).path.read_text()
    assert "**At best, mcc is right on 70.0 % of the target's test examples" in text


def test_choices_and_published_numbers_reach_the_report(tmp_path, monkeypatch):
    draw_text_alone(monkeypatch)
    experiment = tmp_path / "mnist_to_mnist_m"
    task = ("tfds:mnist", "tfds:mnist_m/published")
    list(write_task(experiment, task, ("source_only",)))
    for strength, score in ((0.1, 0.91), (1.0, 0.95)):
        for seed in SEEDS:
            own = write_run(
                experiment, "dann", seed, 0.8 - 0.1 * strength, strength=strength, task=task
            )
            result = json.loads((own / "result.json").read_text())
            result["selections"]["last"]["score/reverse_validation"] = score
            edit_result(own, selections=result["selections"])
    made = report.write_report([experiment])
    (choice,) = made.summary["choices"]
    assert (choice["experiment"], choice["task"]) == ("mnist_to_mnist_m", ">".join(task))
    assert (choice["method"], choice["row"]) == ("dann", "dann, strength=1.0")
    assert choice["settings"] == {"alignment.domain_adversarial.strength": 1.0}
    assert choice["score"] == pytest.approx(0.95)
    assert choice["regret"] == pytest.approx(0.09)
    text = made.path.read_text()
    assert "## Chosen without target labels" in text
    assert "**dann, strength=1.0 is right on 70.0 % of the target's test examples" in text
    assert re.search(r"\| source_only \| 3 \| 60.5 ± 1.2 \| 52.25 \| \+8.[23] \| Ganin et al", text)
    assert "| train_on_target | - | - | 95.96 | - | Ganin et al., JMLR" in text
    assert text.index("### Published numbers") < text.index("### Protocol")
    assert "across tasks" not in text.lower() and made.summary["across"] == []
    # Files of one task alone have plain names.
    assert "accuracy_by_method.png" in [path.name for path in made.figures]


def test_several_experiments_keep_their_names_apart(tmp_path, monkeypatch):
    # All of these become the same letters in the name of a file.
    for name in ("a-b", "a_b", "A_b"):
        list(write_task(tmp_path / name, ("x", "y"), ("source_only", "dann"), (0,)))
    list(write_task(tmp_path / "a-b", ("x", "y:z"), ("source_only", "dann"), (0,)))
    list(write_task(tmp_path / "a-b", ("x:y", "z"), ("source_only", "dann"), (0,)))
    draw_text_alone(monkeypatch)
    made = report.write_report(sorted(tmp_path.iterdir()), tmp_path / "out")
    text = made.path.read_text()
    assert text.startswith("# A_b, a-b, a_b\n")
    assert_links_end(text, tmp_path / "out")
    shown = re.findall(r"\]\((figures/[^)]*)\)", text)
    assert len(shown) == len({file.lower() for file in shown}) == 6
    drawn = {
        path.read_text() for path in made.figures if path.name.endswith("accuracy_by_method.png")
    }
    assert len(drawn) == 5
    assert "Experiments:" in text and "- [a-b](#" in text
    (across,) = made.summary["across"]
    assert across["experiment"] == "a-b" and len(across["tasks"]) == 3
    again = report.write_report(sorted(tmp_path.iterdir()), tmp_path / "out")
    assert again.path.read_text() == text


def test_names_of_files_are_letters_and_differ():
    keys = [("ドメイン", "源>的"), ("ドメイン", "源>他"), ("a", "../b"), ("A_b", ""), ("", "")]
    names = report._file_names(keys)
    assert list(names) == keys
    assert list(names.values()) == ["task", "task_2", "a_b", "A_b_2", "task_3"]


def test_figures_of_vectors_leave_out_what_vectors_have_not(tmp_path):
    experiment = tmp_path / "reviews"
    task = ("tfds:amazon_reviews/books", "tfds:amazon_reviews/dvd")
    for folder in write_task(experiment, task, ("source_only", "dann")):
        result = json.loads((folder / "result.json").read_text())
        for chosen in result["selections"].values():
            chosen["oracle/target_test_confusion"] = [[150, 50], [40, 160]]
        classes = ["negative", "positive"]
        edit_result(folder, selections=result["selections"], example_shape=[5000], classes=classes)
        if result["seed"] == 0:
            write_outputs(folder, 0)
            with np.load(folder / "outputs.npz") as arrays:
                own = dict(arrays)
            for name in ("source_val", "target_test"):
                own[f"{name}/image"] = np.zeros((40, 5000), np.float32)
            own["source_val/label"] = own["oracle/target_test_label"] = np.arange(40) % 2
            np.savez_compressed(folder / "outputs.npz", **own)
    made = report.write_report([experiment])
    entries = made.summary["tasks"][0]["figures"]
    assert sorted(entries) == [
        *("accuracy_by_method", "accuracy_by_rule", "confusion", "embedding", "embedding_pca"),
        *("per_class_change", "training_curves"),
    ]
    assert not any("reason" in entry for entry in entries.values())
    assert made.path.read_text().endswith("## What is missing or went wrong\n\nNothing.\n")


def test_rows_of_one_task_are_not_changed_by_others(many):
    experiment, made = many
    task = "tfds:amazon_reviews/books>tfds:amazon_reviews/kitchen"
    alone = summarize(*experiment.glob("tfds-amazon_reviews-books+tfds-amazon_reviews-kitchen-*"))
    (row,) = [
        row
        for row in made.summary["rows"]
        if (row["task"], row["name"], row["selection"]) == (task, "dann", "last")
    ]
    assert row == row_of(alone, "dann")
