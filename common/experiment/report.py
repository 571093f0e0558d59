"""Tables and figures of finished runs, made from their run folders alone."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
import textwrap
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.experiment import figure as figures
from common.experiment import statistics
from common.experiment.folder import as_json, write_json

ACCURACY = "oracle/target_test_accuracy"
CONFUSION = "oracle/target_test_confusion"
# Rows are listed in this order, all other methods in between.
FIRST_METHODS = ("source_only_blind", "source_only", "statistics_only", "dann")
LAST_METHODS = ("train_on_both", "train_on_target")
BASELINES = (*FIRST_METHODS[:3], *LAST_METHODS)
# What differs between the seeds of one row, or names the run.
NOT_SETTINGS = ("experiment", "method", "seed", "data.split_seed", "init_from.run")
SELECTION_TITLES = {
    "last": "the weights after the last step",
    "source_val": "best source validation accuracy, the latest of equal ones",
    "oracle": "uses target labels; for comparison only",
}
# A discriminator that is right less often than this is outrun by the reversed gradient.
OUTRUN_ACCURACY, OUTRUN_SHARE = 0.45, 0.05
# No run: what experiments keep beside their runs.
RESERVED = ("populations", "report")

Row = dict[str, Any]
RunsBySeed = Mapping[int, "Run"]


class Run(NamedTuple):
    """What a run folder says.

    Attributes:
        folder: The run folder.
        name: The run id.
        state: `done`, `failed` or `incomplete`.
        reason: Why it is not done; empty when it is.
        config: The resolved config, empty where it cannot be read.
        about: `config.json` without the config: commit, versions, starts.
        result: `result.json`, empty where it cannot be read.
        records: `metrics.jsonl`.
        times: `time.jsonl`.
        notes: What was odd about the folder, one sentence each.
    """

    folder: Path
    name: str
    state: str
    reason: str
    config: dict[str, Any]
    about: dict[str, Any]
    result: dict[str, Any]
    records: list[dict[str, Any]]
    times: list[dict[str, Any]]
    notes: list[str]


class Report(NamedTuple):
    """A written report.

    Attributes:
        path: `report.md`.
        summary: What `summary.json` holds.
        figures: Paths of the figures.
    """

    path: Path
    summary: dict[str, Any]
    figures: list[Path]


def read_runs(folders: Iterable[Path]) -> list[Run]:
    """Reads runs; whatever is wrong with a folder makes a run that is not done, never an error.

    Args:
        folders: Run folders, folders of experiments, or folders of those.

    Returns:
        The runs, each once. Runs that a sweep has planned and not begun are among them.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if _is_run(folder):
            found[folder.resolve()] = None
            continue
        for experiment in (folder, *_children(folder)):
            children, plan = _children(experiment), experiment / "sweep.json"
            if plan.is_file() or any(map(_is_run, children)):
                planned = [experiment / name for name in _planned(plan)]
                found |= {path.resolve(): None for path in sorted({*children, *planned})}
    return [_read_run(path) for path in found]


def _is_run(folder: Path) -> bool:
    names = ("config.json", "metrics.jsonl", "result.json", "failure.json")
    return any((folder / name).is_file() for name in names)


def _children(folder: Path) -> list[Path]:
    """Lists the folders inside a folder that may be runs or experiments."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in RESERVED
    )


def _planned(path: Path) -> list[str]:
    """Names the runs that a sweep has planned."""
    try:
        populations = _read_json(path)["populations"]
        return [name for names in populations for name in names if Path(name).name == name]
    except (ValueError, KeyError, TypeError):
        return []


def _read_json(path: Path) -> dict[str, Any]:
    """Reads an object, or raises ValueError with one sentence."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.name} is missing") from None
    except (OSError, ValueError, RecursionError):
        raise ValueError(f"{path.name} cannot be read") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no object")
    return value


