"""Tables and figures of finished runs, made from their run folders alone."""

from __future__ import annotations

import csv
import io
import json
import math
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
# Rows are listed in this order, with all other methods in between.
FIRST_METHODS = ("source_only_blind", "source_only", "statistics_only", "dann")
LAST_METHODS = ("train_on_both", "train_on_target")
BASELINES = (*FIRST_METHODS[:3], *LAST_METHODS)
# Keys that tell runs of one row apart, or that no row is about.
NOT_SETTINGS = ("experiment", "method", "seed", "data.split_seed", "init_from.run")
SELECTION_TITLES = {
    "last": "the weights after the last step",
    "source_val": "best source validation accuracy, the latest of equal ones",
    "oracle": "uses target labels; for comparison only",
}
# A discriminator that is right less often than this is outrun by the reversed gradient.
OUTRUN_ACCURACY, OUTRUN_SHARE = 0.45, 0.05

Row = dict[str, Any]


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
        The runs in the order of their paths, each once.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if _is_run(folder):
            found[folder.resolve()] = None
            continue
        for experiment in (folder, *_children(folder)):
            children = _children(experiment)
            if (experiment / "sweep.json").is_file() or any(map(_is_run, children)):
                planned = [experiment / name for name in _planned(experiment / "sweep.json")]
                found |= {path.resolve(): None for path in sorted({*children, *planned})}
    return [_read_run(path) for path in found]


def _is_run(folder: Path) -> bool:
    names = ("config.json", "metrics.jsonl", "result.json", "failure.json")
    return any((folder / name).is_file() for name in names)


def _children(folder: Path) -> list[Path]:
    """Lists the folders inside a folder that may be runs."""
    if not folder.is_dir() or folder.name in ("populations", "report"):
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and path.name not in ("populations", "report")
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
            record = {**record, "step": int(record["step"])}
        except (ValueError, KeyError, TypeError, RecursionError):
            return records, [f"{path.name} is read up to line {number}, which is no record"]
        records.append(record)
    return records, []


def _read_run(folder: Path) -> Run:
    problems = []
    contents: dict[str, dict[str, Any]] = {"config.json": {}, "result.json": {}}
    for name in contents:
        try:
            contents[name] = _read_json(folder / name)
        except ValueError as error:
            problems.append(str(error))
    about, result = contents.values()
    config = about.pop("config", {})
    if not isinstance(config, dict):
        problems, config = [*problems, "config.json holds no config"], {}
    records, record_notes = _read_records(folder / "metrics.jsonl")
    times, time_notes = _read_records(folder / "time.jsonl")
    notes, state = [*record_notes, *time_notes], "incomplete"
    if not folder.is_dir():
        problems = ["planned, not started"]
    elif (folder / "failure.json").is_file():
        state = "failed"
        try:
            failure = _read_json(folder / "failure.json")
            problems = [str(failure.get("reason", "no reason is given"))]
        except ValueError as error:
            problems = [str(error)]
    elif "result.json is missing" in problems and records:
        problems.append(f"stopped at step {records[-1]['step']}")
    elif not problems:
        problems = _problems(result)
        state = "incomplete" if problems else "done"
    if state == "done":
        chosen = result["selections"]
        result["selections"] = {
            name: value for name, value in chosen.items() if _is_selection(value)
        }
        notes += [
            f"selection {name} has no target test accuracy"
            for name in chosen.keys() - result["selections"].keys()
        ]
    reason = "; ".join(problems)
    return Run(folder, folder.name, state, reason, config, about, result, records, times, notes)


def _problems(result: Mapping[str, Any]) -> list[str]:
    """Says what a result lacks to stand in a table."""
    kinds = {"task": str, "method": str, "seed": int, "selections": dict}
    lacking = [name for name, kind in kinds.items() if not isinstance(result.get(name), kind)]
    if not lacking and not _is_selection(result["selections"].get("last")):
        lacking = [f"an accuracy in [0, 1] as selections.last.{ACCURACY}"]
    return [f"result.json lacks {name}" for name in lacking]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_selection(value: Any) -> bool:
    accuracy = value.get(ACCURACY) if isinstance(value, dict) else None
    return _is_number(accuracy) and 0 <= accuracy <= 1


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
        steps = after["step"] - before["step"]
        seconds = [record.get("seconds") for record in (before, after)]
        if (
            before.get("start") == after.get("start")
            and steps > 0
            and all(map(_is_number, seconds))
        ):
            paces.append(1000 * (seconds[1] - seconds[0]) / steps)
    return float(np.median(paces)) if paces else None


