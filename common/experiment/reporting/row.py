"""Rows of a comparison: what the runs of a row say together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from common.data.labelled import LABELLED_BATCH
from common.experiment import statistics
from common.experiment.reporting.grouping import (
    BASELINES,
    data_digest,
    method_of,
    reference_of,
    settings_of,
    with_same_data,
)
from common.experiment.reporting.metric_table import mean_metrics
from common.experiment.reporting.run_record import ACCURACY, RunsBySeed, is_number, part_of
from common.experiment.run_choice import optimised_scores

CONFUSION = "oracle/target_test_confusion"
# Stands for all scores that take sure predictions for skill.
REWARDS_CONFIDENCE = "information_maximization"

Row = dict[str, Any]


def values_of(runs: RunsBySeed, selection: str, key: str = ACCURACY) -> dict[int, float]:
    """Returns what a selection says of each run.

    Args:
        runs: Runs by seed.
        selection: Name of the selection.
        key: Which of its numbers.

    Returns:
        The number by seed, ascending; seeds without one are left out.
    """
    found = {
        seed: run.result["selections"].get(selection, {}).get(key)
        for seed, run in sorted(runs.items())
    }
    return {seed: float(value) for seed, value in found.items() if is_number(value)}


def confusions_of(runs: RunsBySeed, selection: str) -> dict[int, np.ndarray]:
    """Returns the confusion matrices of a selection.

    Args:
        runs: Runs by seed.
        selection: Name of the selection.

    Returns:
        The target's test matrix by seed, true classes in the first axis; seeds without one are left
        out, and all are where sizes differ.
    """
    found = {}
    for seed, run in sorted(runs.items()):
        try:
            value = run.result["selections"].get(selection, {}).get(CONFUSION)
            matrix = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            continue
        if matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.sum() > 0:
            found[seed] = matrix
    return found if len({matrix.shape for matrix in found.values()}) == 1 else {}


def _class_accuracy(confusions: Mapping[int, np.ndarray], seeds: Iterable[int]) -> np.ndarray:
    """Returns the accuracy of each class `[seed, class]`."""
    stacked = np.stack([confusions[seed] for seed in seeds])
    return statistics.class_shares(stacked).diagonal(axis1=1, axis2=2)


def class_change(
    row: Mapping[int, np.ndarray], base: Mapping[int, np.ndarray]
) -> np.ndarray | None:
    """Compares the accuracy of each class between two rows.

    Args:
        row: Confusion matrix by seed.
        base: Confusion matrix by seed.

    Returns:
        The change `[seed, class]` over the shared seeds, or None where nothing can be compared.
    """
    seeds = sorted(row.keys() & base.keys())
    if not seeds or row[seeds[0]].shape != base[seeds[0]].shape:
        return None
    return _class_accuracy(row, seeds) - _class_accuracy(base, seeds)


def make_row(name: str, selection: str, members: Mapping[str, RunsBySeed]) -> Row | None:
    """Summarizes one row under one selection.

    Args:
        name: The row's name.
        selection: Name of the selection.
        members: Runs by seed, by row.

    Returns:
        A row of `summary.json` without its task, or None where no run has a value.
    """
    runs, accuracy = members[name], values_of(members[name], selection)
    if not accuracy:
        return None
    values = list(accuracy.values())
    mean = float(np.mean(values))
    references = {
        method: row
        for method in ("source_only", "statistics_only", "train_on_target")
        if (row := reference_of(name, method, members)) not in (None, name)
    }
    bases = {method: with_same_data(members[row], runs) for method, row in references.items()}
    others = {method: values_of(own, selection) for method, own in bases.items()}
    # A row with few labels is no ceiling.
    ceiling = references.get("train_on_target")
    if ceiling and settings_of(members[ceiling]).get("data.target_labels_per_class"):
        del others["train_on_target"]
    difference, over_statistics = (
        statistics.paired_difference(accuracy, others.get(method, {}))
        for method in ("source_only", "statistics_only")
    )
    gap = None
    if method_of(name) not in BASELINES and {"source_only", "train_on_target"} <= others.keys():
        gap = statistics.gap_covered(accuracy, others["source_only"], others["train_on_target"])

    confusions, change = confusions_of(runs, selection), None
    if "source_only" in bases:
        change = class_change(confusions, confusions_of(bases["source_only"], selection))
    examples = median(matrix.sum() for matrix in confusions.values())
    return {
        "name": name,
        "method": method_of(name),
        "selection": selection,
        "n": len(values),
        "target_accuracy": {
            "mean": mean,
            "sd": statistics.standard_deviation(values),
            "ci95": statistics.confidence_interval(values),
            "values": values,
            "seeds": list(accuracy),
            "data": [data_digest(runs[seed]) for seed in accuracy],
        },
        "binomial_standard_error": statistics.binomial_standard_error(mean, int(examples or 0)),
        "difference_from_source_only": difference and difference._asdict(),
        "difference_from_statistics_only": over_statistics and over_statistics._asdict(),
        "gap_covered": gap and gap._asdict(),
        "negative_transfer": difference.ci95[1] < 0 if difference and difference.ci95 else None,
        "per_class_accuracy": statistics.finite_mean(_class_accuracy(confusions, confusions))
        if confusions
        else None,
        "per_class_change": None if change is None else statistics.finite_mean(change),
        "step": median(values_of(runs, selection, "step").values()),
        "source_val_accuracy": _mean(values_of(runs, selection, "source_val_accuracy").values()),
        "scores": _scores(runs, selection),
        "metrics": mean_metrics(runs, selection),
        **_describe_row(runs),
    }


def make_unlabelled_row(name: str, runs: RunsBySeed, selection: str = "last") -> Row:
    """Summarizes one row whose target has no labels.

    Args:
        name: The row's name.
        runs: Its runs by seed.
        selection: Name of the selection.

    Returns:
        What is known without labels.
    """
    return {
        "name": name,
        "method": method_of(name),
        "selection": selection,
        "n": len(runs),
        "seeds": sorted(runs),
        "source_val_accuracy": _mean(values_of(runs, selection, "source_val_accuracy").values()),
        "scores": _scores(runs, selection),
        **_describe_row(runs),
    }


def _scores(runs: RunsBySeed, selection: str) -> dict[str, float | None]:
    """Averages the label-free scores of a row."""
    chosen = [run.result["selections"].get(selection, {}) for run in runs.values()]
    keys = sorted({key for values in chosen for key in values if key.startswith("score/")})
    return {
        key.removeprefix("score/"): _mean(values_of(runs, selection, key).values()) for key in keys
    }


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else None


def median(values: Iterable[Any]) -> float | None:
    """Returns the median of the numbers among values.

    Args:
        values: Anything.

    Returns:
        The median, or None without a number.
    """
    numbers = [value for value in values if is_number(value)]
    return float(np.median(numbers)) if numbers else None


def _describe_row(runs: RunsBySeed) -> Row:
    """Says what of the target a row's runs see, and what they cost."""
    first = next(iter(runs.values()))
    domains = part_of(first.config, "domains", list)
    pace = median(milliseconds_per_step(run.times) for run in runs.values())
    members = median(run.times[-1].get("members") for run in runs.values() if run.times)
    data = part_of(first.config, "data", dict)
    own = part_of(data, "batch_sizes", dict)
    parts = {
        "alignment": part_of(first.config, "alignment", dict),
        "method": part_of(first.config, "method", str),
    }
    default = dict.fromkeys(domains, data.get("batch_size"))
    if data.get("target_labels_per_class"):
        default |= {"target_labelled": LABELLED_BATCH}
    batches = [own.get(domain, default[domain]) for domain in domains]
    rate = None
    if pace and members and batches and all(map(is_number, batches)):
        rate = 1000 * members * sum(batches) / pace
    return {
        "rewards_confidence": bool(optimised_scores(REWARDS_CONFIDENCE, parts)),
        "sees_target": _describe_sight(first.result, domains),
        "parameters": part_of(first.result, "parameters", dict),
        "milliseconds_per_step": pace,
        "members": members,
        "pictures_per_second": rate or None,
    }


def _describe_sight(result: Mapping[str, Any], domains: Sequence[str]) -> str:
    """Says what of the target a run was trained on."""
    if "target_labelled" not in domains:
        return "pictures" if result.get("sees_target_pictures") else "nothing"
    count = result.get("target_labels_seen")
    if not is_number(count):
        return "pictures and labels"
    return f"pictures, {count} with labels" if "target" in domains else f"{count} labelled pictures"


def milliseconds_per_step(times: Sequence[Mapping[str, Any]]) -> float | None:
    """Measures a training step of a run's program.

    Args:
        times: Records with `step`, `seconds` since their start, and `start`.

    Returns:
        The median over neighbouring records of one start, evaluation included where it falls
        between them. The time up to the first record of a start, which holds the compilation,
        is left out. None if nothing is left.
    """
    paces = []
    for before, after in zip(times, times[1:], strict=False):
        steps, ends = after["step"] - before["step"], (before.get("seconds"), after.get("seconds"))
        if before.get("start") == after.get("start") and steps > 0 and all(map(is_number, ends)):
            paces.append(1000 * (float(ends[1]) - float(ends[0])) / steps)  # pyright: ignore
    return median(paces)
