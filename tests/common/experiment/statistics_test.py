import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from common.experiment import statistics

DRAWS = 2000


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


@pytest.mark.parametrize("n", [5, 10])
def test_t_interval_covers_as_often_as_it_says(n):
    draws = np.random.default_rng(n).normal(0.7, 0.03, (DRAWS, n))
    ends = np.asarray([interval_of(values) for values in draws.tolist()])
    covered = np.mean((ends[:, 0] <= 0.7) & (0.7 <= ends[:, 1]))
    # Two points are four standard errors of this simulation.
    assert abs(covered - 0.95) <= 0.02


def test_bootstrap_interval_covers_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(statistics, "NUM_RESAMPLES", 999)
    draws, n = 400, 50
    values = np.random.default_rng(1).normal(0.7, 0.03, (draws, n))
    ends = np.asarray([interval_of(row) for row in values.tolist()])
    covered = np.mean((ends[:, 0] <= 0.7) & (0.7 <= ends[:, 1]))
    # Two points, and three standard errors of a simulation with 400 draws.
    assert abs(covered - 0.95) <= 0.02 + 3 * np.sqrt(0.95 * 0.05 / draws)
    # For normal data the width is known much more sharply than the coverage.
    width = 2 * stats.t.ppf(0.975, n - 1) * values.std(1, ddof=1).mean() / np.sqrt(n)
    assert np.diff(ends).mean() == pytest.approx(width, rel=0.05)


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


@pytest.mark.parametrize(("shift", "p_value"), [(0.0, 1.0), (0.25, 0.0)])
def test_equal_differences_have_a_sure_p_value(shift, p_value):
    base = {0: 0.25, 1: 0.5, 2: 0.625}
    found = statistics.paired_difference({s: v + shift for s, v in base.items()}, base)
    assert found is not None
    assert (found.p_value, found.ci95) == (p_value, (shift, shift))


def test_two_shared_seeds_have_neither_interval_nor_p_value():
    found = statistics.paired_difference({0: 0.5, 1: 0.7}, {0: 0.4, 1: 0.5})
    assert found is not None
    assert (found.ci95, found.p_value, found.n) == (None, None, 2)


def test_gap_covered_is_the_ratio_of_means():
    source, target = {0: 0.5, 1: 0.5, 2: 0.5}, {0: 0.7, 1: 0.8, 2: 0.9}
    found = statistics.gap_covered({0: 0.6, 1: 0.6, 2: 0.6}, source, target)
    # The gains are .1, the gaps .2, .3 and .4; the mean of ratios would be .36.
    assert found is not None
    assert found.mean == pytest.approx(1 / 3)


def test_interval_of_gap_covered_agrees_with_scipy():
    rng = np.random.default_rng(0)
    source, row, target = rng.normal([[0.57], [0.77], [0.99]], 0.03, (3, 12))
    expected = stats.bootstrap(
        (row, source, target),
        lambda a, b, c, axis: (a - b).mean(axis) / (c - b).mean(axis),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    rows = [dict(enumerate(values.tolist())) for values in (row, source, target)]
    found = statistics.gap_covered(*rows)
    assert found is not None
    np.testing.assert_allclose(np.asarray(found.ci95), expected, atol=0.005)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param({0: 0.5, 1: 0.5, 2: 0.5}, id="no gap"),
        pytest.param({0: 0.7, 1: 0.4, 2: 0.55}, id="a gap that may be none"),
        pytest.param({0: 0.3, 1: 0.3, 2: 0.31}, id="a gap below zero"),
        pytest.param({7: 0.9}, id="no shared seed"),
    ],
)
def test_without_a_gap_nothing_is_covered(target):
    source = {0: 0.5, 1: 0.5, 2: 0.5}
    assert statistics.gap_covered({0: 0.6, 1: 0.6, 2: 0.6}, source, target) is None


def test_gap_covered_on_one_seed_has_no_interval():
    found = statistics.gap_covered({0: 0.7}, {0: 0.5}, {0: 0.9})
    assert found is not None
    assert (found.mean, found.ci95, found.n) == (pytest.approx(0.5), None, 1)


def test_gap_covered_has_no_interval_where_a_resample_has_no_gap():
    source, row = (dict.fromkeys(range(5), value) for value in (0.5, 0.7))
    found = statistics.gap_covered(row, source, {0: 0.5, 1: 0.9, 2: 0.9, 3: 0.9, 4: 0.9})
    # The gap is safely above zero, but one resample in 3,125 draws seed 0 alone.
    assert found is not None
    assert (found.mean, found.ci95) == (pytest.approx(0.625), None)


def test_class_shares_leave_out_classes_without_examples():
    shares = statistics.class_shares(np.asarray([[[3, 1], [0, 0]], [[1, 1], [0, 4]]]))
    np.testing.assert_array_equal(
        shares, [[[0.75, 0.25], [np.nan, np.nan]], [[0.5, 0.5], [0.0, 1.0]]]
    )
    np.testing.assert_array_equal(statistics.finite_mean(shares)[1], [0.0, 1.0])
    assert np.isnan(statistics.finite_mean(shares[:1])[1]).all()


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


