"""Which of a run's evaluations counts: rules that read no target label, and an oracle beside them.

A rule sees evaluation records without any key that begins with `oracle/`, so it cannot read a
target label even by mistake.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

ORACLE = "oracle/"

Record = Mapping[str, Any]


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
    values = _values(records, f"source_val/{primary.name}", primary)
    if not values:
        return None
    best = max(values.values())
    margin = math.sqrt(best * (1 - best) / num_source_val) if primary == ACCURACY else 0.0
    return max(index for index, value in values.items() if value >= best - margin)


def _values(records: Sequence[Record], key: str, primary: Primary) -> dict[int, float]:
    """Returns the values of healthy records by index, turned so that more is better."""
    sign = 1 if primary.higher_is_better else -1
    return {
        index: sign * record[key]
        for index, record in enumerate(records)
        if _is_healthy(record) and _is_finite(record.get(key))
    }


def information_maximization(
    records: Sequence[Record], *, num_source_val: int, primary: Primary = ACCURACY
) -> int | None:
    """Takes the highest information maximization on the target's validation pictures.

    Args:
        records: Evaluation records in the order of their steps, without oracle keys.
        num_source_val: Size of the source's validation split; unused.
        primary: Unused.

    Returns:
        The index of the chosen record, the latest of equal ones, or None if there is none.
    """
    del num_source_val, primary
    score = {
        index: record["score/information_maximization"]
        for index, record in enumerate(records)
        if _is_healthy(record) and _is_finite(record.get("score/information_maximization"))
    }
    return max(score, key=lambda index: (score[index], index), default=None)


RULES: dict[str, Callable[..., int | None]] = {
    "last": last,
    "source_val": source_val,
    "information_maximization": information_maximization,
}


def oracle_choice(records: Sequence[Record], primary: Primary = ACCURACY) -> int | None:
    """Takes the best primary metric on the target's validation labels; for comparison only.

    Args:
        records: Whole evaluation records in the order of their steps.
        primary: The metric.

    Returns:
        The index of the chosen record, the latest of equal ones, or None if there is none.
    """
    values = _values(records, f"{ORACLE}target_val_{primary.name}", primary)
    return max(values, key=lambda index: (values[index], index), default=None)


def visible(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Strips what was computed from target labels.

    Args:
        records: Whole evaluation records.

    Returns:
        The records without the keys that begin with `oracle/`.
    """
    return [
        {name: value for name, value in record.items() if not name.startswith(ORACLE)}
        for record in records
    ]


def choose(
    records: Sequence[Record], *, num_source_val: int, primary: Primary = ACCURACY
) -> dict[str, int | None]:
    """Applies every rule, and the oracle.

    Args:
        records: Whole evaluation records of one run, in the order of their steps.
        num_source_val: Size of the source's validation split.
        primary: The metric that the rules and the oracle may read.

    Returns:
        By rule and under `oracle`, the index of the chosen record, or None where there is none.
    """
    stripped = visible(records)
    chosen = {
        name: rule(stripped, num_source_val=num_source_val, primary=primary)
        for name, rule in RULES.items()
    }
    return {**chosen, "oracle": oracle_choice(records, primary)}


def has_stopped(
    records: Sequence[Record],
    *,
    rule: str,
    patience: int,
    num_source_val: int,
    primary: Primary = ACCURACY,
) -> bool:
    """Says whether a run stops early: the evaluation that a rule chooses has become too old.

    By the rules' own measure of what is better; on a plateau, where a rule takes the latest of
    equal evaluations, a run goes on. Target labels are as far away as from any rule.

    Args:
        records: Whole evaluation records of one run, in the order of their steps.
        rule: A key of `RULES`.
        patience: Evaluations after the chosen one that a run may take; 0: it never stops.
        num_source_val: Size of the source's validation split.
        primary: The metric that a run is judged by.

    Returns:
        True once the last `patience` evaluations were not chosen.
    """
    if not patience or len(records) <= patience:
        return False
    chosen = RULES[rule](visible(records), num_source_val=num_source_val, primary=primary)
    return chosen is not None and len(records) - 1 - chosen >= patience
