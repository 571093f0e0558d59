import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from common.experiment import statistics


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
