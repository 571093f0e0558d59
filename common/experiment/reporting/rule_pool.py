"""What a label-free rule may choose from: evaluations of a run, settings of a method, methods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from common.experiment.reporting.collapse import plain_accuracy
from common.experiment.reporting.grouping import data_of, method_of, reference_of, settings_of
from common.experiment.reporting.row import values_of
from common.experiment.reporting.run_record import ACCURACY, Run, RunsBySeed, is_number, part_of

VALIDATION = "oracle/target_val_accuracy"
SCORE = "score/"
READ = ("step", "flags", "train/loss", ACCURACY, VALIDATION)
# Rows without labels of the target are the same whatever these say, or draw them for themselves.
NOT_SHARED = (
    *("data.strong_augment", "data.target_labels_per_class"),
    "data.batch_sizes.target_labelled",
)


class Candidate(NamedTuple):
    """A run that a rule may choose.

    Attributes:
        name: Its row.
        run: The run.
        evaluations: Its records with label-free scores and both accuracies on the target, in the
            order of their steps; the last one also has the scores that are computed once a run.
        plain: Accuracy of the row's own source_only of the same seed and data at the last step, its
            mean where it has none, or None without any.
    """

    name: str
    run: Run
    evaluations: list[dict[str, Any]]
    plain: float | None


# The candidates of one choice, by row: runs of one seed on the same data.
Pool = dict[str, Candidate]


def candidates_of(members: Mapping[str, RunsBySeed]) -> list[Candidate]:
    """Collects the runs that say how good a rule is.

    Args:
        members: Runs of one task by seed, by row.

    Returns:
        The runs that were scored when they were evaluated and never saw a label of the target.
    """
    found = []
    for name, runs in members.items():
        if "target_labelled" in part_of(next(iter(runs.values())).config, "domains", list):
            continue
        base = reference_of(name, "source_only", members)
        others = members[base] if base else {}
        plain = {
            (seed, data_of(others[seed])): value
            for seed, value in values_of(others, "last").items()
        }
        for seed, run in runs.items():
            if evaluations := _evaluations(run):
                own = plain_accuracy(plain, (seed, data_of(run)))
                found.append(Candidate(name, run, evaluations, own))
    return found


def _evaluations(run: Run) -> list[dict[str, Any]]:
    """Returns the records of a run that can be chosen and judged."""
    records = [
        record
        for record in run.records
        if all(is_number(record.get(key)) for key in (ACCURACY, VALIDATION))
        and any(key.startswith(SCORE) for key in record)
    ]
    last = part_of(run.result["selections"], "last", dict)
    records = [{key: own for key, own in record.items() if _is_read(key)} for record in records]
    if records and records[-1]["step"] == last.get("step"):
        once = {key: value for key, value in last.items() if key.startswith(SCORE)}
        records[-1] = {**once, **records[-1]}
    return records


def _is_read(key: str) -> bool:
    """Says whether rules and their judge read a part of a record: of long studies there is much."""
    return key.startswith((SCORE, "source_val/")) or key in READ


def pools_of(candidates: list[Candidate], *, across_methods: bool) -> list[Pool]:
    """Lists the choices between runs.

    Args:
        candidates: From `candidates_of`.
        across_methods: True: between all rows. False: between the rows of one method, which differ
            in their settings.

    Returns:
        For each seed, and each method if not across them, at least two runs on the same data whose
        batches are drawn alike.
    """
    pools: dict[str, Pool] = {}
    for candidate in candidates:
        run = candidate.run
        settings = settings_of({0: run})
        drawn = {
            key: value
            for key, value in settings.items()
            if key.startswith("data.") and not key.startswith(NOT_SHARED)
        }
        method = "" if across_methods else method_of(candidate.name)
        key = json.dumps([run.result["seed"], method, data_of(run), drawn], sort_keys=True)
        pools.setdefault(key, {})[candidate.name] = candidate
    return [pool for pool in pools.values() if len(pool) > 1]
