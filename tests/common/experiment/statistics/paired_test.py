import numpy as np
import pytest
from scipy import stats

from common.experiment import statistics


def test_paired_difference_agrees_with_scipy():
    rng = np.random.default_rng(0)
    base = dict(enumerate(rng.normal(0.57, 0.03, 8).tolist()))
    shifts = rng.normal(0.01, 0.02, 8).tolist()
    row = {seed: base[seed] + shift for seed, shift in enumerate(shifts)}
    found = statistics.paired_difference(row, base)
    expected = stats.ttest_rel(list(row.values()), list(base.values()))
    assert found is not None
    assert found.p_value == pytest.approx(expected.pvalue)
    np.testing.assert_allclose(np.asarray(found.ci95), expected.confidence_interval(0.95))
    assert found.n == 8


def test_paired_difference_takes_shared_seeds_alone():
    found = statistics.paired_difference(
        {3: 0.9, 1: 0.7, 2: 0.5, 9: 0.0}, {1: 0.5, 2: 0.4, 3: 0.6, 7: 1.0}
    )
    assert found is not None
    assert found.seeds == [1, 2, 3]
    np.testing.assert_allclose(found.values, [0.2, 0.1, 0.3])
    assert found.mean == pytest.approx(0.2)
    assert statistics.paired_difference({1: 0.5}, {2: 0.5}) is None


@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_equal_differences_have_no_p_value(shift):
    base = {0: 0.25, 1: 0.5, 2: 0.625}
    row = {seed: value + shift for seed, value in base.items()}
    found = statistics.paired_difference(row, base)
    assert found is not None
    assert (found.p_value, found.ci95) == (None, (shift, shift))
    # These are equal but for rounding.
    differences = [0.8 - 0.7, 0.7 - 0.6, 0.3 - 0.2]
    assert len(set(differences)) > 1 and statistics.t_test(differences) is None


def test_two_shared_seeds_have_neither_interval_nor_p_value():
    found = statistics.paired_difference({0: 0.5, 1: 0.7}, {0: 0.4, 1: 0.5})
    assert found is not None
    assert (found.ci95, found.p_value, found.n) == (None, None, 2)


def test_t_test_agrees_with_scipy_on_both_sides():
    values = np.random.default_rng(0).normal(0.01, 0.02, 9)
    expected = stats.ttest_1samp(values, 0)[1]
    assert statistics.t_test(values.tolist()) == pytest.approx(expected)
    assert statistics.t_test((-values).tolist()) == pytest.approx(expected)
    assert statistics.t_test([0.1, 0.2]) is None


def test_win_probability_is_students():
    values = [0.01, 0.03, -0.01, 0.02]
    # The mean is .0125, its standard error .00854, so t is 1.4639 with 3 degrees of freedom.
    assert statistics.win_probability(values) == pytest.approx(stats.t.cdf(1.46385, 3), abs=1e-5)
    assert statistics.win_probability([-x for x in values]) == pytest.approx(
        1 - stats.t.cdf(1.46385, 3), abs=1e-5
    )
    assert statistics.win_probability([0.1, 0.2]) is None


@pytest.mark.parametrize(("value", "chance"), [(0.0, 0.5), (0.25, 1.0), (-0.25, 0.0)])
def test_equal_differences_win_for_sure(value, chance):
    assert statistics.win_probability([value] * 3) == chance
