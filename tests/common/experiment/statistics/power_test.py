import numpy as np
import pytest
from scipy import stats

from common.experiment import statistics


@pytest.mark.parametrize(
    # Paired, two-sided, 5 %, power 80 %: as in tables and in G*Power.
    ("effect", "seeds"),
    [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (-1.0, 10), (20.0, 3), (0.001, None)],
)
def test_published_numbers_of_pairs(effect, seeds):
    assert statistics.seeds_needed(effect, 1.0) == seeds


def test_number_depends_on_the_ratio_alone():
    assert statistics.seeds_needed(0.02, 0.04) == 34
    assert statistics.seeds_needed(0.02, 0.0) == 3


def test_power_is_how_often_the_test_rejects():
    draws = np.random.default_rng(0).normal(0.02, 0.03, (20_000, 8))
    rejected = np.mean(np.asarray(stats.ttest_1samp(draws, 0, axis=1)[1]) < 0.05)
    # Three standard errors of the simulation.
    found = statistics.power_of_paired_test(0.02, 0.03, 8)
    assert found == pytest.approx(rejected, abs=0.011)
    # Without an effect it is the level.
    assert statistics.power_of_paired_test(0.0, 0.03, 8) == pytest.approx(0.05)


def test_number_is_the_smallest_one():
    needed = statistics.seeds_needed(0.02, 0.035, 0.9)
    assert needed is not None
    below, at = (statistics.power_of_paired_test(0.02, 0.035, needed - own) for own in (1, 0))
    assert below < 0.9 <= at
