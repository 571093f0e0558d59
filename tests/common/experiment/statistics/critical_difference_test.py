import numpy as np
import pytest
from scipy import stats

from common.experiment import statistics

# Demsar, JMLR 7 (2006), table 6: areas under the curve of C4.5 on 14 data sets, without and with
# two parameters tuned. Of the last but one, ranks 2 and 3 are given for what prints as equal.
DEMSAR = {
    "c4.5": (0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661)
    + (0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957),
    "c4.5+m": (0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668)
    + (0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978),
    "c4.5+cf": (0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609)
    + (0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946),
    "c4.5+m+cf": (0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685)
    + (0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970),
}


def analysis_of_variance(values):
    """The F test of two-way ranks: Iman and Davenport's, by another way."""
    ranks = stats.rankdata(-np.asarray(list(values.values())), axis=0)
    rows, tasks = ranks.shape
    between = tasks * np.sum((ranks.mean(1) - ranks.mean()) ** 2)
    rest = np.sum((ranks - ranks.mean(1)[:, None] - ranks.mean(0)[None] + ranks.mean()) ** 2)
    freedom = (rows - 1) * (tasks - 1)
    return stats.f.sf(between / (rows - 1) / (rest / freedom), rows - 1, freedom)


def test_published_example():
    found = statistics.critical_difference(DEMSAR)
    expected = {"c4.5+m+cf": 1.964, "c4.5+m": 2.000, "c4.5+cf": 2.893, "c4.5": 3.143}
    assert list(found.ranks) == list(expected) and found.n == 14
    np.testing.assert_allclose(list(found.ranks.values()), list(expected.values()), atol=5e-4)
    assert found.difference == pytest.approx(1.25, abs=0.005)
    # "The post-hoc test is not powerful enough": the extremes differ by 1.18.
    assert found.groups == [list(expected)] and found.p_value < 0.05
    assert found.p_value == pytest.approx(analysis_of_variance(DEMSAR))


@pytest.mark.parametrize(
    # Table 5(a) of the same paper: critical values for the two-tailed Nemenyi test at 0.05.
    ("rows", "value"),
    [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (10, 3.164)],
)
def test_published_critical_values(rows, value):
    table = np.random.default_rng(rows).uniform(size=(rows, 6))
    found = statistics.critical_difference({str(i): own.tolist() for i, own in enumerate(table)})
    expected = value * np.sqrt(rows * (rows + 1) / 36)
    assert found.difference == pytest.approx(expected, abs=1e-3)
    assert found.p_value == pytest.approx(
        analysis_of_variance(dict(enumerate(table.tolist()))), rel=1e-6
    )


def test_rows_that_always_come_in_one_order():
    values = {str(row): [row + task / 100 for task in range(12)] for row in range(5)}
    found = statistics.critical_difference(values)
    assert found.ranks == {"4": 1.0, "3": 2.0, "2": 3.0, "1": 4.0, "0": 5.0}
    assert found.p_value == 0.0
    # 2.728 times the root of 30 / 72: ranks that differ by one cannot be told apart.
    assert found.difference == pytest.approx(1.761, abs=1e-3)
    assert found.groups == [["4", "3"], ["3", "2"], ["2", "1"], ["1", "0"]]


def test_rows_without_a_difference_are_one_group():
    found = statistics.critical_difference(dict.fromkeys("abc", [0.5] * 6))
    assert (set(found.ranks.values()), found.p_value) == ({2.0}, 1.0)
    assert found.groups == [["a", "b", "c"]]


def test_values_that_are_equal_but_for_rounding_share_a_rank():
    values = {"a": [0.1 + 0.2] * 6, "b": [0.3] * 6, "c": [0.1] * 6}
    assert statistics.critical_difference(values).ranks == {"a": 1.5, "b": 1.5, "c": 3.0}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (dict.fromkeys("abc", [0.1] * 5), "there are 5 tasks, and 6 are needed"),
        (dict.fromkeys("ab", [0.1] * 6), "there are 2 rows, and 3 are needed"),
        ({}, "there are 0 tasks"),
    ],
)
def test_few_tasks_or_rows_are_refused(values, reason):
    assert reason in (statistics.refuse_ranks(values) or "")
    with pytest.raises(ValueError, match=reason):
        statistics.critical_difference(values)
