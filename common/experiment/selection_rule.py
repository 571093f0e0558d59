"""Rules that choose an evaluation of a run without reading a target label.

A rule takes evaluation records from which everything under `oracle/` was taken away, and returns
the index of one of them. Of equal ones it takes the latest.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from common.evaluation.scores.fact import FACTS

# The rule whose column is shown first, and that a study reports unless it says otherwise.
DEFAULT_RULE = "last"
# The score that compares runs unless another is named; both by docs/selection.md.
DEFAULT_SCORE = "nuclear_norm"
# A score under its own name passes over flagged evaluations, with this ending it does not.
UNGUARDED = "_unguarded"
# What `consensus` averages, one of each kind: of the predictions, of the source's loss weighed by
# densities, of the features, and of predictions on mixed pictures.
CONSENSUS = (
    "information_maximization",
    "importance_weighted_validation",
    "class_clustering",
    "mixval",
)

Record = Mapping[str, Any]
Rule = Callable[..., int | None]


class Primary(NamedTuple):
    """The metric that counts.

    Attributes:
        name: Its name.
        higher_is_better: Its direction.
    """

    name: str
    higher_is_better: bool


ACCURACY = Primary("accuracy", True)


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _is_healthy(record: Record) -> bool:
    """Says whether the training loss was finite; a first evaluation may come before training."""
    return _is_finite(record.get("train/loss", 0.0))


def is_flagged(record: Record) -> bool:
    """Says whether the collapse guard found something.

    Args:
        record: An evaluation record; those of older runs were never looked at.

    Returns:
        True with a reason.
    """
    return bool(record.get("flags"))


def values_of(
    records: Sequence[Record], key: str, higher_is_better: bool, *, guarded: bool = False
) -> dict[int, float]:
    """Returns what a rule compares.

    Args:
        records: Evaluation records.
        key: A number of theirs.
        higher_is_better: Its direction.
        guarded: Whether flagged records are left out.

    Returns:
        By index, the values of healthy records that have one, turned so that more is better.
    """
    sign = 1 if higher_is_better else -1
    return {
        index: sign * float(record[key])
        for index, record in enumerate(records)
        if _is_healthy(record)
        and _is_finite(record.get(key))
        and not (guarded and is_flagged(record))
    }


def latest_best(values: Mapping[int, float]) -> int | None:
    """Takes the highest value.

    Args:
        values: Values by index.

    Returns:
        Its index, the latest of equal ones, or None without any.
    """
    return max(values, key=lambda index: (values[index], index), default=None)


def last(
    records: Sequence[Record], *, num_source_val: int, primary: Primary = ACCURACY
) -> int | None:
    """Takes the last evaluation: the rule fixed before any result was seen.

    Args:
        records: Evaluation records in the order of their steps, without oracle keys.
        num_source_val: Size of the source's validation split; unused.
        primary: Unused.

    Returns:
        The index of the chosen record, or None if no record has a finite training loss.
    """
    del num_source_val, primary
    healthy = [index for index, record in enumerate(records) if _is_healthy(record)]
    return healthy[-1] if healthy else None


def source_val(
    records: Sequence[Record], *, num_source_val: int, primary: Primary = ACCURACY
) -> int | None:
    """Takes the best primary metric on the source's validation split, such as the accuracy.

    Source accuracy is near its maximum long before the adaptation is done. Whatever lies within
    one standard error of the maximum counts as equal, and the latest of the equal ones is taken.
    Other metrics have no such simple standard error: of them, the best itself is taken.

    Args:
        records: Evaluation records in the order of their steps, without oracle keys.
        num_source_val: Size of the source's validation split.
        primary: The metric.

    Returns:
        The index of the chosen record, or None if none has a finite training loss and metric.
    """
    values = values_of(records, f"source_val/{primary.name}", primary.higher_is_better)
    if not values:
        return None
    best = max(values.values())
    margin = math.sqrt(best * (1 - best) / num_source_val) if primary == ACCURACY else 0.0
    return max(index for index, value in values.items() if value >= best - margin)


def by_score(
    records: Sequence[Record],
    *,
    num_source_val: int,
    primary: Primary = ACCURACY,
    name: str,
    guarded: bool,
) -> int | None:
    """Takes the best value of a label-free score.

    Args:
        records: Evaluation records in the order of their steps, without oracle keys.
        num_source_val: Size of the source's validation split; unused.
        primary: Unused.
        name: The score.
        guarded: Whether flagged records are passed over.

    Returns:
        The index of the chosen record, the latest of equal ones, or None if there is none.
    """
    del num_source_val, primary
    values = values_of(records, f"score/{name}", FACTS[name].higher_is_better, guarded=guarded)
    return latest_best(values)


def rank_average(values: Sequence[Mapping[Any, float]]) -> dict[Any, float]:
    """Averages the ranks that several scores give.

    Args:
        values: By score, values by candidate; more is better.

    Returns:
        The mean rank of the candidates that have all scores, 1 for the worst; equal values share
        the mean of their ranks.
    """
    common = [own for own in values[0] if all(own in other for other in values)]
    if not common:
        return {}
    from scipy.stats import rankdata

    table: Float[np.ndarray, "score candidate"] = np.asarray(
        [[own[candidate] for candidate in common] for own in values]
    )
    return dict(zip(common, rankdata(table, axis=1).mean(axis=0).tolist(), strict=True))


def consensus(
    records: Sequence[Record], *, num_source_val: int, primary: Primary = ACCURACY
) -> int | None:
    """Takes the best mean rank over the scores of `CONSENSUS`, of evaluations without a flag.

    Args:
        records: Evaluation records in the order of their steps, without oracle keys.
        num_source_val: Size of the source's validation split; unused.
        primary: Unused.

    Returns:
        The index of the chosen record, the latest of equal ones, or None if none has all scores.
    """
    del num_source_val, primary
    return latest_best(
        rank_average(
            [
                values_of(records, f"score/{name}", FACTS[name].higher_is_better, guarded=True)
                for name in CONSENSUS
            ]
        )
    )


RULES: dict[str, Rule] = {"last": last, "source_val": source_val}
for _name in FACTS:
    RULES[_name] = functools.partial(by_score, name=_name, guarded=True)
    RULES[f"{_name}{UNGUARDED}"] = functools.partial(by_score, name=_name, guarded=False)
RULES["consensus"] = consensus

# A later evaluation changes what `consensus` thought of earlier ones, whose weights are gone by
# then; the weights of `last` are there anyway.
KEPT_AS_IT_GOES = tuple(rule for rule in RULES if rule not in ("last", "consensus"))


def scores_of(rule: str) -> tuple[str, ...]:
    """Names the scores that a rule reads.

    Args:
        rule: A key of `RULES`.

    Returns:
        Names of scores; none for rules without.
    """
    if rule == "consensus":
        return CONSENSUS
    name = rule.removesuffix(UNGUARDED)
    return (name,) if name in FACTS else ()
