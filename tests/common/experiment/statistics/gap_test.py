import numpy as np
import pytest
from scipy import stats

from common.experiment import statistics
from common.experiment.statistics import gap


def test_gap_covered_is_the_ratio_of_means():
    source, target = {0: 0.5, 1: 0.5, 2: 0.5}, {0: 0.7, 1: 0.8, 2: 0.9}
    found = statistics.gap_covered({0: 0.6, 1: 0.6, 2: 0.6}, source, target)
    # The gains are .1, the gaps .2, .3 and .4; the mean of ratios would be .36.
    assert found is not None
    assert found.mean == pytest.approx(1 / 3)


def ratios_in(gain, gap, ends, number=400_000):
    """The ratios between and around two ends that no t test at 5 % tells from the true one."""
    width = ends[1] - ends[0]
    ratios = np.linspace(ends[0] - width, ends[1] + width, number)
    rest = gain[:, None] - ratios[None] * gap[:, None]
    t = rest.mean(0) / (rest.std(0, ddof=1) / np.sqrt(len(gap)))
    inside = ratios[np.abs(t) <= stats.t.ppf(0.975, len(gap) - 1)]
    return inside.min(), inside.max()


def draw_rows(seed, shape):
    """Draws gains and gaps that share the noise of source only."""
    rng = np.random.default_rng(seed)
    source = rng.normal(0.57, 0.03, shape)
    return rng.normal(0.77, 0.04, shape) - source, rng.normal(0.99, 0.01, shape) - source


@pytest.mark.parametrize("n", [3, 6, 12])
def test_interval_for_few_seeds_holds_what_no_t_test_rejects(n):
    gain, covered = draw_rows(n, n)
    ends = gap.fieller_ends(gain, covered)
    np.testing.assert_allclose(ends, ratios_in(gain, covered, ends), atol=1e-5)
    rows = [dict(enumerate(values.tolist())) for values in (gain, 0 * gain, covered)]
    found = statistics.gap_covered(*rows)
    assert found is not None
    np.testing.assert_allclose(np.asarray(found.ci95), ends)


def test_interval_for_few_seeds_has_no_bound_where_the_gap_may_be_none():
    gain, covered = np.asarray([[0.1, 0.2, 0.3]] * 2), np.asarray([[0.4, 0.5, 0.6], [-0.2, 0, 0.3]])
    ends = gap.fieller_ends(gain, covered)
    assert np.isfinite(ends[:, 0]).all() and np.isnan(ends[:, 1]).all()


def test_interval_for_many_seeds_agrees_with_scipy():
    gain, covered = draw_rows(0, 24)
    expected = stats.bootstrap(
        (gain, covered),
        lambda a, b, axis: a.mean(axis) / b.mean(axis),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    rows = [dict(enumerate(values.tolist())) for values in (gain, 0 * gain, covered)]
    found = statistics.gap_covered(*rows)
    assert found is not None
    np.testing.assert_allclose(np.asarray(found.ci95), expected, atol=0.005)


@pytest.mark.parametrize("n", [3, 6, 12, 50])
def test_interval_covers_as_often_as_it_says(n):
    gain, covered = draw_rows(n, (2000, n))
    ends = gap.fieller_ends(gain, covered) if n < 20 else gap.bootstrap_ratio(gain, covered, 499)
    covers = np.mean((ends[0] <= 0.2 / 0.42) & (0.2 / 0.42 <= ends[1]))
    assert abs(covers - 0.95) <= 0.02
    # What the rule for few seeds is for.
    assert n > 6 or np.mean(np.diff(gap.bootstrap_ratio(gain, covered, 199), axis=0)) < 0.9 * (
        np.mean(np.diff(ends, axis=0))
    )


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


def test_resample_without_a_gap_gives_the_interval_for_few_seeds():
    # One seed alone lies 25 gaps below the others: resamples that draw it often have no gap.
    covered = np.asarray([-5.0, *[0.2] * 29, *np.linspace(0.9, 1.1, 20)])
    gain = covered / 2 + 0.01
    np.testing.assert_array_equal(
        gap.bootstrap_ratio(gain, covered), gap.fieller_ends(gain, covered)
    )
