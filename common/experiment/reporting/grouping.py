"""Which runs belong together: tasks, rows, and what a row may be paired with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.experiment.reporting.run_record import Run, RunsBySeed, is_number, part_of

# Rows are listed in this order, all other methods in between.
FIRST_METHODS = ("source_only", "statistics_only", "dann")
LAST_METHODS = ("train_on_both", "train_on_target")
BASELINES = (*FIRST_METHODS[:2], *LAST_METHODS)
SPLIT_SEED = "data.split_seed"
# What differs between the seeds of one row, or names the run.
NOT_SETTINGS = re.compile(
    r"experiment|method|seed|data\.split_seed|data\.\w+\.seed"
    # The run that a row's parent has for this seed.
    r"|init_from\.parent"
    # It is shown beside the name of the file.
    r"|init_from\.sha256"
    # These measure a run and change none of its weights.
    r"|evaluation\.(reverse_validation|retrained_head|keep|scores|score_examples|guard(\..*)?)"
)
# What a row and its baseline may differ in.
OWN_SETTINGS = (
    *("package", "domains", "alignment.", "adaptation.", "transfer.", "regularization."),
    *("optimizer.groups.", "init_from.run", "init_from.method", "init_from.overrides"),
    *("init_from.include", "init_from.selection"),
    # Drawn by those rows alone that learn from two views.
    "data.strong_augment",
    # Without labelled target examples a row is the same whatever these say.
    *("data.target_labels_per_class", "data.batch_sizes.target_labelled"),
)


def group_by_task(runs: Iterable[Run], state: str = "done") -> dict[tuple[str, str], list[Run]]:
    """Groups the finished runs.

    Args:
        runs: All runs.
        state: `done`, or another state of finished runs.

    Returns:
        Finished runs by experiment and task, in the order of these names.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        # Runs that hold out a fold are no results; they choose among those that do not.
        if run.state == state and fold_of(run) is None:
            experiment = str(run.result.get("experiment", run.folder.parent.name))
            groups.setdefault((experiment, run.result["task"]), []).append(run)
    return dict(sorted(groups.items()))


def fold_of(run: Run) -> int | None:
    """Returns the fold of the labelled examples that a run holds out.

    Args:
        run: Any run.

    Returns:
        Its number, or None for a run that learns from all.
    """
    return part_of(run.config, "data", dict).get("fold")


def flatten_settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the settings of a config under dotted names, without what no row is about.

    Args:
        config: The resolved config of a run, or a part of it.
        prefix: Where the part stands.

    Returns:
        Values by dotted name.
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= {} if name == "runtime" else flatten_settings(value, f"{name}.")
        elif name == "init_from.weights":
            # Wherever the file lies; two of one name are told apart by what they hold.
            own = f"{str(value).rpartition('/')[2]} {str(config.get('sha256'))[:8]}".strip()
            flat[name] = own if value else ""
        elif name == "init_from.run":
            flat[name] = "a finished run" if value else ""
        elif not NOT_SETTINGS.fullmatch(name):
            flat[name] = value
    return flat


def settings_of(runs: RunsBySeed) -> dict[str, Any]:
    """Returns the settings of a row, which are those of any of its runs.

    Args:
        runs: Its runs by seed.

    Returns:
        Values by dotted name.
    """
    return flatten_settings(next(iter(runs.values())).config)


def differing_keys(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names the settings that do not have one value everywhere.

    Args:
        settings: From `settings_of`.

    Returns:
        Dotted names, sorted.
    """
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
            (run, flatten_settings(run.config) | _split(run, group))
            for run in group
            if run.result["method"] == method
        ]
        _forget_choices(runs)
        differing = differing_keys(own for _, own in runs)
        runs.sort(key=lambda pair: [value_order(pair[1].get(key)) for key in differing])
        told = rounded([{key: own[key] for key in differing if key in own} for _, own in runs])
        for (run, _), own in zip(runs, told, strict=True):
            settings = short_settings(own)
            settings += ["cross-validated"] if run.is_cross_validated else []
            row = rows.setdefault(", ".join([method, *settings]), {})
            repeated += [run] if run.result["seed"] in row else []
            row.setdefault(run.result["seed"], run)
    return rows, repeated


def _forget_choices(runs: Sequence[tuple[Run, dict[str, Any]]]) -> None:
    """Takes what each seed chose for itself out of the settings of cross-validated runs."""
    by_budget: dict[Any, list[dict[str, Any]]] = {}
    for run, own in runs:
        if run.is_cross_validated:
            by_budget.setdefault(own.get("data.target_labels_per_class"), []).append(own)
    for settings in by_budget.values():
        for key in differing_keys(settings):
            for own in settings:
                own.pop(key, None)


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


def value_order(value: Any) -> tuple[bool, float, str]:
    """Orders numbers by size, before everything else.

    Args:
        value: The value of a setting.

    Returns:
        A key to sort by.
    """
    size = float(value) if is_number(value) else 0.0
    return not is_number(value), size, json.dumps(value)


def short_settings(settings: Mapping[str, Any]) -> list[str]:
    """Writes settings with the shortest names that tell them apart.

    Args:
        settings: Values by dotted name.

    Returns:
        One text a setting, such as `strength=0.1`.
    """
    last = [key.rpartition(".")[2] for key in settings]
    settings = {
        # 0 stands for a whole training split.
        key: "all" if key == "data.target_labels_per_class" and value == 0 else value
        for key, value in settings.items()
    }
    return [
        f"{short if last.count(short) == 1 else key}={json.dumps(value).strip(chr(34))}"
        for short, (key, value) in zip(last, settings.items(), strict=True)
    ]


def rounded(settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rounds numbers to four digits, where that leaves all values of a setting apart.

    Args:
        settings: Values by dotted name, of each row.

    Returns:
        The same settings.
    """
    found = [dict(own) for own in settings]
    for key in {key for own in settings for key in own}:
        values = {own[key] for own in settings if isinstance(own.get(key), float)}
        short = {value: float(f"{value:.4g}") for value in values}
        if len(set(short.values())) == len(values):
            for own in found:
                if isinstance(own.get(key), float):
                    own[key] = short[own[key]]
    return found


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
        row: settings_of(runs)
        for row, runs in members.items()
        if method_of(row) == method and with_same_data(runs, members[name])
    }
    own = settings_of(members[name])
    flat = {
        row: settings
        for row, settings in flat.items()
        if all(key.startswith(OWN_SETTINGS) for key in differing_keys([own, settings]))
    }
    differing = differing_keys(flat.values())
    equal = [row for row in flat if all(flat[row].get(key) == own.get(key) for key in differing)]
    return equal[0] if len(equal) == 1 else None
