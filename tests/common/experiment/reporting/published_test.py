import numpy as np
import pytest

from common.experiment.reporting import published

MNIST_M = published.MNIST_M
# DANN / plain network / linear support vector machine, as the paper's table 1 has them.
TABLE_1 = (
    "B→D .784/.790/.799 · B→E .733/.747/.748 · B→K .779/.778/.769 · D→B .723/.720/.743 · "
    "D→E .754/.732/.748 · D→K .783/.778/.746 · E→B .713/.709/.705 · E→D .738/.733/.726 · "
    "E→K .854/.854/.847 · K→B .709/.708/.707 · K→D .740/.739/.736 · K→E .843/.841/.842"
)
PRODUCTS = {"B": "books", "D": "dvd", "E": "electronics", "K": "kitchen"}


def make_row(name, mean, ci95=None, n=3):
    method = name.partition(",")[0]
    return {"name": name, "method": method, "n": n, "target_accuracy": {"mean": mean, "ci95": ci95}}


def numbers_of(task, part):
    (found,) = [own for source, own in published.NUMBERS[task].items() if part in source.name]
    return found


def test_reviews_are_those_of_the_papers_table():
    tasks = []
    for cell in TABLE_1.split(" · "):
        pair, values = cell.split()
        source, target = (PRODUCTS[letter] for letter in pair.split("→"))
        tasks.append(f"tfds:amazon_reviews/{source}>tfds:amazon_reviews/{target}")
        dann, network, machine = map(float, values.split("/"))
        assert numbers_of(tasks[-1], "table 1") == {
            "dann": dann,
            "source_only": network,
            "linear_svm": machine,
        }
    assert len(set(tasks)) == 12
    (average,) = published.average_of_published(tasks).values()
    # The means that the paper's text is usually quoted with.
    assert {name: round(value, 3) for name, value in average.items()} == {
        "dann": 0.763,
        "source_only": 0.761,
        "linear_svm": 0.760,
    }


@pytest.mark.parametrize(
    ("task", "source", "values"),
    [
        (MNIST_M, "JMLR", (0.5225, 0.7666, 0.9596)),
        (MNIST_M, "ICML", (0.5749, 0.8149, 0.9891)),
        ("tfds:synthetic_digits>tfds:svhn_cropped", "JMLR", (0.8674, 0.9109, 0.9220)),
        ("tfds:svhn_cropped>tfds:mnist", "JMLR", (0.5490, 0.7385, 0.9942)),
        ("tfds:svhn_cropped>tfds:mnist", "Library", (0.741, 0.908)),
        ("tfds:mnist>tfds:usps", "Library", (0.821, 0.917)),
        ("tfds:usps>tfds:mnist", "Library", (0.746, 0.952)),
    ],
)
def test_digits_are_those_of_the_papers(task, source, values):
    rows = ("source_only", "dann", "train_on_target")
    assert numbers_of(task, source) == dict(zip(rows, values, strict=False))


def test_remark_on_the_share_of_the_gap_is_right():
    own = numbers_of(MNIST_M, "JMLR")
    low, high = own["source_only"], own["train_on_target"]
    assert round(100 * (own["dann"] - low) / (high - low), 1) == 55.8


def test_every_number_is_a_share_and_has_remarks():
    for task, tables in published.NUMBERS.items():
        assert task.startswith("tfds:") and task.count(">tfds:") == 1
        for source, own in tables.items():
            assert source.remarks
            assert all(0.5 < value < 1 for value in own.values())
    assert published.TASK_REMARKS.keys() <= published.NUMBERS.keys()


def test_lines_hold_what_either_side_has():
    rows = [make_row("dann", 0.75, [0.74, 0.76]), make_row("mcc", 0.7)]
    compared = published.compare_with_published(MNIST_M, rows)
    assert compared is not None
    lines = [(line["row"], line["ours"], line["published"]) for line in compared["rows"]]
    ours = {"mean": 0.75, "ci95": [0.74, 0.76]}
    assert lines == [
        ("dann", ours, 0.7666),
        ("dann", ours, 0.8149),
        ("mcc", {"mean": 0.7, "ci95": None}, None),
        ("source_only", None, 0.5225),
        ("train_on_target", None, 0.9596),
        ("source_only", None, 0.5749),
        ("train_on_target", None, 0.9891),
    ]
    differences = [line["difference"] for line in compared["rows"]]
    np.testing.assert_allclose(differences[:2], [-0.0166, -0.0649])
    assert differences[2:] == [None] * 5
    text = "\n".join(published.write_published(compared))
    assert "| dann | 3 | 75.0 ± 1.0 | 76.66 | -1.7 | Ganin et al., JMLR" in text
    assert "| mcc | 3 | 70.0 | - | - | - |" in text
    assert "| source\\_only |" not in text
    assert "| source_only | - | - | 52.25 | - | Ganin et al., JMLR" in text
    for remark in ("linear support vector machine", "number of steps", "55.8 %", "disjoint_halves"):
        assert remark in text


def test_published_digits_are_kept():
    written = [published._write_exactly(value) for value in (0.5225, 0.790, 0.741, 0.922, None)]
    assert written == ["52.25", "79.0", "74.1", "92.2", "-"]


def test_every_setting_of_a_method_stands_beside_its_number():
    rows = [make_row("dann, strength=0.1", 0.7), make_row("dann, strength=1.0", 0.8)]
    compared = published.compare_with_published("tfds:mnist>tfds:usps", rows)
    assert compared is not None
    assert [line["published"] for line in compared["rows"]] == [0.917, 0.917, 0.821]


@pytest.mark.parametrize("task", ["synthetic_digits>digits", "tfds:mnist_m>tfds:mnist", ""])
def test_other_tasks_have_no_published_number(task):
    assert published.compare_with_published(task, [make_row("dann", 0.7)]) is None


def test_average_is_over_what_all_tasks_have():
    usps = ("tfds:mnist>tfds:usps", "tfds:usps>tfds:mnist")
    (average,) = published.average_of_published([*usps, "tfds:svhn_cropped>tfds:mnist"]).values()
    assert average == {
        "source_only": pytest.approx((0.821 + 0.746 + 0.741) / 3),
        "dann": pytest.approx((0.917 + 0.952 + 0.908) / 3),
    }
    assert published.average_of_published([*usps, MNIST_M]) == {}
    assert published.average_of_published([*usps, "synthetic_digits>digits"]) == {}
    assert published.average_of_published([]) == {}
