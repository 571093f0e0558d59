"""Which of a run's evaluations counts: rules that read no target label, and oracles beside them.

A rule sees evaluation records without any key that begins with `oracle/`, so it cannot read a
target label even by mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.experiment.selection_rule import (
    ACCURACY,
    DEFAULT_RULE,
    RULES,
    Primary,
    Record,
    latest_best,
    values_of,
)

__all__ = ("ACCURACY", "DEFAULT_RULE", "ORACLE", "ORACLES", "RULES", "Primary", "Record")

ORACLE = "oracle/"
# For comparison only, by the labels that they read. The second chooses by what it reports.
ORACLES = {"oracle": "target_val", "oracle_test": "target_test"}


def oracle_choice(
    records: Sequence[Record], primary: Primary = ACCURACY, split: str = "target_val"
) -> int | None:
    """Takes the best primary metric on labelled target examples; for comparison only.

    Args:
        records: Whole evaluation records in the order of their steps.
        primary: The metric.
        split: Which of the target's labels.

    Returns:
        The index of the chosen record, the latest of equal ones, or None if there is none.
    """
    key = f"{ORACLE}{split}_{primary.name}"
    return latest_best(values_of(records, key, primary.higher_is_better))


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
    """Applies every rule, and the oracles.

    Args:
        records: Whole evaluation records of one run, in the order of their steps.
        num_source_val: Size of the source's validation split.
        primary: The metric that the rules and the oracles may read.

    Returns:
        By rule and under the names of `ORACLES`, the index of the chosen record, or None where
        there is none.
    """
    stripped = visible(records)
    chosen = {
        name: rule(stripped, num_source_val=num_source_val, primary=primary)
        for name, rule in RULES.items()
    }
    return chosen | {
        name: oracle_choice(records, primary, split) for name, split in ORACLES.items()
    }


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
