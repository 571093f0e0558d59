"""What run folders say, read with tolerance for whatever is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from common.experiment.setting import identity_of

ACCURACY = "oracle/target_test_accuracy"


# No run: what experiments keep beside their runs.
RESERVED = ("logs", "populations", "report", "search")


RunsBySeed = Mapping[int, "Run"]


class Run(NamedTuple):
    """What a run folder says.

    Attributes:
        folder: The run folder.
        name: The run id.
        state: `done`; `unlabelled` where it is done and its target has no labels to compare
            predictions with; `measured` where it is done and its primary metric is no accuracy;
            `pretraining` where it is done and learned no prediction; `failed` or `incomplete`.
        reason: Why it is not done; empty when it is.
        config: The resolved config, empty where it cannot be read.
        about: `config.json` without the config: commit, versions, starts.
        result: `result.json`, empty where it cannot be read.
        records: `metrics.jsonl`.
        times: `time.jsonl`.
        notes: What was odd about the folder, one sentence each.
        is_cross_validated: Whether runs that hold out folds chose its setting.
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
    is_cross_validated: bool = False


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
    runs = [_read_run(path) for path in found]
    chosen = {_identity_of(run) for run in runs if _has_fold(run)}
    return [
        run._replace(is_cross_validated=not _has_fold(run) and _identity_of(run) in chosen)
        for run in runs
    ]


def _has_fold(run: Run) -> bool:
    return part_of(run.config, "data", dict).get("fold") is not None


def _identity_of(run: Run) -> str:
    """Names the setting of a run; a run whose config cannot be read has none of its own."""
    is_whole = {"data", "init_from"} <= run.config.keys()
    return identity_of(run.config) if is_whole else run.name


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
        populations = read_object(path)["populations"]
        return [name for names in populations for name in names if Path(name).name == name]
    except (ValueError, KeyError, TypeError):
        return []


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        ValueError: The file is missing, cannot be read, or holds something else.
    """
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
            contents[name] = read_object(folder / name)
        except ValueError as error:
            contents[name] = {}
            problems.append(str(error))
    about, result = contents.values()
    config = part_of(about, "config", dict)
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
        is_labelled = part_of(result, "oracle", dict).get("labelled_test_examples") != 0
        problems = _problems(result, is_labelled)
        of_labelled = "done" if primary_of(result) == "accuracy" else "measured"
        state = "incomplete" if problems else of_labelled if is_labelled else "unlabelled"
        if not problems and part_of(result, "judged_by", list):
            state = "pretraining"
    if state in ("done", "measured"):
        chosen, good = result["selections"], {}
        for name, value in chosen.items():
            if _is_selection(value, primary_of(result)):
                good[name] = value
            else:
                notes.append(f"selection {name} has no target test {primary_of(result)}")
        result = {**result, "selections": good}
    reason = "; ".join(problems)
    return Run(folder, folder.name, state, reason, config, about, result, records, times, notes)


def _failure(path: Path) -> str:
    """Returns the reason of a failure, with its step."""
    try:
        failure = read_object(path)
    except ValueError as error:
        return str(error)
    reason = str(failure.get("reason", "no reason is given"))
    return reason if "step" in reason else f"{reason} (step {failure.get('step')})"


def _problems(result: Mapping[str, Any], is_labelled: bool) -> list[str]:
    """Says what a result lacks to stand in a table."""
    kinds = {"task": str, "method": str, "seed": int, "selections": dict}
    lacking = [name for name, kind in kinds.items() if not isinstance(result.get(name), kind)]
    metric = primary_of(result)
    last = part_of(result, "selections", dict).get("last")
    if is_labelled and not lacking and not _is_selection(last, metric):
        lacking = [f"an accuracy in [0, 1] as {ACCURACY} of the selection last"]
        if metric != "accuracy":
            lacking = [f"a number as oracle/target_test_{metric} of the selection last"]
    return [f"result.json lacks {name}" for name in lacking]


def is_number(value: Any) -> bool:
    """Says whether a value from a file is a finite number of a size that floats can have.

    Args:
        value: Anything.

    Returns:
        False for what is no number, NaN, infinity, and whole numbers beyond the floats.
    """
    return isinstance(value, int | float) and bool(abs(value) < 1e300)


def flags_of(records: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Collects what a run was flagged for, without a target label.

    Args:
        records: Its `metrics.jsonl`; `flags` of a record names reasons, or says yes or no to each.

    Returns:
        The steps by reason.
    """
    found: dict[str, list[int]] = {}
    for record in records:
        flags = record.get("flags")
        if isinstance(flags, dict):
            flags = [name for name, is_set in flags.items() if is_set]
        elif not isinstance(flags, list):
            flags = [flags] if isinstance(flags, str) and flags else []
        for name in dict.fromkeys(map(str, flags)):
            found.setdefault(name, []).append(record["step"])
    return found


def primary_of(result: Mapping[str, Any]) -> str:
    """Names the metric that a run is compared by.

    Args:
        result: `result.json`.

    Returns:
        Such as `rmse`; `accuracy` where none is named.
    """
    return part_of(part_of(result, "primary_metric", dict), "name", str) or "accuracy"


def _is_selection(value: Any, metric: str) -> bool:
    found = value.get(f"oracle/target_test_{metric}") if isinstance(value, dict) else None
    return is_number(found) and (metric != "accuracy" or 0 <= float(found or 0) <= 1)


def part_of(mapping: Mapping[str, Any], key: str, kind: type) -> Any:
    """Returns a part of what a file held.

    Args:
        mapping: What the file held.
        key: Which part.
        kind: The type that the part should have.

    Returns:
        The part, or an empty `kind` where it is missing or of another type.
    """
    value = mapping.get(key)
    return value if isinstance(value, kind) else kind()
