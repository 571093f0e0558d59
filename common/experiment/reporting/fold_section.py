"""What cross-validation chose, and how the chosen runs did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.experiment import statistics
from common.experiment.reporting.cell import escape, markdown_table, write_mean
from common.experiment.reporting.grouping import (
    differing_keys,
    flatten_settings,
    fold_of,
    short_settings,
    value_order,
)
from common.experiment.reporting.run_record import ACCURACY, Run, is_number
from common.experiment.setting import SCORE, identity_of

HEADER = ("row", "setting", "accuracy on held-out folds", "chosen by", "target accuracy if chosen")
EXPLANATION = (
    "Each seed takes the setting with the highest mean accuracy over its folds of the labelled "
    "examples that it may learn from, and trains it anew on all of them. In percent, ± half of the "
    "95 % interval over seeds; the last column reads target labels and chose nothing. The chosen "
    "runs of all seeds make one row of the tables, called cross-validated."
)


def describe_folds(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Collects what cross-validation chose.

    Args:
        runs: All runs.

    Returns:
        `cross_validation` of `summary.json`: for each setting of each row of which folds were
        trained `experiment`, `task`, `row`, `setting`, the `score` of held-out folds over seeds
        (`mean`, `ci95`, `values`), the `seeds` that chose it, the number of `folds`, how many runs
        of folds are `missing`, and the `target_accuracy` of the runs that were trained on all.
    """
    folded = [run for run in runs if run.result and fold_of(run) is not None]
    refits = {
        (identity_of(run.config), run.result["seed"]): run
        for run in runs
        if run.state == "done" and run.is_cross_validated
    }
    rows: dict[tuple[str, str, str], dict[str, dict[int, list[Run]]]] = {}
    for run in folded:
        labels = run.config["data"]["target_labels_per_class"]
        name = run.result["method"] + (f", {labels} labels of each class" if labels else "")
        place = (run.result["experiment"], run.result["task"], name)
        setting = _setting_of(run)
        rows.setdefault(place, {}).setdefault(setting, {}).setdefault(run.result["seed"], [])
        rows[place][setting][run.result["seed"]].append(run)
    return [
        entry
        for (experiment, task, row), settings in sorted(rows.items())
        for entry in _describe_row(settings, refits, experiment=experiment, task=task, row=row)
    ]


def _setting_of(run: Run) -> str:
    """Names the setting of a run of a fold whatever its seed: a text that equal settings share."""
    settings = flatten_settings(run.config)
    return repr(sorted((key, value) for key, value in settings.items() if key != "data.fold"))


def _describe_row(
    settings: Mapping[str, Mapping[int, Sequence[Run]]],
    refits: Mapping[tuple[str, int], Run],
    **place: str,
) -> list[dict[str, Any]]:
    """Describes the settings of one row."""
    flat = {
        name: flatten_settings(next(iter(by_seed.values()))[0].config)
        for name, by_seed in settings.items()
    }
    differing = [key for key in differing_keys(flat.values()) if key != "data.fold"]
    entries = []
    in_order = sorted(
        settings, key=lambda name: [value_order(flat[name].get(k)) for k in differing]
    )
    for name, by_seed in ((name, settings[name]) for name in in_order):
        own = {key: flat[name].get(key) for key in differing}
        folds = next(iter(by_seed.values()))[0].config["data"]["folds"]
        scores = {
            seed: float(np.mean([run.result["selections"]["last"][SCORE] for run in runs]))
            for seed, runs in sorted(by_seed.items())
            if len(runs) == folds
            and all(is_number(run.result["selections"]["last"].get(SCORE)) for run in runs)
        }
        chosen = {
            seed: refits[identity_of(runs[0].config), seed].result["selections"]["last"][ACCURACY]
            for seed, runs in sorted(by_seed.items())
            if (identity_of(runs[0].config), seed) in refits
        }
        entries.append(
            {
                **place,
                "setting": ", ".join(short_settings(own)) or "the only one",
                "values": own,
                "score": _estimate(scores),
                "seeds": list(chosen),
                "folds": folds,
                "missing": folds * len(by_seed) - sum(map(len, by_seed.values())),
                "target_accuracy": _estimate(chosen),
            }
        )
    return entries


def _estimate(values: Mapping[int, float]) -> dict[str, Any] | None:
    """Returns mean, interval and values over seeds; None without any."""
    numbers = list(values.values())
    if not numbers:
        return None
    interval = statistics.confidence_interval(numbers)
    return {"mean": float(np.mean(numbers)), "ci95": interval, "values": numbers}


def write_folds(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Writes the section.

    Args:
        entries: What `describe_folds` returns.

    Returns:
        Lines of Markdown; none without folds.
    """
    if not entries:
        return []
    cells = [
        [
            f"{own['row']}, {own['task']}",
            own["setting"],
            write_mean(own["score"]),
            f"{len(own['seeds'])} seeds" if len(own["seeds"]) != 1 else "1 seed",
            write_mean(own["target_accuracy"]),
        ]
        for own in entries
    ]
    lines = ["## Chosen by cross-validation", *markdown_table(HEADER, cells), escape(EXPLANATION)]
    for own in entries:
        if own["missing"]:
            place = f"{own['row']}, {own['setting']}"
            lines += ["", escape(f"{place}: {own['missing']} runs of folds are missing.")]
    return [*lines, ""]
