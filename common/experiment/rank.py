"""Ranks starts of fine-tuning by measures of transferability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.evaluation.transferability.measure import MEASURES, measure
from common.experiment.labelled_target import LabelledTarget
from common.experiment.parent import parent_folder
from common.experiment.selection import ORACLE
from common.experiment.start import Start, read_run

# Fewer points have no order to speak of.
LEAST_RANKED = 3


class Ranked(NamedTuple):
    """A start and what was found about it.

    Attributes:
        start: The start.
        scores: By measure; None where a start has none.
        accuracy: Mean accuracy on the target's test examples of runs that were fine-tuned from it,
            which reads target labels; None without such runs.
        num_runs: How many these are.
    """

    start: Start
    scores: Mapping[str, float | None]
    accuracy: float | None = None
    num_runs: int = 0


class FineTuned(NamedTuple):
    """What finished runs of fine-tuning have reached.

    Attributes:
        row: Their row.
        accuracies: By start's key, of each run.
    """

    row: str
    accuracies: Mapping[str, Sequence[float]]


def rank_starts(
    starts: Sequence[Start], target: LabelledTarget, fine_tuned: FineTuned | None = None
) -> list[Ranked]:
    """Measures starts and sorts them.

    Args:
        starts: The starts.
        target: The labelled examples that they were run over.
        fine_tuned: What runs that start from them have reached.

    Returns:
        The starts by falling LogME.
    """
    ranked = []
    for start in starts:
        reached = fine_tuned.accuracies.get(start.key, ()) if fine_tuned else ()
        ranked.append(
            Ranked(
                start,
                measure(start.features, start.probabilities, target.labels),
                math.fsum(reached) / len(reached) if reached else None,
                len(reached),
            )
        )
    return sorted(ranked, key=lambda own: -(own.scores["LogME"] or 0.0))


def read_fine_tuned(
    paths: Sequence[Path], starts: Sequence[Start], target: LabelledTarget
) -> FineTuned:
    """Reads what runs have reached that were fine-tuned from some starts.

    Args:
        paths: Run folders.
        starts: The starts.
        target: What they are compared on.

    Returns:
        That, of the selection `last`.

    Raises:
        ValueError: A run that is not finished, starts from none of them, is of another target or
            of another row than the others, or was not scored.
    """
    keys, rows = {start.key for start in starts}, {}
    accuracies: dict[str, list[float]] = {}
    for path in paths:
        config, result = read_run(path)
        key = next((own for own in _ancestors(config) if own in keys), None)
        if key is None:
            raise ValueError(
                f"--fine_tuned={path} starts from none of the runs and weights that are ranked"
            )
        if config["target"] != target.config["target"]:
            raise ValueError(
                f"--fine_tuned={path} is of the target {config['target']!r}; starts are ranked for "
                f"{target.config['target']!r}"
            )
        rows.setdefault((config["method"], config["data"]["target_labels_per_class"]), path)
        metric = f"{ORACLE}target_test_accuracy"
        accuracy = result["selections"]["last"].get(metric)
        if accuracy is None:
            raise ValueError(f"--fine_tuned={path} was not scored: its target test has no labels")
        accuracies.setdefault(key, []).append(accuracy)
    if len(rows) > 1:
        told = " and ".join(
            f"{method} with {count or 'all'} labels a class ({path})"
            for (method, count), path in rows.items()
        )
        raise ValueError(
            f"--fine_tuned names {told}; what they reached is not comparable: name one"
        )
    (row, _), *_ = rows
    return FineTuned(row, accuracies)


def _ancestors(config: Mapping[str, Any]) -> list[str]:
    """Lists the runs, and the file, that a run goes back to, the nearest first."""
    found = []
    while (parent := parent_folder(config)) is not None:
        found.append(parent.name)
        if not (parent / "config.json").is_file():
            return found
        config = read_run(parent)[0]
    return [*found, config["init_from"].get("sha256", "")]


def correlate(ranked: Sequence[Ranked]) -> dict[str, float]:
    """Computes Kendall's rank correlation of each measure with what was reached.

    Args:
        ranked: The starts.

    Returns:
        By measure, tau-b; those with fewer than `LEAST_RANKED` starts, or without an order among
        them, are left out.
    """
    from scipy.stats import kendalltau

    found = {}
    for name in MEASURES:
        pairs = [
            (own.scores[name], own.accuracy)
            for own in ranked
            if own.scores[name] is not None and own.accuracy is not None
        ]
        if len(pairs) < LEAST_RANKED or any(len(set(own)) < 2 for own in zip(*pairs, strict=True)):
            continue
        statistic: Any = kendalltau(*zip(*pairs, strict=True))[0]
        found[name] = float(statistic)
    return found


def format_ranking(
    ranked: Sequence[Ranked], target: LabelledTarget, fine_tuned: FineTuned | None = None
) -> list[str]:
    """Writes the table for a person.

    Args:
        ranked: The starts in order.
        target: What they were measured on.
        fine_tuned: What runs from them have reached.

    Returns:
        Lines.
    """
    width = max(len(own.start.name) for own in ranked)
    columns = [f"{name:>16}" for name in MEASURES]
    if fine_tuned:
        columns.append(f"  {ORACLE}target_test_accuracy of {fine_tuned.row} (runs)")
    lines = [f"{'start':{width}}{''.join(columns)}".rstrip()]
    for own in ranked:
        cells = [f"{_number(own.scores[name]):>16}" for name in MEASURES]
        if fine_tuned:
            cells.append(f"  {_number(own.accuracy)}" + f" ({own.num_runs})" * bool(own.num_runs))
        lines.append(f"{own.start.name:{width}}{''.join(cells)}".rstrip())
    lines += [f"{own.start.name} {own.start.note}" for own in ranked if own.start.note]
    lines.append(
        f"read {len(target.labels)} labels, of the training split of {target.config['target']}; "
        "larger is better in every column"
    )
    if not fine_tuned:
        return lines
    if correlations := correlate(ranked):
        told = ", ".join(f"{name} {value:+.2f}" for name, value in correlations.items())
        return [*lines, f"Kendall's rank correlation with {fine_tuned.row} ({ORACLE}): {told}"]
    return [*lines, f"a rank correlation needs {LEAST_RANKED} starts with fine-tuned runs"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