def summarize(runs: Sequence[Run]) -> dict[str, Any]:
    """Compares the rows of finished runs.

    Args:
        runs: All runs, finished or not.

    Returns:
        The content of `summary.json`: `rows` (selection `last` first, `oracle` last), `tasks`,
        `incomplete`, `failed` and `notes`.
    """
    done = [run for run in runs if run.state == "done"]
    tasks, rows = [], []
    notes = [f"{run.name}: {note}" for run in done for note in (*run.notes, *_warnings(run))]
    for (experiment, task), group in _group(done, _task_of).items():
        members, repeated = _rows_of(group)
        notes += [f"{name}: another folder has the same run; one is used" for name in repeated]
        seeds = sorted({seed for runs_of_row in members.values() for seed in runs_of_row})
        own = [
            _make_row(name, selection, members, seeds)
            for selection in _selections(group)
            for name in members
        ]
        own = [{"experiment": experiment, "task": task, **row} for row in own if row]
        rows += own
        notes += [
            f"{row['name']}: no finished run for {_join('seed', row['missing_seeds'])}; such pairs "
            "are dropped"
            for row in own
            if row["selection"] == "last" and row["missing_seeds"]
        ]
        if not any(_method(name) == "source_only" for name in members):
            notes.append(f"{task}: there is no row source_only to compare with")
        tasks.append({"experiment": experiment, "task": task, **_describe(group, members)})
    order = [*SELECTION_TITLES][:-1]
    rank = {"oracle": (2, "")} | {name: (0, f"{place}") for place, name in enumerate(order)}
    return as_json(
        {
            "experiment": ", ".join(dict.fromkeys(task["experiment"] for task in tasks)),
            "rows": sorted(rows, key=lambda row: rank.get(row["selection"], (1, row["selection"]))),
            "tasks": tasks,
            **{
                state: [
                    {"run": run.name, "folder": str(run.folder.parent.name), "reason": run.reason}
                    for run in runs
                    if run.state == state
                ]
                for state in ("incomplete", "failed")
            },
            "notes": notes,
        }
    )


