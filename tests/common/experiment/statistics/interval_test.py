import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from common.experiment import statistics
from common.experiment.statistics import interval


def interval_of(values):
    interval = statistics.confidence_interval(values)
    assert interval is not None
    return interval


def test_interval_of_few_values_is_students():
    # By the table, t(0.975, 4 degrees of freedom) is 2.776445.
    half = 2.776445 * np.sqrt(2.5) / np.sqrt(5)
    np.testing.assert_allclose(
        interval_of([1.0, 2.0, 3.0, 4.0, 5.0]), (3 - half, 3 + half), rtol=1e-6
    )


def coverage(ends, truth):
    return np.mean((ends[0] <= truth) & (truth <= ends[1]))


@pytest.mark.parametrize("n", [3, 5, 12])
def test_students_interval_covers_as_often_as_it_says(n):
    draws = np.random.default_rng(n).normal(0.7, 0.03, (4000, n))
    # Two points are nearly six standard errors of this simulation.
    assert abs(coverage(interval.student_ends(draws), 0.7) - 0.95) <= 0.02
    # What the rule for few seeds is for.
    few = interval.bootstrap_ends(draws[:500], 499)
    assert n > 5 or coverage(few, 0.7) < 0.9


def test_bootstrap_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(1).normal(0.7, 0.03, (2000, 50))
    ends = interval.bootstrap_ends(draws, 499)
    assert abs(coverage(ends, 0.7) - 0.95) <= 0.02
    # For normal data the width is known much more sharply than the coverage.
    width = 2 * stats.t.ppf(0.975, 49) * draws.std(1, ddof=1).mean() / np.sqrt(50)
    assert np.diff(ends, axis=0).mean() == pytest.approx(width, rel=0.05)


def test_many_samples_have_the_ends_of_single_ones():
    draws = np.random.default_rng(0).exponential(size=(3, 24))
    ends = interval.bootstrap_ends(draws)
    for index, values in enumerate(draws.tolist()):
        np.testing.assert_allclose(interval_of(values), ends[:, index], rtol=1e-9)


def test_bootstrap_interval_leans_to_the_long_tail():
    values = np.random.default_rng(0).exponential(size=40)
    low, high = interval_of(values.tolist())
    assert high - values.mean() > 1.1 * (values.mean() - low)
    # The percentile interval, which knows no acceleration, ends three times as far away as this.
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=99_999, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose((low, high), expected, atol=0.012)


def test_bootstrap_starts_at_twenty_values():
    values = np.random.default_rng(0).exponential(size=20).tolist()

    def is_symmetric(few):
        low, high = interval_of(few)
        return low + high == pytest.approx(2 * np.mean(few))

    assert is_symmetric(values[:19])
    assert not is_symmetric(values)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.7]])
def test_fewer_than_three_values_have_no_interval(values):
    assert statistics.confidence_interval(values) is None


@pytest.mark.parametrize("n", [3, 19, 20, 50])
def test_equal_values_have_an_interval_of_no_width(n):
    assert statistics.confidence_interval([0.1] * n) == (0.1, 0.1)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=24))
def test_interval_is_finite_and_ordered(values):
    low, high = interval_of(values)
    assert np.isfinite([low, high]).all() and low <= high


def test_standard_deviation_is_the_samples():
    assert statistics.standard_deviation([1.0, 3.0]) == pytest.approx(np.sqrt(2))
    assert statistics.standard_deviation([1.0]) is None
    assert statistics.standard_deviation([]) is None


def test_binomial_standard_error():
    # 600 test pictures at an accuracy of a half: about two points.
    assert statistics.binomial_standard_error(0.5, 600) == pytest.approx(0.0204, abs=1e-4)
    assert statistics.binomial_standard_error(1.0, 600) == 0
    assert statistics.binomial_standard_error(0.5, 0) is None
