"""Means, intervals and tests over training seeds and over tasks, from plain numbers."""

from common.experiment.statistics.confusion import class_shares, finite_mean
from common.experiment.statistics.critical_difference import (
    MIN_TASKS,
    CriticalDifference,
    critical_difference,
    refuse_ranks,
)
from common.experiment.statistics.gap import GapCovered, gap_covered
from common.experiment.statistics.interval import (
    LEVEL,
    MIN_BOOTSTRAP,
    MIN_INTERVAL,
    NUM_RESAMPLES,
    binomial_standard_error,
    confidence_interval,
    standard_deviation,
)
from common.experiment.statistics.over_tasks import (
    RANK_DECIMALS,
    correct_by_holm,
    probability_of_superiority,
    signed_rank_test,
)
from common.experiment.statistics.paired import (
    Difference,
    paired_difference,
    t_test,
    win_probability,
)
from common.experiment.statistics.power import POWER, power_of_paired_test, seeds_needed
from common.experiment.statistics.rank_correlation import rank_correlation

__all__ = [
    "LEVEL",
    "MIN_BOOTSTRAP",
    "MIN_INTERVAL",
    "MIN_TASKS",
    "NUM_RESAMPLES",
    "POWER",
    "RANK_DECIMALS",
    "CriticalDifference",
    "Difference",
    "GapCovered",
    "binomial_standard_error",
    "class_shares",
    "confidence_interval",
    "correct_by_holm",
    "critical_difference",
    "finite_mean",
    "gap_covered",
    "paired_difference",
    "power_of_paired_test",
    "probability_of_superiority",
    "rank_correlation",
    "refuse_ranks",
    "seeds_needed",
    "signed_rank_test",
    "standard_deviation",
    "t_test",
    "win_probability",
]