def _group(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _task_of(run: Run) -> tuple[str, str]:
    return str(run.result.get("experiment", run.folder.parent.name)), run.result["task"]


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat |= _flatten(value, f"{prefix}{key}.")
        elif f"{prefix}{key}".split(".")[0] != "runtime" and f"{prefix}{key}" not in NOT_SETTINGS:
            flat[f"{prefix}{key}"] = value
    return flat


def _differing(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names the keys that do not have one value in all settings."""
    every = list(settings)
    return [
        key
        for key in sorted({key for own in every for key in own})
        if len({json.dumps(own.get(key), sort_keys=True) for own in every}) > 1
    ]


def _settings(runs: Mapping[int, Run]) -> dict[str, Any]:
    """Returns the settings of a row, which are those of any of its runs."""
    return _flatten(next(iter(runs.values())).config)


def _rows_of(group: Sequence[Run]) -> tuple[dict[str, dict[int, Run]], list[str]]:
    """Sorts runs of one task into rows.

    Runs of one method whose settings differ are different rows, named by what differs: their mean
    would say nothing.

    Returns:
        Runs by seed, by the row's name; and the names of runs that were there before.
    """
    rows: dict[str, dict[int, Run]] = {}
    repeated = []
    by_method = _group(group, lambda run: run.result["method"])
    for method in sorted(by_method, key=_method_order):
        flat = {id(run): _flatten(run.config) for run in by_method[method]}
        differing = _differing(flat.values())
        for run in by_method[method]:
            settings = {key: flat[id(run)].get(key) for key in differing}
            row = rows.setdefault(", ".join([method, *_short_settings(settings)]), {})
            if run.result["seed"] in row:
                repeated.append(run.name)
            row.setdefault(run.result["seed"], run)
    return rows, repeated


def _method_order(method: str) -> tuple[int, int, str]:
    for part, names in enumerate((FIRST_METHODS, LAST_METHODS)):
        if method in names:
            return 2 * part, names.index(method), method
    return 1, 0, method


def _short_settings(settings: Mapping[str, Any]) -> list[str]:
    """Writes settings with the shortest names that tell them apart."""
    last = [key.rpartition(".")[2] for key in settings]
    return [
        f"{short if last.count(short) == 1 else key}={json.dumps(value).strip(chr(34))}"
        for short, (key, value) in zip(last, settings.items(), strict=True)
    ]


def _selections(group: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in group for name in run.result["selections"]))


def _reference(name: str, method: str, members: Mapping[str, Mapping[int, Run]]) -> str | None:
    """Names the row of a method with which another row can be compared.

    Of several rows of the method, it is the one whose distinguishing settings are the row's own.
    """
    flat = {row: _settings(runs) for row, runs in members.items() if _method(row) == method}
    own, differing = _settings(members[name]), _differing(flat.values())
    equal = [row for row in flat if all(flat[row].get(key) == own.get(key) for key in differing)]
    return equal[0] if len(equal) == 1 else None


def _method(name: str) -> str:
    """Returns the method of a row from the row's name."""
    return name.partition(",")[0]


def _values(runs: Mapping[int, Run], selection: str, key: str = ACCURACY) -> dict[int, float]:
    """Returns a selection's value by seed, where there is one."""
    chosen = {seed: run.result["selections"].get(selection, {}) for seed, run in runs.items()}
    return {
        seed: float(chosen[seed][key])
        for seed in sorted(chosen)
        if _is_number(chosen[seed].get(key))
    }


def _confusions(runs: Mapping[int, Run], selection: str) -> dict[int, np.ndarray]:
    """Returns a selection's confusion matrix by seed, where there is one."""
    matrices = {}
    for seed, run in sorted(runs.items()):
        try:
            value = run.result["selections"].get(selection, {}).get(CONFUSION)
            matrix = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            continue
        if matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.sum() > 0:
            matrices[seed] = matrix
    shapes = {matrix.shape for matrix in matrices.values()}
    return matrices if len(shapes) == 1 else {}


def _changes(row: Mapping[int, np.ndarray], base: Mapping[int, np.ndarray]) -> np.ndarray | None:
    """Returns the change of each class's accuracy `[seed, class]` over the shared seeds."""
    shares = [
        np.stack([figures.row_shares(own[seed]).diagonal() for seed in sorted(own)])
        for own in ({seed: own[seed] for seed in row.keys() & base.keys()} for own in (row, base))
        if own
    ]
    if len(shares) < 2 or shares[0].shape != shares[1].shape:
        return None
    return shares[0] - shares[1]


def _median(values: Iterable[Any]) -> float | None:
    numbers = [value for value in values if _is_number(value)]
    return float(np.median(numbers)) if numbers else None


def _make_row(
    name: str, selection: str, members: Mapping[str, Mapping[int, Run]], seeds: Sequence[int]
) -> Row | None:
    """Summarizes one row under one selection, or returns None where it has no value."""
    runs, method = members[name], _method(name)
    accuracy = _values(runs, selection)
    if not accuracy:
        return None
    mean, numbers = float(np.mean(list(accuracy.values()))), list(accuracy.values())
    references = {key: _reference(name, key, members) for key in BASELINES}
    others = {
        key: _values(members[row], selection)
        for key, row in references.items()
        if row is not None and row != name
    }
    differences = {
        key: statistics.paired_difference(accuracy, others[key]) if key in others else None
        for key in ("source_only", "statistics_only")
    }
    gap = None
    if method not in BASELINES and {"source_only", "train_on_target"} <= others.keys():
        gap = statistics.gap_covered(accuracy, others["source_only"], others["train_on_target"])
    confusions = _confusions(runs, selection)
    base = references["source_only"]
    changes = None
    if base is not None and base != name:
        changes = _changes(confusions, _confusions(members[base], selection))
    shares = [figures.row_shares(matrix).diagonal() for matrix in confusions.values()]
    interval = differences["source_only"].ci95 if differences["source_only"] else None
    examples = _median(matrix.sum() for matrix in confusions.values())
    source = _values(runs, selection, "source_val_accuracy").values()
    return {
        "name": name,
        "method": method,
        "selection": selection,
        "n": len(accuracy),
        "target_accuracy": {
            "mean": mean,
            "sd": statistics.standard_deviation(numbers),
            "ci95": statistics.confidence_interval(numbers),
            "values": numbers,
            "seeds": list(accuracy),
        },
        "binomial_standard_error": examples
        and statistics.binomial_standard_error(mean, int(examples)),
        **{
            f"difference_from_{key}": value and value._asdict()
            for key, value in differences.items()
        },
        "gap_covered": gap and gap._asdict(),
        "negative_transfer": None if interval is None else interval[1] < 0,
        "per_class_accuracy": figures.mean_over_seeds(np.stack(shares)) if shares else None,
        "per_class_change": None if changes is None else figures.mean_over_seeds(changes),
        "source_val_accuracy": float(np.mean(list(source))) if source else None,
        "missing_seeds": [seed for seed in seeds if seed not in accuracy],
        "sees_target": _sees_target(runs),
        **_cost(runs.values()),
    }


def _sees_target(runs: Mapping[int, Run]) -> str:
    """Says what of the target a row trains on."""
    first = next(iter(runs.values()))
    if "target_labelled" in (first.config.get("domains") or ()):
        return "pictures and labels"
    return "pictures" if first.result.get("sees_target_pictures") else "nothing"


def _cost(runs: Iterable[Run]) -> Row:
    """Summarizes what a row's runs cost."""
    first = next(iter(runs))
    pace = _median(milliseconds_per_step(run.times) for run in runs)
    members = _median(run.times[-1].get("members") for run in runs if run.times)
    batch = first.config.get("data", {}).get("batch_size")
    domains = len(first.config.get("domains") or ())
    rate = None
    if pace and members and _is_number(batch) and domains:
        rate = members * batch * domains / (pace / 1000)
    return {
        "parameters": first.result.get("parameters"),
        "milliseconds_per_step": pace,
        "members": members,
        "pictures_per_second": rate,
    }


def _warnings(run: Run) -> list[str]:
    """Lists the run's own warnings, and whether its discriminator was outrun."""
    warnings = [str(text) for text in run.result.get("warnings") or ()]
    values = [
        value
        for record in run.records
        for name, value in record.items()
        if name.startswith("train/") and name.endswith("/domain_accuracy") and _is_number(value)
    ]
    low = sum(value < OUTRUN_ACCURACY for value in values)
    if values and low >= OUTRUN_SHARE * len(values):
        warnings.append(
            f"domain accuracy below {OUTRUN_ACCURACY} in {100 * low / len(values):.0f} % of the "
            "records: the reversed gradient outruns the discriminator"
        )
    return warnings


def _describe(group: Sequence[Run], members: Mapping[str, Mapping[int, Run]]) -> dict[str, Any]:
    """Collects what the runs of a task share, and in what their settings differ."""
    flat = {name: _settings(runs) for name, runs in members.items()}
    differing, first = _differing(flat.values()), next(iter(flat.values()))
    starts = [
        start for run in group for start in run.about.get("starts") or () if isinstance(start, dict)
    ]
    versions = [run.about.get("versions") or {} for run in group]
    classes = group[0].result.get("classes") or []
    return {
        "classes": [str(name) for name in classes],
        "seeds": sorted({run.result["seed"] for run in group}),
        "split_seeds": sorted(
            {str((run.config.get("data") or {}).get("split_seed")) for run in group}
        ),
        "target_test_seen": any(run.result.get("target_test_seen") for run in group),
        "shared_settings": {key: value for key, value in first.items() if key not in differing},
        "differing_settings": {
            key: {name: settings.get(key) for name, settings in flat.items()} for key in differing
        },
        "commits": sorted({str(run.about.get("git_commit")) for run in group}),
        "hardware": sorted({f"{start.get('hardware')} ({_devices(start)})" for start in starts}),
        "versions": sorted(
            {f"{name} {version}" for own in versions for name, version in own.items()}
        ),
    }


def _devices(start: Mapping[str, Any]) -> str:
    devices = [str(device) for device in start.get("devices") or ()]
    return ", ".join(f"{devices.count(name)} x {name}" for name in dict.fromkeys(devices))


def _join(noun: str, numbers: Sequence[int]) -> str:
    """Writes numbers as text: `seeds 1, 2`; runs of neighbours are shortened."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{noun}s {numbers[0]} to {numbers[-1]}"
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _percent(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def _bracketed(interval: Sequence[float] | None, sign: str = "") -> str:
    return "" if interval is None else " [{}, {}]".format(*(_percent(x, sign) for x in interval))


HEADER = ("method", "seeds", "target accuracy", "sd", "minus source_only", "gap covered")


def _cells(row: Row) -> list[str]:
    """Writes a row of the main tables, in percent and points."""
    accuracy, difference = row["target_accuracy"], row["difference_from_source_only"]
    interval, gap = accuracy["ci95"], row["gap_covered"]
    half = "" if interval is None else f" ± {_percent((interval[1] - interval[0]) / 2)}"
    return [
        row["name"],
        str(row["n"]),
        _percent(accuracy["mean"]) + half,
        _percent(accuracy["sd"]),
        _percent(difference["mean"], "+") + _bracketed(difference["ci95"], "+")
        if difference
        else "-",
        _percent(gap["mean"]) + _bracketed(gap["ci95"]) if gap else "-",
    ]


def _sections(summary: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Returns the rows of a task by selection, in order."""
    own = [
        row
        for row in summary["rows"]
        if (row["experiment"], row["task"]) == (task["experiment"], task["task"])
    ]
    return _group(own, lambda row: row["selection"])


def _remarks(rows: Sequence[Row]) -> list[str]:
    """Says what must be known beside a table."""
    few = [row["name"] for row in rows if row["target_accuracy"]["ci95"] is None]
    worse = [row["name"] for row in rows if row["negative_transfer"]]
    remarks = [f"no interval for fewer than three seeds: {', '.join(few)}"] if few else []
    if worse:
        remarks.append(f"negative transfer, the interval lies below 0: {', '.join(worse)}")
    return remarks


def _selection_title(selection: str) -> str:
    return f"{selection} ({SELECTION_TITLES.get(selection, 'a score without target labels')})"


def format_table(summary: Mapping[str, Any]) -> str:
    """Writes the comparison for a terminal.

    Args:
        summary: What `summarize` returns.

    Returns:
        Plain text, at most 100 columns wide.
    """
    lines = []
    for task in summary["tasks"]:
        lines += [f"{task['experiment']}: {task['task']}", ""]
        for selection, rows in _sections(summary, task).items():
            lines += [_selection_title(selection), *_align([HEADER, *map(_cells, rows)])]
            lines += [*_remarks(rows), ""]
    lines += [] if summary["rows"] else ["no finished runs"]
    for state in ("failed", "incomplete"):
        lines += [f"{state}: {run['run']}: {run['reason']}" for run in summary[state]]
    printable = ("".join(c if c.isprintable() else " " for c in line) for line in lines)
    return "\n".join(
        part
        for line in printable
        for part in (textwrap.wrap(line, 100) if len(line) > 100 else [line])
    ).rstrip()


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
    lines = [header, ["---"] * len(header), *rows]
    texts = [[str(cell) if cell == "---" else _escape(cell) for cell in line] for line in lines]
    return ["", *(f"| {' | '.join(line)} |" for line in texts), ""]


def _protocol(task: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Says in one paragraph how the numbers came about."""
    settings = task["shared_settings"] | {
        key: " or ".join(dict.fromkeys(map(str, values.values())))
        for key, values in task["differing_settings"].items()
    }
    named = {
        "num_steps": "steps",
        "data.batch_size": "examples of each domain in a batch",
        "model.name": "network",
        "model.normalization": "normalisation",
        "optimizer.name": "optimizer",
        "optimizer.learning_rate": "learning rate",
        "optimizer.ema_decay": "decay of the averaged weights",
    }
    values = [f"{text} {settings[key]}" for key, text in named.items() if key in settings]
    split = len(task["split_seeds"]) == 1 and len(task["seeds"]) > 1
    varied = (
        "the initial weights and the batches"
        if split
        else ("the initial weights, the batches and the split of the target")
    )
    errors = [
        f"{row['name']} {_percent(row['binomial_standard_error'])}"
        for row in rows
        if row["binomial_standard_error"] is not None
    ]
    seen = (
        "were also seen in training, without labels"
        if task["target_test_seen"]
        else ("were not seen in training")
    )
    sentences = [
        "The rule of the main table was fixed beforehand: `last`, the weights after the last step.",
        "`source_val` takes the step of the highest accuracy on held-out source examples; those "
        "within one standard error count as equal, and the latest is taken.",
        "`oracle` takes the step by target validation labels: nobody who adapts has them.",
        f"{_join('Seed', task['seeds'])}. A seed changes {varied}; rows share all of that, so "
        "differences are paired by seed, and a seed that one row lacks is dropped from the pair.",
        "Intervals are 95 % t intervals over seeds (BCa bootstrap from 20 seeds on; gap covered: "
        "the ratio of means, with a bootstrap over seeds, which for few seeds is too narrow).",
        "All seeds share one data set: the intervals say nothing about other data.",
        *(
            [f"Binomial standard error of one run, in points: {', '.join(errors)}."]
            if errors
            else []
        ),
        f"Settings: {', '.join(values)}." if values else "",
        f"The target's test pictures {seen} (target_test_seen: {task['target_test_seen']}).",
        "Rows see of the target: "
        + ", ".join(f"{r['name']} {r['sees_target']}" for r in rows)
        + ".",
        f"Commit {', '.join(task['commits'])}; hardware {', '.join(task['hardware'])}; "
        f"versions {', '.join(task['versions'])}.",
    ]
    return _escape(" ".join(filter(None, sentences))).replace("\\`", "`")


def _markdown(summary: Mapping[str, Any]) -> str:
    """Writes `report.md`."""
    lines = [f"# {_escape(summary['experiment'] or 'No finished runs')}"]
    for task in summary["tasks"]:
        sections = _sections(summary, task)
        rows = sections["last"]
        lines += ["", f"## {_escape(task['experiment'])}: {_escape(task['task'])}", ""]
        drawn = {name: entry for name, entry in task["figures"].items() if "file" in entry}
        lines += _show_figure(drawn.pop("accuracy_by_method", None))
        for selection, own in sections.items():
            lines += [f"### Selection {_escape(_selection_title(selection))}"]
            lines += _markdown_table(HEADER, map(_cells, own))
            lines += [f"{_escape(remark)}." for remark in _remarks(own)]
        lines += ["", "Accuracies in percent, mean ± half of the 95 % interval; sd is the sample"]
        lines += ["standard deviation over seeds; differences in points.", "", "### Protocol", ""]
        lines += [_protocol(task, rows), "", "### Cost", ""]
        lines += _markdown_table(COST, map(_cost_cells, rows))
        lines += _class_section(task, rows)
        lines += ["### Figures", "", *(line for e in drawn.values() for line in _show_figure(e))]
        lines += _settings_section(task)
    lines += ["", "## What is missing or went wrong", ""]
    lines += [
        f"- {state}: {_escape(run['folder'])}/{_escape(run['run'])}: {_escape(run['reason'])}"
        for state in ("failed", "incomplete")
        for run in summary[state]
    ]
    lines += [f"- {_escape(note)}" for note in summary["notes"]]
    lines += [
        f"- no figure {name} of {_escape(task['task'])}: {_escape(entry['reason'])}"
        for task in summary["tasks"]
        for name, entry in task["figures"].items()
        if "reason" in entry
    ]
    text = "\n".join(lines + (["Nothing."] if not lines[-1] else []))
    return re.sub(r"\n{3,}", "\n\n", text) + "\n"


def _show_figure(entry: Mapping[str, str] | None) -> list[str]:
    if entry is None:
        return []
    return [f"![{_escape(entry['reading'])}]({entry['file']})", "", _escape(entry["reading"]), ""]


COST = (
    *("method", "sees of the target", "source validation accuracy", "parameters", "trained"),
    *("runs in one program", "milliseconds a step of the program", "pictures a second"),
)


def _cost_cells(row: Row) -> list[str]:
    counts = row["parameters"] if isinstance(row["parameters"], dict) else {}

    def whole(value: Any) -> str:
        return f"{value:,.0f}" if _is_number(value) else "-"

    pace = row["milliseconds_per_step"]
    return [
        row["name"],
        row["sees_target"],
        _percent(row["source_val_accuracy"]),
        whole(counts.get("total")),
        whole(counts.get("trained")),
        whole(row["members"]),
        "-" if pace is None else f"{pace:.1f}",
        whole(row["pictures_per_second"]),
    ]


def _class_section(task: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Writes each class's accuracy change against source only."""
    changed = [row for row in rows if row["per_class_change"]]
    if not changed:
        return []
    classes = _class_names(task["classes"], len(changed[0]["per_class_change"]))
    return [
        "### Change of each class's accuracy against source_only",
        *_markdown_table(
            ["class", *(row["name"] for row in changed)],
            [
                [name, *(_percent(row["per_class_change"][index], "+") for row in changed)]
                for index, name in enumerate(classes)
            ],
        ),
        "Points at the last step, mean over the shared seeds.",
        "",
    ]


def _class_names(names: Sequence[str], count: int) -> list[str]:
    return list(names) if len(names) == count else [str(index) for index in range(count)]


def _settings_section(task: Mapping[str, Any]) -> list[str]:
    """Lists the settings in which rows differ, and those that they share."""
    differing = task["differing_settings"]
    lines = ["### Settings", "", "In these settings the rows differ; all others are the same."]
    if differing:
        names = list(next(iter(differing.values())))
        lines += _markdown_table(
            ["setting", *names],
            [[key, *(json.dumps(own[name]) for name in names)] for key, own in differing.items()],
        )
    shared = [f"    {key} = {json.dumps(own)}" for key, own in task["shared_settings"].items()]
    return [
        *lines,
        "",
        "<details><summary>The same in all rows</summary>",
        "",
        *shared,
        "",
        "</details>",
        "",
    ]


def _csv(runs: Sequence[Run]) -> str:
    """Writes one line a run and selection."""
    header = (
        *("experiment", "task", "method", "row", "seed", "selection", "step"),
        *("target_test_accuracy", "source_val_accuracy", "run", "params_sha256"),
    )
    done = [run for run in runs if run.state == "done"]
    lines = []
    for (experiment, task), group in _group(done, _task_of).items():
        for name, members in _rows_of(group)[0].items():
            for run in members.values():
                for selection, chosen in run.result["selections"].items():
                    line = [experiment, task, _method(name), name, run.result["seed"], selection]
                    line += [chosen.get("step"), chosen[ACCURACY]]
                    line += [chosen.get("source_val_accuracy"), run.name]
                    lines.append([*line, run.result.get("params_sha256")])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [header, *(map(_csv_cell, line) for line in lines)]
    )
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    """Keeps a spreadsheet from taking text for a formula."""
    is_formula = isinstance(value, str) and value[:1] in tuple("=+-@\t\r") and value
    return f"'{value}" if is_formula else value


READING = {
    "accuracy_by_method": "Small dots are single seeds, large dots means, bars 95 % intervals over "
    "seeds; thin lines join the runs of one seed in source_only and dann.",
    "training_curves": "Lines are medians over seeds, bands the middle half of the seeds; target "
    "accuracy is shown for comparison and steers nothing.",
    "sample_pictures": "The first pictures of each class in the order of the splits, and what each "
    "row takes the target's for; wrong predictions are crossed.",
    "embedding": "Features of single examples in two dimensions by t-SNE: near points are alike, "
    "while sizes of clusters and distances between them mean nothing; adaptation should mix the "
    "domains on the left and keep the classes apart on the right.",
    "confusion": "A line is a true class, a column what it is taken for, in percent of the line "
    "and averaged over seeds; a perfect row is dark on the diagonal alone.",
    "per_class_change": "Dots are mean changes of a class's accuracy over the shared seeds, bars "
    "95 % intervals; what lies left of zero lost by adaptation.",
}


def _draw(group: Sequence[Run]) -> dict[str, Callable[[], Any]]:
    """Returns functions that draw the figures of one task, by name."""
    members = _rows_of(group)[0]
    described = _describe(group, members)
    adapted = [name for name in members if _method(name) not in BASELINES]
    after = next((name for name in adapted if name == "dann"), next(iter(adapted), None))
    before = _reference(after or next(iter(members)), "source_only", members)
    pair = [name for name in (before, after) if name is not None] or list(members)[:1]
    task = group[0].result["task"].replace(">", " → ")
    confusions = {name: _confusions(members[name], "last") for name in members}
    shown = {name: np.stack([*confusions[name].values()]) for name in pair if confusions[name]}
    changes = {
        name: change
        for name in adapted
        if (base := _reference(name, "source_only", members)) is not None
        if (change := _changes(confusions[name], confusions[base])) is not None
    }

    def classes(of_class: Iterable[np.ndarray]) -> list[str]:
        counts = {array.shape[-1] for array in of_class}
        if len(counts) != 1:
            raise ValueError("no confusion matrices of one size")
        return _class_names(described["classes"], counts.pop())

    def outputs() -> tuple[str, dict[str, dict[str, np.ndarray]]]:
        seeds = set.intersection(*(set(members[name]) for name in pair))
        for seed in sorted(seeds):
            paths = {name: members[name][seed].folder / "outputs.npz" for name in pair}
            if all(path.is_file() for path in paths.values()):
                return f"seed {seed}", {name: _load(path) for name, path in paths.items()}
        raise ValueError(f"no seed of which {' and '.join(pair)} have outputs.npz")

    def draw_outputs(draw: Callable[..., Any], title: str) -> Any:
        seed, arrays = outputs()
        return draw(arrays, described["classes"], title=f"{title} ({seed})")

    accuracy = {name: _values(runs, "last") for name, runs in members.items()}
    curves = {name: [run.records for run in runs.values()] for name, runs in members.items()}
    return {
        "accuracy_by_method": lambda: figures.accuracy_by_method(
            accuracy, title=f"{task}: target test accuracy at the last step"
        ),
        "training_curves": lambda: figures.training_curves(
            curves, title=f"{task}: training, median and middle half of the seeds"
        ),
        "sample_pictures": lambda: draw_outputs(
            figures.sample_pictures, f"{task}: pictures and predictions"
        ),
        "embedding": lambda: draw_outputs(
            figures.embedding, f"{task}: features in two dimensions by t-SNE"
        ),
        "confusion": lambda: figures.confusion(
            shown, classes(shown.values()), title=f"{task}: what target pictures are taken for"
        ),
        "per_class_change": lambda: figures.per_class_change(
            changes,
            classes(changes.values()),
            title=f"{task}: change of each class, {', '.join(changes)}",
        ),
    }


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise ValueError(f"{path.parent.name}/{path.name} cannot be read") from None


def _save_figures(group: Sequence[Run], prefix: str, folder: Path) -> dict[str, dict[str, str]]:
    """Draws the figures of one task; one that cannot be drawn gets a reason."""
    entries = {}
    for name, draw in _draw(group).items():
        file = f"figures/{prefix}{name}.png"
        try:
            # Without the name of the software, equal figures are equal files.
            draw().savefig(folder / file, dpi=figures.DPI, metadata={"Software": None})
            entries[name] = {"file": file, "reading": READING[name]}
        # The tables must not be lost because one run's arrays are odd.
        except Exception as error:
            entries[name] = {"reason": str(error) or type(error).__name__}
    return entries


def write_report(folders: Sequence[Path], destination: Path | None = None) -> Report:
    """Writes `report.md`, `summary.json`, `results.csv` and `figures/`.

    All is made beside the destination first, then moved there file by file: a crash in between
    leaves whole files, and one before leaves the old report.

    Args:
        folders: Run folders, folders of experiments, or folders of those.
        destination: Folder of the report; `report` inside the first folder if None.

    Returns:
        What was written.
    """
    runs = read_runs(folders)
    summary = summarize(runs)
    groups = _group([run for run in runs if run.state == "done"], _task_of)
    destination = folders[0] / "report" if destination is None else destination
    (destination / "figures").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination, prefix=".new-") as name:
        folder = Path(name)
        (folder / "figures").mkdir()
        for task, ((experiment, pair), group) in zip(summary["tasks"], groups.items(), strict=True):
            words = re.sub(r"[^A-Za-z0-9]+", "_", f"{experiment}_{pair}_")
            task["figures"] = _save_figures(group, words if len(groups) > 1 else "", folder)
        (folder / "results.csv").write_text(_csv(runs), encoding="utf-8")
        write_json(folder / "summary.json", summary)
        (folder / "report.md").write_text(_markdown(summary), encoding="utf-8")
        made = sorted(path.name for path in (folder / "figures").iterdir())
        stale = _figures_of(destination / "summary.json") - {f"figures/{name}" for name in made}
        files = [*(f"figures/{name}" for name in made), "results.csv", "summary.json", "report.md"]
        for file in files:
            os.replace(folder / file, destination / file)
    for file in stale:
        (destination / file).unlink(missing_ok=True)
    return Report(
        destination / "report.md", summary, [destination / "figures" / name for name in made]
    )


def _figures_of(path: Path) -> set[str]:
    """Names the figures that an earlier report wrote."""
    try:
        tasks = _read_json(path)["tasks"]
        files = {entry.get("file", "") for task in tasks for entry in task["figures"].values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()
    return {file for file in files if re.fullmatch(r"figures/[A-Za-z0-9_]+\.png", file)}