def _read_records(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Reads the whole lines of a file of records, and notes where it breaks off."""
    records = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return [], [f"{path.name} is missing"]
    except (OSError, ValueError):
        return [], [f"{path.name} cannot be read"]
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            records.append({**record, "step": int(record["step"])})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return records, [f"{path.name} is read up to line {number}, which is no record"]
    return records, []


def _read_run(folder: Path) -> Run:
    """Reads one run folder, whatever is in it."""
    contents, problems = {}, []
    for name in ("config.json", "result.json"):
        try:
            contents[name] = _read_json(folder / name)
        except ValueError as error:
            contents[name] = {}
            problems.append(str(error))
    about, result = contents.values()
    config = _part(about, "config", dict)
    records, notes = _read_records(folder / "metrics.jsonl")
    times, time_notes = _read_records(folder / "time.jsonl")
    notes += time_notes

    state = "incomplete"
    if not folder.is_dir():
        problems = ["planned, not started"]
    elif (folder / "failure.json").is_file():
        state, problems = "failed", [_failure(folder / "failure.json")]
    elif problems and records:
        problems.append(f"its last record is of step {records[-1]['step']}")
    elif not problems:
        problems = _problems(result)
        state = "incomplete" if problems else "done"
    if state == "done":
        chosen, good = result["selections"], {}
        for name, value in chosen.items():
            if _is_selection(value):
                good[name] = value
            else:
                notes.append(f"selection {name} has no target test accuracy")
        result = {**result, "selections": good}
    reason = "; ".join(problems)
    return Run(folder, folder.name, state, reason, config, about, result, records, times, notes)


def _failure(path: Path) -> str:
    """Returns the reason of a failure, with its step."""
    try:
        failure = _read_json(path)
    except ValueError as error:
        return str(error)
    reason = str(failure.get("reason", "no reason is given"))
    return reason if "step" in reason else f"{reason} (step {failure.get('step')})"


def _problems(result: Mapping[str, Any]) -> list[str]:
    """Says what a result lacks to stand in a table."""
    kinds = {"task": str, "method": str, "seed": int, "selections": dict}
    lacking = [name for name, kind in kinds.items() if not isinstance(result.get(name), kind)]
    if not lacking and not _is_selection(result["selections"].get("last")):
        lacking = [f"an accuracy in [0, 1] as {ACCURACY} of the selection last"]
    return [f"result.json lacks {name}" for name in lacking]


def _is_number(value: Any) -> bool:
    """Says whether a value from a file is a finite number of a size that floats can have."""
    return isinstance(value, int | float) and bool(abs(value) < 1e300)


def _is_selection(value: Any) -> bool:
    accuracy = value.get(ACCURACY) if isinstance(value, dict) else None
    return _is_number(accuracy) and 0 <= float(accuracy or 0) <= 1


def _part(mapping: Mapping[str, Any], key: str, kind: type) -> Any:
    """Returns a part of what a file held, empty where it is of another kind."""
    value = mapping.get(key)
    return value if isinstance(value, kind) else kind()


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
        if before.get("start") == after.get("start") and steps > 0 and all(map(_is_number, ends)):
            paces.append(1000 * (float(ends[1]) - float(ends[0])) / steps)  # pyright: ignore
    return _median(paces)


def _median(values: Iterable[Any]) -> float | None:
    numbers = [value for value in values if _is_number(value)]
    return float(np.median(numbers)) if numbers else None


def summarize(runs: Sequence[Run]) -> dict[str, Any]:
    """Compares the rows of finished runs.

    Runs of one method whose settings differ are different rows, named by what differs.

    Args:
        runs: All runs, finished or not.

    Returns:
        The content of `summary.json`: `rows` (selection `last` first, `oracle` last), `tasks`,
        `incomplete`, `failed` and `notes`.
    """
    tasks, rows, notes = [], [], []
    for (experiment, task), group in _group_by_task(runs).items():
        members, repeated = _rows_of(group)
        notes += [f"{name}: another folder has the same run; one is used" for name in repeated]
        for run in group:
            notes += [f"{run.name}: {note}" for note in (*run.notes, *_warnings(run))]
        if not any(_method(name) == "source_only" for name in members):
            notes.append(f"{task}: there is no row source_only to compare with")
        seeds = sorted({run.result["seed"] for run in group})
        for name in members:
            for selection in _selections(group):
                row = _make_row(name, selection, members)
                if row is None:
                    continue
                rows.append({"experiment": experiment, "task": task, **row})
                missing = [seed for seed in seeds if seed not in row["target_accuracy"]["seeds"]]
                if missing and selection == "last":
                    missing = _join("seed", missing)
                    notes.append(f"{name}: no finished run of {missing}; such pairs are dropped")
        tasks.append({"experiment": experiment, "task": task, **_describe(group, members)})

    def rank(row: Row) -> tuple[int, str]:
        order = {"last": 0, "source_val": 1, "oracle": 3}
        return order.get(row["selection"], 2), row["selection"]

    def list_state(state: str) -> list[dict[str, str]]:
        return [
            {"run": run.name, "experiment": run.folder.parent.name, "reason": run.reason}
            for run in runs
            if run.state == state
        ]

    return as_json(
        {
            "experiment": ", ".join(dict.fromkeys(task["experiment"] for task in tasks)),
            "rows": sorted(rows, key=rank),
            "tasks": tasks,
            "incomplete": list_state("incomplete"),
            "failed": list_state("failed"),
            "notes": notes,
        }
    )


def _group_by_task(runs: Iterable[Run]) -> dict[tuple[str, str], list[Run]]:
    """Groups the finished runs by experiment and task."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.state == "done":
            experiment = str(run.result.get("experiment", run.folder.parent.name))
            groups.setdefault((experiment, run.result["task"]), []).append(run)
    return groups


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the settings of a config under dotted names, without what no row is about."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= {} if name == "runtime" else _flatten(value, f"{name}.")
        elif name not in NOT_SETTINGS:
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


def _rows_of(group: Sequence[Run]) -> tuple[dict[str, dict[int, Run]], list[str]]:
    """Sorts the runs of one task into rows.

    Returns:
        Runs by seed, by the row's name, in the order of the rows; and the names of runs that
        were there before.
    """
    rows: dict[str, dict[int, Run]] = {}
    repeated = []
    for method in sorted({run.result["method"] for run in group}, key=_method_order):
        runs = [(run, _flatten(run.config)) for run in group if run.result["method"] == method]
        differing = _differing(own for _, own in runs)
        runs.sort(key=lambda pair: [_value_order(pair[1].get(key)) for key in differing])
        for run, own in runs:
            settings = _short_settings({key: own.get(key) for key in differing})
            row = rows.setdefault(", ".join([method, *settings]), {})
            repeated += [run.name] if run.result["seed"] in row else []
            row.setdefault(run.result["seed"], run)
    return rows, repeated


def _method_order(method: str) -> tuple[int, int, str]:
    for part, names in ((0, FIRST_METHODS), (2, LAST_METHODS)):
        if method in names:
            return part, names.index(method), method
    return 1, 0, method


def _value_order(value: Any) -> tuple[bool, float, str]:
    """Orders numbers by size, before everything else."""
    is_number = _is_number(value)
    return not is_number, float(value) if is_number else 0.0, json.dumps(value)


def _short_settings(settings: Mapping[str, Any]) -> list[str]:
    """Writes settings with the shortest names that tell them apart."""
    last = [key.rpartition(".")[2] for key in settings]
    return [
        f"{short if last.count(short) == 1 else key}={json.dumps(value).strip(chr(34))}"
        for short, (key, value) in zip(last, settings.items(), strict=True)
    ]


def _method(name: str) -> str:
    """Returns the method of a row from the row's name."""
    return name.partition(",")[0]


def _reference(name: str, method: str, members: Mapping[str, RunsBySeed]) -> str | None:
    """Names the row of a method with which another row can be compared.

    Of several rows of the method, it is the one whose distinguishing settings are the row's own.
    """
    flat = {row: _settings(runs) for row, runs in members.items() if _method(row) == method}
    own, differing = _settings(members[name]), _differing(flat.values())
    equal = [row for row in flat if all(flat[row].get(key) == own.get(key) for key in differing)]
    return equal[0] if len(equal) == 1 else None


def _selections(group: Iterable[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in group for name in run.result["selections"]))


def _values(runs: RunsBySeed, selection: str, key: str = ACCURACY) -> dict[int, float]:
    """Returns a selection's value by seed, where there is one."""
    found = {
        seed: run.result["selections"].get(selection, {}).get(key)
        for seed, run in sorted(runs.items())
    }
    return {seed: float(value) for seed, value in found.items() if _is_number(value)}


def _confusions(runs: RunsBySeed, selection: str) -> dict[int, np.ndarray]:
    """Returns a selection's confusion matrix by seed, where there is one."""
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


def _class_change(
    row: Mapping[int, np.ndarray], base: Mapping[int, np.ndarray]
) -> np.ndarray | None:
    """Returns the change of each class's accuracy `[seed, class]` over the shared seeds."""
    seeds = sorted(row.keys() & base.keys())
    if not seeds or row[seeds[0]].shape != base[seeds[0]].shape:
        return None
    return _class_accuracy(row, seeds) - _class_accuracy(base, seeds)


def _make_row(name: str, selection: str, members: Mapping[str, RunsBySeed]) -> Row | None:
    """Summarizes one row under one selection, or returns None where it has no value."""
    runs, accuracy = members[name], _values(members[name], selection)
    if not accuracy:
        return None
    values = list(accuracy.values())
    mean = float(np.mean(values))
    references = {
        method: row
        for method in ("source_only", "statistics_only", "train_on_target")
        if (row := _reference(name, method, members)) not in (None, name)
    }
    others = {method: _values(members[row], selection) for method, row in references.items()}
    difference, over_statistics = (
        statistics.paired_difference(accuracy, others.get(method, {}))
        for method in ("source_only", "statistics_only")
    )
    gap = None
    if _method(name) not in BASELINES and {"source_only", "train_on_target"} <= others.keys():
        gap = statistics.gap_covered(accuracy, others["source_only"], others["train_on_target"])

    confusions, change = _confusions(runs, selection), None
    if "source_only" in references:
        base = _confusions(members[references["source_only"]], selection)
        change = _class_change(confusions, base)
    examples = _median(matrix.sum() for matrix in confusions.values())
    return {
        "name": name,
        "method": _method(name),
        "selection": selection,
        "n": len(values),
        "target_accuracy": {
            "mean": mean,
            "sd": statistics.standard_deviation(values),
            "ci95": statistics.confidence_interval(values),
            "values": values,
            "seeds": list(accuracy),
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
        "step": _median(_values(runs, selection, "step").values()),
        "source_val_accuracy": _mean(_values(runs, selection, "source_val_accuracy").values()),
        **_describe_row(runs),
    }


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else None


def _describe_row(runs: RunsBySeed) -> Row:
    """Says what of the target a row's runs see, and what they cost."""
    first = next(iter(runs.values()))
    domains = _part(first.config, "domains", list)
    sees = "pictures" if first.result.get("sees_target_pictures") else "nothing"
    pace = _median(milliseconds_per_step(run.times) for run in runs.values())
    members = _median(run.times[-1].get("members") for run in runs.values() if run.times)
    batch = _part(first.config, "data", dict).get("batch_size")
    rate = None
    if pace and members and _is_number(batch):
        rate = 1000 * members * batch * len(domains) / pace
    return {
        "sees_target": "pictures and labels" if "target_labelled" in domains else sees,
        "parameters": _part(first.result, "parameters", dict),
        "milliseconds_per_step": pace,
        "members": members,
        "pictures_per_second": rate or None,
    }


def _warnings(run: Run) -> list[str]:
    """Lists the run's own warnings, and whether its discriminator was outrun."""
    warnings = [str(text) for text in _part(run.result, "warnings", list)]
    values = [
        value
        for record in run.records
        for name, value in record.items()
        if name.startswith("train/") and name.endswith("/domain_accuracy") and _is_number(value)
    ]
    low = sum(value < OUTRUN_ACCURACY for value in values)
    if low and low >= OUTRUN_SHARE * len(values):
        warnings.append(
            f"domain accuracy is below {OUTRUN_ACCURACY} in {100 * low / len(values):.0f} % of the "
            "records: the reversed gradient outruns the discriminator"
        )
    return warnings


def _describe(group: Sequence[Run], members: Mapping[str, RunsBySeed]) -> dict[str, Any]:
    """Collects what the runs of a task share, and in which settings the rows differ."""
    flat = {name: _settings(runs) for name, runs in members.items()}
    differing = _differing(flat.values())
    starts = [start for run in group for start in _part(run.about, "starts", list)]
    versions = [_part(run.about, "versions", dict) for run in group]
    shared = {key: own for key, own in flat[next(iter(flat))].items() if key not in differing}
    return {
        "classes": list(map(str, _part(group[0].result, "classes", list))),
        "seeds": sorted({run.result["seed"] for run in group}),
        "split_seeds": _distinct(
            _part(run.config, "data", dict).get("split_seed") for run in group
        ),
        "target_test_seen": any(run.result.get("target_test_seen") for run in group),
        "shared_settings": shared,
        "differing_settings": {
            key: {name: own.get(key) for name, own in flat.items()} for key in differing
        },
        "commits": _distinct(run.about.get("git_commit") for run in group),
        "hardware": _distinct(_hardware(start) for start in starts if isinstance(start, dict)),
        "versions": _distinct(f"{name} {own[name]}" for own in versions for name in own),
    }


def _distinct(values: Iterable[Any]) -> list[str]:
    return sorted({"unknown" if value is None else str(value) for value in values})


def _hardware(start: Mapping[str, Any]) -> str:
    devices = list(map(str, _part(start, "devices", list)))
    counts = ", ".join(f"{devices.count(name)} x {name}" for name in dict.fromkeys(devices))
    return f"{start.get('hardware')} ({counts})"


def _join(noun: str, numbers: Sequence[int]) -> str:
    """Writes numbers as text; three and more neighbours are shortened."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{noun}s {numbers[0]} to {numbers[-1]}"
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


HEADER = ("method", "seeds", "target accuracy", "sd", "minus source_only", "gap covered")
COST_HEADER = (
    *("method", "sees of the target", "source validation accuracy", "parameters", "trained"),
    *("runs in one program", "milliseconds a step of the program", "pictures a second"),
)
READING = {
    "accuracy_by_method": "Small dots are single seeds, large dots means, bars 95 % intervals over "
    "seeds; thin lines join the runs of one seed in source_only and dann.",
    "training_curves": "Lines are medians over seeds, bands the middle half of the seeds; target "
    "accuracy is shown for comparison and steers nothing.",
    "sample_pictures": "The first picture of each class in the order of the splits, and what each "
    "row takes the target's for; wrong predictions are crossed.",
    "embedding": "Features of single examples in two dimensions by t-SNE: near points are alike, "
    "while sizes of clusters and distances between them mean nothing; adaptation should mix the "
    "domains on the left and keep the classes apart on the right.",
    "confusion": "A line is a true class, a column what it is taken for, in percent of the line "
    "and averaged over seeds; a perfect row is dark on the diagonal alone.",
    "per_class_change": "Dots are mean changes of a class's accuracy over the shared seeds, bars "
    "95 % intervals; a class left of zero lost by adaptation.",
}
# Settings that the protocol names in words.
NAMED_SETTINGS = {
    "num_steps": "steps",
    "data.batch_size": "examples of each domain in a batch",
    "model.name": "network",
    "model.normalization": "normalisation",
    "optimizer.name": "optimizer",
    "optimizer.learning_rate": "learning rate",
    "optimizer.ema_decay": "decay of the averaged weights",
}


def _percent(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def _estimate(found: Mapping[str, Any] | None, sign: str = "") -> str:
    """Writes a mean and its interval, in percent or points."""
    if found is None:
        return "-"
    ends = ", ".join(_percent(end, sign) for end in found["ci95"] or ())
    return _percent(found["mean"], sign) + (f" [{ends}]" if ends else "")


def _cells(row: Row) -> list[str]:
    """Writes a row of the main tables, in percent and points."""
    accuracy = row["target_accuracy"]
    interval = accuracy["ci95"]
    half = f" ± {_percent((interval[1] - interval[0]) / 2)}" if interval else ""
    return [
        row["name"],
        str(row["n"]),
        _percent(accuracy["mean"]) + half,
        _percent(accuracy["sd"]),
        _estimate(row["difference_from_source_only"], "+"),
        _estimate(row["gap_covered"]),
    ]


def _sections(summary: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Returns the rows of a task by selection, in the order of the selections."""
    sections: dict[str, list[Row]] = {}
    for row in summary["rows"]:
        if (row["experiment"], row["task"]) == (task["experiment"], task["task"]):
            sections.setdefault(row["selection"], []).append(row)
    return sections


def _remarks(rows: Iterable[Row]) -> list[str]:
    """Says what must be known beside a table, in sentences without a full stop."""
    few, worse, over_statistics = [], [], []
    for row in rows:
        few += [] if row["target_accuracy"]["ci95"] else [row["name"]]
        worse += [row["name"]] if row["negative_transfer"] else []
        difference = row["difference_from_statistics_only"]
        if row["method"] not in BASELINES and difference:
            over_statistics.append(f"{row['name']} {_estimate(difference, '+')}")
    said = {
        "fewer than three seeds, so no interval": few,
        "negative transfer, the interval of the difference lies below 0": worse,
        "minus statistics_only": over_statistics,
    }
    return [f"{text}: {', '.join(names)}" for text, names in said.items() if names]


def _selection_title(selection: str) -> str:
    return f"{selection} ({SELECTION_TITLES.get(selection, 'a score that needs no target label')})"


def format_table(summary: Mapping[str, Any]) -> str:
    """Writes the comparison for a terminal.

    Args:
        summary: What `summarize` returns.

    Returns:
        Plain text, at most 100 columns wide: by task and selection a table in percent and points,
        then what failed or is missing.
    """
    lines = [] if summary["rows"] else ["no finished runs"]
    for task in summary["tasks"]:
        lines += [f"{task['experiment']}: {task['task']}", ""]
        for selection, rows in _sections(summary, task).items():
            lines += [_selection_title(selection), *_align([HEADER, *map(_cells, rows)])]
            lines += [*_remarks(rows), ""]
    for state in ("failed", "incomplete"):
        lines += [f"{state}: {run['run']}: {run['reason']}" for run in summary[state]]
    printable = ["".join(c if c.isprintable() else " " for c in line) for line in lines]
    folded = [textwrap.wrap(line, 100) if len(line) > 100 else [line] for line in printable]
    return "\n".join(part for parts in folded for part in parts).rstrip()


def _align(table: Sequence[Sequence[str]]) -> list[str]:
    """Aligns columns; a first cell that is too wide gets a line of its own."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    widths[0] = min(widths[0], 100 - 2 * (len(widths) - 1) - sum(widths[1:]))
    lines = []
    for name, *cells in table:
        rest = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True))
        if len(name) > widths[0]:
            lines.append(name)
            name = ""
        lines.append(f"{name.ljust(widths[0])}  {rest}".rstrip())
    return lines


def _escape(value: Any) -> str:
    """Makes text mean nothing to Markdown."""
    return re.sub(r"([\\`*|<\[\]])", r"\\\1", " ".join(str(value).split()))


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [[_escape(cell) for cell in line] for line in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return ["", *(f"| {' | '.join(line)} |" for line in lines), ""]


def _markdown(summary: Mapping[str, Any]) -> str:
    """Writes `report.md`."""
    lines = [f"# {_escape(summary['experiment'] or 'No finished runs')}", ""]
    wrong = [
        f"{state}: {run['experiment']}/{run['run']}: {run['reason']}"
        for state in ("failed", "incomplete")
        for run in summary[state]
    ]
    wrong += summary["notes"]
    for task in summary["tasks"]:
        sections, shown = _sections(summary, task), []
        for name, figure in task["figures"].items():
            if "file" in figure:
                shown.append(["", f"![{name}]({figure['file']})", "", _escape(figure["reading"])])
            else:
                wrong.append(f"{task['task']}: no figure {name}: {figure['reason']}")
        lines += [f"## {_escape(task['experiment'])}: {_escape(task['task'])}", ""]
        lines += [_headline(sections["last"]), *(shown[0] if shown else [])]
        for selection, rows in sections.items():
            lines += ["", f"### Selection {_escape(_selection_title(selection))}"]
            lines += _markdown_table(HEADER, map(_cells, rows))
            lines += [f"{_escape(remark)}.  " for remark in _remarks(rows)]
        lines += ["", "Percent, ± half of the 95 % interval; differences in points; sd: sample"]
        lines += ["standard deviation over seeds.", "", "### Protocol", ""]
        lines += [_protocol(task, sections["last"]), ""]
        lines += ["### Cost", *_markdown_table(COST_HEADER, map(_cost_cells, sections["last"]))]
        lines += [*_class_section(task, sections["last"]), "### Figures"]
        lines += [line for part in shown[1:] for line in part]
        lines += ["", "### Settings", *_settings_section(task)]
    lines += ["## What is missing or went wrong", ""]
    lines += [f"- {_escape(text)}" for text in wrong] or ["Nothing."]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _headline(rows: Sequence[Row]) -> str:
    """Says the main result in one sentence."""
    adapted = [row for row in rows if row["method"] not in BASELINES]
    first = next((row for row in adapted if row["name"] == "dann"), next(iter(adapted), rows[0]))
    right = _percent(first["target_accuracy"]["mean"])
    text = f"{first['name']} is right on {right} % of the target's test pictures at the last step"
    difference = first["difference_from_source_only"]
    if difference:
        points = _percent(difference["mean"], "+")
        text += f", {points} points against source_only on {difference['n']} shared seeds"
        if difference["ci95"]:
            text += f" (95 % interval{_estimate(difference, '+').removeprefix(points)})"
    return f"**{_escape(text)}.**"


def _protocol(task: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Says in one paragraph how the numbers came about."""
    settings = {key: [value] for key, value in task["shared_settings"].items()}
    settings |= {key: list(own.values()) for key, own in task["differing_settings"].items()}
    values = [
        f"{text} {' or '.join(dict.fromkeys(map(str, settings[key])))}"
        for key, text in NAMED_SETTINGS.items()
        if key in settings
    ]
    fixed = len(task["split_seeds"]) == 1 and len(task["seeds"]) > 1
    varied = "the batches" if fixed else "the batches and the split of the target"
    errors = [f"{row['name']} {_percent(row['binomial_standard_error'])}" for row in rows]
    sights = [f"{row['name']} {row['sees_target']}" for row in rows]
    seen = "were also seen in training, without labels" if task["target_test_seen"] else "unseen"
    sentences = [
        "The rule of the main table was fixed beforehand: last, the weights after the last step.",
        "source_val takes the step of the highest accuracy on held-out source examples; those "
        "within one standard error count as equal, and the latest is taken.",
        "oracle takes the step by the target's validation labels, which nobody who adapts has.",
        f"{_join('Seed', task['seeds'])}: a seed changes the initial weights, {varied}. Rows share "
        "all of that, so differences are paired by seed; a seed that one row lacks is dropped "
        "from the pair.",
        "Intervals are 95 % t intervals over seeds, from 20 seeds on BCa bootstrap intervals. Gap "
        "covered is a ratio of means; its interval is a bootstrap over seeds, too narrow for few.",
        "All seeds share one data set: the intervals say nothing about other data.",
        f"Binomial standard error of one run, in points: {', '.join(errors)}.",
        f"Settings: {', '.join(values)}.",
        f"The target's test pictures in training: {seen} "
        f"(target_test_seen {str(task['target_test_seen']).lower()}).",
        f"What rows see of the target: {', '.join(sights)}.",
        f"Commit {', '.join(task['commits'])}; hardware {', '.join(task['hardware'])}; versions "
        f"{', '.join(task['versions'])}.",
    ]
    return _escape(" ".join(sentences))


def _cost_cells(row: Row) -> list[str]:
    numbers = [row["parameters"].get("total"), row["parameters"].get("trained"), row["members"]]
    numbers += [row["milliseconds_per_step"], row["pictures_per_second"]]
    written = ["-" if not _is_number(x) else f"{x:,.0f}" for x in numbers]
    if row["milliseconds_per_step"] is not None:
        written[3] = f"{row['milliseconds_per_step']:.1f}"
    return [row["name"], row["sees_target"], _percent(row["source_val_accuracy"]), *written]


def _class_section(task: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Writes each class's accuracy change against source only."""
    changed = [row for row in rows if row["per_class_change"]]
    counts = {len(row["per_class_change"]) for row in changed}
    if len(counts) != 1:
        return []
    table = [
        [name, *(_percent(row["per_class_change"][index], "+") for row in changed)]
        for index, name in enumerate(_class_names(task["classes"], counts.pop()))
    ]
    return [
        "### Change of each class's accuracy against source_only",
        *_markdown_table(["class", *(row["name"] for row in changed)], table),
        "Points at the last step, mean over the shared seeds.",
        "",
    ]


def _class_names(names: Sequence[str], count: int) -> list[str]:
    return list(names) if len(names) == count else [str(index) for index in range(count)]


def _settings_section(task: Mapping[str, Any]) -> list[str]:
    """Lists the settings in which rows differ, and those that they share."""
    lines, differing = [], task["differing_settings"]
    if differing:
        names = list(next(iter(differing.values())))
        table = [
            [key, *("-" if own[name] is None else json.dumps(own[name]) for name in names)]
            for key, own in differing.items()
        ]
        lines += _markdown_table(["setting", *names], table)
    shared = [f"    {key} = {json.dumps(own)}" for key, own in task["shared_settings"].items()]
    summary = "<details><summary>The same in all rows</summary>"
    return [*lines, "", summary, "", *shared, "", "</details>", ""]


def _csv(runs: Sequence[Run]) -> str:
    """Writes one line a run and selection."""
    table: list[Sequence[Any]] = [
        (
            *("experiment", "task", "method", "row", "seed", "selection", "step"),
            *("target_test_accuracy", "source_val_accuracy", "run"),
        )
    ]
    for (experiment, task), group in _group_by_task(runs).items():
        for name, members in _rows_of(group)[0].items():
            for seed, run in members.items():
                for selection, chosen in run.result["selections"].items():
                    line = [experiment, task, _method(name), name, seed, selection]
                    line += [chosen.get("step"), chosen[ACCURACY]]
                    table.append([*line, chosen.get("source_val_accuracy"), run.name])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([map(_csv_cell, line) for line in table])
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    """Keeps a spreadsheet from taking text for a formula."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value


def write_report(folders: Sequence[Path], destination: Path | None = None) -> Report:
    """Writes `report.md`, `summary.json`, `results.csv` and `figures/`.

    Everything is made first and then moved to its place file by file: a crash before that leaves
    the old report, a crash in between leaves whole files.

    Args:
        folders: Run folders, folders of experiments, or folders of those.
        destination: Folder of the report; `report` inside the first folder if None.

    Returns:
        What was written.
    """
    runs = read_runs(folders)
    summary = summarize(runs)
    groups = _group_by_task(runs)
    destination = folders[0] / "report" if destination is None else destination
    (destination / "figures").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination, prefix=".new-") as name:
        new = Path(name)
        (new / "figures").mkdir()
        for task, ((experiment, pair), group) in zip(summary["tasks"], groups.items(), strict=True):
            slug = re.sub(r"[^A-Za-z0-9]+", "_", f"{experiment}_{pair}_")
            task["figures"] = _save_figures(group, new, slug if len(groups) > 1 else "")
        (new / "results.csv").write_text(_csv(runs), encoding="utf-8")
        write_json(new / "summary.json", summary)
        (new / "report.md").write_text(_markdown(summary), encoding="utf-8")
        made = [f"figures/{path.name}" for path in sorted((new / "figures").iterdir())]
        stale = _figures_of(destination / "summary.json").difference(made)
        for file in (*made, "results.csv", "summary.json", "report.md"):
            os.replace(new / file, destination / file)
    for file in stale:
        (destination / file).unlink(missing_ok=True)
    return Report(destination / "report.md", summary, [destination / file for file in made])


def _figures_of(path: Path) -> set[str]:
    """Names the figures that an earlier report wrote."""
    try:
        tasks = _read_json(path)["tasks"]
        files = {entry.get("file", "") for task in tasks for entry in task["figures"].values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()
    return {file for file in files if re.fullmatch(r"figures/[A-Za-z0-9_]+\.png", file)}


def _save_figures(group: Sequence[Run], folder: Path, prefix: str) -> dict[str, dict[str, str]]:
    """Draws the figures of one task; one that cannot be drawn gets a reason."""
    entries = {}
    for name, draw in _figure_makers(group).items():
        file = f"figures/{prefix}{name}.png"
        try:
            # Without the name of the software, equal figures are equal files.
            draw().savefig(folder / file, metadata={"Software": None})
            entries[name] = {"file": file, "reading": READING[name]}
        # The tables must not be lost because the arrays of one run are odd.
        except Exception as error:
            entries[name] = {"reason": str(error) or type(error).__name__}
    return entries


def _figure_makers(group: Sequence[Run]) -> dict[str, Callable[[], Any]]:
    """Returns functions that draw the figures of one task, by name."""
    members, _ = _rows_of(group)
    classes = _describe(group, members)["classes"]
    task = group[0].result["task"].replace(">", " → ")
    adapted = [name for name in members if _method(name) not in BASELINES]
    after = next((name for name in adapted if name == "dann"), next(iter(adapted), None))
    before = _reference(after or next(iter(members)), "source_only", members)
    pair = [name for name in (before, after) if name is not None] or list(members)[:1]
    colors = figures.colors_of(members)
    confusions = {name: _confusions(members[name], "last") for name in members}

    def show_accuracy():
        accuracy = {name: _values(runs, "last") for name, runs in members.items()}
        title = f"{task}: target test accuracy at the last step"
        return figures.accuracy_by_method(accuracy, colors, title=title)

    def show_training():
        records = {name: [run.records for run in runs.values()] for name, runs in members.items()}
        title = f"{task}: median and middle half of the seeds"
        return figures.training_curves(records, colors, title=title)

    def show_pictures():
        seed, outputs = _shared_outputs({name: members[name] for name in pair})
        title = f"{task}: pictures and predictions (seed {seed})"
        return figures.sample_pictures(outputs, classes, colors, title=title)

    def show_embedding():
        seed, outputs = _shared_outputs({name: members[name] for name in pair})
        title = f"{task}: features by t-SNE (seed {seed})"
        return figures.embedding(outputs, classes, title=title)

    def show_confusion():
        counts = {name: np.stack([*confusions[name].values()]) for name in pair if confusions[name]}
        names = _class_names(classes, _only({array.shape[-1] for array in counts.values()}))
        return figures.confusion(counts, names, title=f"{task}: what target pictures are taken for")

    def show_change():
        changes = {}
        for name in adapted:
            base = confusions.get(_reference(name, "source_only", members) or "", {})
            change = _class_change(confusions[name], base)
            changes |= {} if change is None else {name: change}
        names = _class_names(classes, _only({change.shape[-1] for change in changes.values()}))
        title = f"{task}: change of each class{f', {adapted[0]}' if len(adapted) == 1 else ''}"
        return figures.per_class_change(changes, names, colors, title=title)

    return {
        "accuracy_by_method": show_accuracy,
        "training_curves": show_training,
        "sample_pictures": show_pictures,
        "embedding": show_embedding,
        "confusion": show_confusion,
        "per_class_change": show_change,
    }


def _only(sizes: set[int]) -> int:
    if len(sizes) != 1:
        raise ValueError("there are no confusion matrices of one size to compare")
    return sizes.pop()


def _shared_outputs(rows: Mapping[str, RunsBySeed]) -> tuple[int, dict[str, dict[str, np.ndarray]]]:
    """Reads `outputs.npz` of the first seed for which all rows have it."""
    for seed in sorted(set.intersection(*(set(runs) for runs in rows.values()))):
        paths = {name: runs[seed].folder / "outputs.npz" for name, runs in rows.items()}
        if all(path.is_file() for path in paths.values()):
            return seed, {name: _load_arrays(path) for name, path in paths.items()}
    raise ValueError(f"there is no seed for which {' and '.join(rows)} have outputs.npz")


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise ValueError(f"{path.parent.name}/{path.name} cannot be read") from None
