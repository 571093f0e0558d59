"""Metrics of a finished run's selections that take the predictions of a whole split at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.data.domain import Domain
from common.evaluation.task_metric import TaskMetric, split_metrics
from common.experiment.selection import ORACLE
from common.training.population import Program
from common.training.state import State, evaluated_variables_of

# What of each domain the metrics are computed on.
SPLITS = (("source", "val"), ("source", "test"), ("target", "test"))


def final_metrics(
    metric: TaskMetric,
    tasks: Sequence[Mapping[str, Domain]],
    members: Sequence[int],
    program: Program,
    state: State,
    tables: Any,
) -> dict[int, dict[str, dict[str, Any]]]:
    """Computes all metrics of the weights that a run keeps.

    Args:
        metric: Of the kind of task.
        tasks: The members' source and target.
        members: Which members have finished.
        program: The population's program.
        state: The state after the last step.
        tables: The data.

    Returns:
        By member and selection: `metrics`, and `oracle/metrics` for what reads target labels; both
        by split, such as `source_val`. Splits without a label have none. Only selections whose
        weights are kept have any.
    """
    kept = {"last": evaluated_variables_of(state)}
    same = {"last": np.asarray(state.step)}
    for rule, choice in state.best.items():
        kept[rule], same[rule] = choice["variables"], np.asarray(choice["step"])
    found: dict[int, dict[str, dict[str, Any]]] = {member: {} for member in members}
    for rule, variables in kept.items():
        twin = next(own for own in same if (same[own] == same[rule]).all())
        if twin != rule:
            for own in found.values():
                own[rule] = own.get(twin, {})
            continue
        for role, split in SPLITS:
            outputs = np.asarray(program.logits(variables, tables, role, split))
            key = f"{ORACLE}metrics" if role == "target" else "metrics"
            for member in members:
                domain = tasks[member][role]
                labels = domain.examples.labels[domain.splits[split]]
                metrics = split_metrics(metric, outputs[member], labels)
                if metrics:
                    own = found[member].setdefault(rule, {}).setdefault(key, {})
                    own[f"{role}_{split}"] = metrics
    return found
