"""Metrics of a finished run's selections that take the predictions of a whole split at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from common.data.domain import Domain
from common.evaluation.metric import classification_metrics, count_predictions
from common.evaluation.probability import class_probability_metrics
from common.experiment.selection import ORACLE
from common.training.population import Program
from common.training.state import State, evaluated_variables_of

# What of each domain the metrics are computed on.
SPLITS = (("source", "val"), ("source", "test"), ("target", "test"))


def final_metrics(
    tasks: Sequence[Mapping[str, Domain]],
    members: Sequence[int],
    program: Program,
    state: State,
    tables: Any,
) -> dict[int, dict[str, dict[str, Any]]]:
    """Computes all metrics of the weights that a run keeps.

    Args:
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
            logits = np.asarray(program.logits(variables, tables, role, split))
            key = f"{ORACLE}metrics" if role == "target" else "metrics"
            for member in members:
                domain = tasks[member][role]
                metrics = split_metrics(
                    logits[member], domain.examples.labels[domain.splits[split]]
                )
                if metrics:
                    own = found[member].setdefault(rule, {}).setdefault(key, {})
                    own[f"{role}_{split}"] = metrics
    return found


def split_metrics(
    logits: Float[np.ndarray, "example class"], labels: Int[np.ndarray, "example"]
) -> dict[str, Any]:
    """Computes the metrics of a split.

    Args:
        logits: Unnormalised log-probabilities.
        labels: True classes; negative where an example has none.

    Returns:
        The number of `examples` with a label, and single numbers by name; nothing without a label.
        Logits that are not finite have no metrics of probabilities.
    """
    known = labels >= 0
    if not known.any():
        return {}
    logits, labels = logits[known], labels[known]
    derived = classification_metrics(count_predictions(logits.argmax(1), labels, logits.shape[1]))
    metrics = {name: value for name, value in derived.items() if isinstance(value, float)}
    if np.isfinite(logits).all():
        metrics |= class_probability_metrics(logits, labels)
    return {"examples": len(labels), **metrics}