def signed_rank_by_enumeration(differences):
    sizes = [abs(value) for value in differences]
    # The mean of the places that equal sizes take in order.
    ranks = [
        sum(other < size for other in sizes) + (1 + sum(other == size for other in sizes)) / 2
        for size in sizes
    ]
    observed = sum(rank for rank, value in zip(ranks, differences, strict=True) if value > 0)
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((False, True), repeat=len(ranks))
    ]
    low, high = (np.mean([x <= observed for x in sums]), np.mean([x >= observed for x in sums]))
    return min(1.0, 2 * min(low, high))


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [
        # All of six tasks better: two of 64 sets of signs.
        ([1, 2, 3, 4, 5, 6], 2 / 64),
        ([1, 2, 3, 4, 5], 2 / 32),
        # Ranks of the negative ones sum to 3: {}, {1}, {2}, {3}, {1, 2} are as odd.
        ([1, 2, -3, 4, 5, 6], 2 * 5 / 64),
        ([0, 0, 0], 1.0),
        ([], 1.0),
        # Zeros are left out.
        ([0, 1, 2, 3, 4, 5, 6, 0], 2 / 64),
        # Of the eight sums of the ranks 1.5, 1.5 and 3, only 0 is as far out as 6.
        ([1, 1, 2], 2 / 8),
    ],
)
def test_signed_ranks_by_hand(differences, p_value):
    found = statistics.signed_rank_test([float(value) for value in differences])
    assert found == pytest.approx(p_value)


@given(st.lists(st.integers(-4, 4).filter(bool), min_size=1, max_size=9))
def test_signed_ranks_with_ties_agree_with_enumeration(differences):
    found = statistics.signed_rank_test([value / 16 for value in differences])
    assert found == pytest.approx(signed_rank_by_enumeration(differences))


@pytest.mark.parametrize("n", [6, 12, 30])
def test_signed_ranks_without_ties_agree_with_scipy(n):
    values = np.random.default_rng(n).normal(0.3, 1, n)
    expected = stats.wilcoxon(values, method="exact")[1]
    assert statistics.signed_rank_test(values.tolist()) == pytest.approx(expected)


def test_differences_that_are_equal_but_for_rounding_share_a_rank():
    pairs = [(0.775, 0.75), (0.8, 0.775), (0.55, 0.575), (0.6, 0.575), (0.7, 0.6), (0.9, 0.7)]
    values = [a - b for a, b in pairs]
    assert len(set(map(abs, values[:4]))) > 1
    assert statistics.signed_rank_test(values) == pytest.approx(
        signed_rank_by_enumeration([1, 1, -1, 1, 4, 8])
    )


def test_holm_by_hand():
    # Sorted: .01 × 4, .02 × 3, .03 × 2 but not below .06, .6 × 1.
    found = statistics.correct_by_holm({"a": 0.03, "b": 0.6, "c": 0.01, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    np.testing.assert_allclose(list(found.values()), [0.06, 0.6, 0.04, 0.06])
    assert statistics.correct_by_holm({"a": 0.4, "b": 0.7}) == {"a": 0.8, "b": 0.8}
    assert statistics.correct_by_holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert statistics.correct_by_holm({}) == {}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values, level):
    ordered, rejected = sorted(range(len(p_values)), key=p_values.__getitem__), set()
    for index, place in enumerate(ordered):
        if (len(p_values) - index) * p_values[place] > level:
            break
        rejected.add(place)
    corrected = statistics.correct_by_holm({str(i): p for i, p in enumerate(p_values)})
    assert {int(name) for name, p in corrected.items() if p <= level} == rejected


def superiority_by_enumeration(chances):
    n, total = len(chances), 0.0
    for wins in itertools.product((False, True), repeat=n):
        chance = math.prod(p if won else 1 - p for p, won in zip(chances, wins, strict=True))
        # A Beta(k + 1, n - k + 1) is above one half as often as n + 1 fair coins show k heads at
        # most.
        coins = sum(math.comb(n + 1, j) for j in range(sum(wins) + 1)) / 2 ** (n + 1)
        total += chance * coins
    return total


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_superiority_agrees_with_enumeration(chances):
    found = statistics.probability_of_superiority(chances)
    assert found == pytest.approx(superiority_by_enumeration(chances), abs=1e-9)
    other = statistics.probability_of_superiority([1 - chance for chance in chances])
    assert found + other == pytest.approx(1)


@pytest.mark.parametrize(
    ("chances", "expected"),
    [
        ([], 0.5),
        ([0.5] * 12, 0.5),
        # Every task won for sure: one minus one half to the thirteenth.
        ([1.0] * 12, 1 - 2**-13),
        # Seven won and five lost for sure: of 13 coins at most seven show heads.
        ([1.0] * 7 + [0.0] * 5, sum(math.comb(13, j) for j in range(8)) / 2**13),
        # One task: Beta(2, 1) is above one half with 3/4.
        ([1.0], 0.75),
        ([0.8], 0.8 * 0.75 + 0.2 * 0.25),
    ],
)
def test_superiority_by_hand(chances, expected):
    assert statistics.probability_of_superiority(chances) == pytest.approx(expected)
