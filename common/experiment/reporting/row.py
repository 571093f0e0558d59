"""Rows of a comparison: which runs belong together, and what they say together."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from common.experiment import statistics
from common.experiment.reporting.run_record import ACCURACY, Run, RunsBySeed, is_number, part_of

CONFUSION = "oracle/target_test_confusion"
# Rows are listed in this order, all other methods in between.
FIRST_METHODS = ("source_only", "statistics_only", "dann")
LAST_METHODS = ("train_on_both", "train_on_target")
BASELINES = (*FIRST_METHODS[:2], *LAST_METHODS)
# Terms that make the target's predictions sure and diverse, which scores of such take for skill.
CONFIDENCE_TERMS = ("minimum_class_confusion",)
SPLIT_SEED = "data.split_seed"
# What differs between the seeds of one row, or names the run.
NOT_SETTINGS = re.compile(
    r"experiment|method|seed|data\.split_seed|data\.\w+\.seed"
    # These measure a run and change none of its weights.
    r"|evaluation\.(reverse_validation|retrained_head)"
)
# What a row and its baseline may differ in.
OWN_SETTINGS = (
    *("package", "domains", "alignment.", "adaptation.", "optimizer.groups.", "init_from."),
)

Row = dict[str, Any]


def group_by_task(runs: Iterable[Run], state: str = "done") -> dict[tuple[str, str], list[Run]]:
    """Groups the finished runs.

    Args:
        runs: All runs.
        state: `done`, or `unlabelled` for those whose target has no labels.

    Returns:
        Finished runs by experiment and task, in the order of these names.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.state == state:
            experiment = str(run.result.get("experiment", run.folder.parent.name))
            groups.setdefault((experiment, run.result["task"]), []).append(run)
    return dict(sorted(groups.items()))


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the settings of a config under dotted names, without what no row is about."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= {} if name == "runtime" else _flatten(value, f"{name}.")
        elif name == "init_from.run":
            flat[name] = "a finished run" if value else ""
        elif not NOT_SETTINGS.fullmatch(name):
            flat[name] = value
    return flat


def _settings(runs: RunsBySeed) -> dict[str, Any]:
    """Returns the settings of a row, which are those of any of its runs."""
    return _flatten(next(iter(runs.values())).config)


def _differing(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names the settings that do not have one value everywhere."""
    every = list(settings)
    return [
        key
        for key in sorted({key for own in every for key in own})
        if len({json.dumps(own.get(key), sort_keys=True) for own in every}) > 1
    ]


def rows_of(group: Sequence[Run]) -> tuple[dict[str, dict[int, Run]], list[Run]]:
    """Sorts the runs of one task into rows.

    Runs of one method whose settings differ are different rows, named by what differs.

    Args:
        group: Finished runs of one task.

    Returns:
        Runs by seed, by the row's name, in the order of the rows; and the runs that have the row
        and the seed of another.
    """
    rows: dict[str, dict[int, Run]] = {}
    repeated = []
    for method in sorted({run.result["method"] for run in group}, key=_method_order):
        runs = [
            (run, _flatten(run.config) | _split(run, group))
            for run in group
            if run.result["method"] == method
        ]
        differing = _differing(own for _, own in runs)
        runs.sort(key=lambda pair: [_value_order(pair[1].get(key)) for key in differing])
        for run, own in runs:
            settings = _short_settings({key: own.get(key) for key in differing})
            row = rows.setdefault(", ".join([method, *settings]), {})
            repeated += [run] if run.result["seed"] in row else []
            row.setdefault(run.result["seed"], run)
    return rows, repeated


def _split(run: Run, group: Sequence[Run]) -> dict[str, Any]:
    """Says what splits a run's data, where that is not one seed for all runs."""
    seed = _split_seed(run)
    if len({_split_seed(other) for other in group}) == 1:
        return {}
    return {SPLIT_SEED: "own" if seed == run.result["seed"] else seed}


def _split_seed(run: Run) -> Any:
    return part_of(run.config, "data", dict).get("split_seed")


def data_of(run: Run) -> str:
    """Identifies the data of a run: its examples, their labels, and how they are split.

    Args:
        run: A finished run.

    Returns:
        A text that is equal for runs that can be paired.
    """
    labels = part_of(run.result, "oracle", dict)
    return json.dumps(
        [
            _split_seed(run),
            part_of(run.result, "fingerprints", dict),
            {key: own for key, own in labels.items() if key.endswith("/labels")},
        ],
        sort_keys=True,
    )


def data_digest(run: Run) -> str:
    """Shortens `data_of`.

    Args:
        run: A finished run.

    Returns:
        Sixteen characters.
    """
    return hashlib.sha256(data_of(run).encode()).hexdigest()[:16]


def with_same_data(runs: RunsBySeed, others: RunsBySeed) -> RunsBySeed:
    """Keeps the runs that can be paired with others: those of the same seed and data.

    Args:
        runs: Runs of a row by seed.
        others: Those of another row.

    Returns:
        Some of `runs`.
    """
    return {
        seed: run
        for seed, run in runs.items()
        if seed in others and data_of(run) == data_of(others[seed])
    }


def _method_order(method: str) -> tuple[int, int, str]:
    for part, names in ((0, FIRST_METHODS), (2, LAST_METHODS)):
        if method in names:
            return part, names.index(method), method
    return 1, 0, method


def _value_order(value: Any) -> tuple[bool, float, str]:
    """Orders numbers by size, before everything else."""
    size = float(value) if is_number(value) else 0.0
    return not is_number(value), size, json.dumps(value)


def _short_settings(settings: Mapping[str, Any]) -> list[str]:
    """Writes settings with the shortest names that tell them apart."""
    last = [key.rpartition(".")[2] for key in settings]
    return [
        f"{short if last.count(short) == 1 else key}={json.dumps(value).strip(chr(34))}"
        for short, (key, value) in zip(last, settings.items(), strict=True)
    ]


def method_of(name: str) -> str:
    """Returns the method of a row.

    Args:
        name: The row's name, such as `dann` or `dann, strength=0.1`.

    Returns:
        The part before the settings.
    """
    return name.partition(",")[0]


def reference_of(name: str, method: str, members: Mapping[str, RunsBySeed]) -> str | None:
    """Names the row of a method with which another row can be compared.

    It must have the row's own network, data, optimizer and length, and a run to pair with one of
    the row. Of several such rows of the method, it is the one whose distinguishing settings are
    the row's own.

    Args:
        name: The row to compare.
        method: The method to compare it with.
        members: Runs by seed, by row.

    Returns:
        A row's name, or None where there is none or more than one.
    """
    flat = {
        row: _settings(runs)
        for row, runs in members.items()
        if method_of(row) == method and with_same_data(runs, members[name])
    }
    own = _settings(members[name])
    flat = {
        row: settings
        for row, settings in flat.items()
        if all(key.startswith(OWN_SETTINGS) for key in _differing([own, settings]))
    }
    differing = _differing(flat.values())
    equal = [row for row in flat if all(flat[row].get(key) == own.get(key) for key in differing)]
    return equal[0] if len(equal) == 1 else None


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
    sees = "pictures" if first.result.get("sees_target_pictures") else "nothing"
    pace = median(milliseconds_per_step(run.times) for run in runs.values())
    members = median(run.times[-1].get("members") for run in runs.values() if run.times)
    batch = part_of(first.config, "data", dict).get("batch_size")
    rate = None
    if pace and members and is_number(batch):
        rate = 1000 * members * batch * len(domains) / pace
    return {
        "rewards_confidence": any(
            term in part_of(first.config, "alignment", dict) for term in CONFIDENCE_TERMS
        ),
        "sees_target": "pictures and labels" if "target_labelled" in domains else sees,
        "parameters": part_of(first.result, "parameters", dict),
        "milliseconds_per_step": pace,
        "members": members,
        "pictures_per_second": rate or None,
    }


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
