"""With so many labelled target examples, which row? Rows that differ in that number alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from common.experiment import statistics
from common.experiment.reporting.cell import escape, markdown_table, write_mean, write_percent
from common.experiment.reporting.grouping import settings_of, with_same_data
from common.experiment.reporting.row import values_of
from common.experiment.reporting.run_record import RunsBySeed, is_number, part_of, read_runs

KEY = "data.target_labels_per_class"
# A row's name without the number that the lines of this section run over.
_OF_KEY = re.compile(r", (?:data\.)?target_labels_per_class=(?:\d+|all)")
# What negative transfer is measured against: the same labels and nothing else.
SCRATCH = "train_on_target"
# Two numbers are no curve.
MIN_BUDGETS = 3
NUM_RESAMPLES = 2000

EXPLANATION = (
    "Target accuracy at the last step, in percent, by the number of labelled target examples of "
    "each class; rows that are given none stand under 0. No other label of the target is used for "
    "anything, early stopping and learning rates included. ▼: worse than training on the same "
    "labels alone, by the 95 % interval of the paired difference (negative transfer). Updates are "
    "those of the run and of the runs that it starts from."
)


def label_budgets(members: Mapping[str, RunsBySeed]) -> dict[str, Any] | None:
    """Puts together the rows of a task that differ in their number of labelled target examples.

    Args:
        members: Runs of one task by seed, by row.

    Returns:
        An entry `labels` of a task in `summary.json`: `budgets`, the numbers of labels of each
        class that occur; `all`, the one that stands for a whole training split, or None; `lines`,
        by row and by budget the accuracy and its difference from training on the same labels
        alone; `answers`, by budget the best row and those that cannot be told from it; and
        `crossings`. None where fewer than three budgets occur.
    """
    lines: dict[str, dict[float, RunsBySeed]] = {}
    whole = set()
    for name, runs in members.items():
        budget, is_whole = _budget_of(runs)
        lines.setdefault(_OF_KEY.sub("", name), {})[budget] = runs
        whole |= {budget} if is_whole else set()
    budgets = sorted({budget for own in lines.values() for budget in own})
    if len([budget for budget in budgets if budget]) < MIN_BUDGETS:
        return None
    scratch = lines.get(SCRATCH, {})
    described = {
        name: {
            _text(budget): _describe(runs, scratch.get(budget, {}), is_scratch=name == SCRATCH)
            for budget, runs in sorted(own.items())
        }
        for name, own in lines.items()
    }
    return {
        "budgets": budgets,
        "all": next(iter(whole)) if len(whole) == 1 else None,
        "lines": described,
        "updates": {name: _updates(next(iter(own.values()))) for name, own in lines.items()},
        "answers": [_answer(lines, budget) for budget in budgets if budget],
        "crossings": _crossings(lines),
    }


def _text(budget: float) -> str:
    """Writes a budget as a key of JSON."""
    return f"{budget:g}"


def _budget_of(runs: RunsBySeed) -> tuple[float, bool]:
    """Returns a row's labels of each class, and whether they are the whole training split's."""
    settings, first = settings_of(runs), next(iter(runs.values()))
    if "target_labelled" not in settings["domains"]:
        return 0.0, False
    if settings.get(KEY):
        return float(settings[KEY]), False
    seen = first.result.get("target_labels_seen")
    classes = part_of(first.result, "classes", list)
    count = float(seen or 0) / len(classes) if is_number(seen) and classes else 0.0
    return round(count, 1), True


def _describe(runs: RunsBySeed, scratch: RunsBySeed, *, is_scratch: bool) -> dict[str, Any]:
    """Returns the accuracy of a row, and its difference from training on the same labels alone."""
    accuracy = values_of(runs, "last")
    values = list(accuracy.values())
    difference = None
    if scratch and not is_scratch:
        paired = with_same_data(scratch, runs)
        difference = statistics.paired_difference(accuracy, values_of(paired, "last"))
    return {
        "mean": float(np.mean(values)) if values else None,
        "ci95": statistics.confidence_interval(values),
        "values": values,
        "seeds": list(accuracy),
        "difference_from_scratch": difference and difference._asdict(),
        "negative_transfer": bool(difference and difference.ci95 and difference.ci95[1] < 0),
    }


def _updates(runs: RunsBySeed) -> int:
    """Counts the updates of a run and of those that it starts from."""
    run = next(iter(runs.values()))
    own = run.result.get("steps", 0)
    parent = part_of(run.config, "init_from", dict).get("parent")
    path = run.folder.parent / str(parent)
    if not parent or not (path / "result.json").is_file():
        return own
    return own + sum(_updates({0: above}) for above in read_runs([path]))


def _answer(lines: Mapping[str, Mapping[float, RunsBySeed]], budget: float) -> dict[str, Any]:
    """Names the best row at a budget, and the rows that cannot be told from it."""
    accuracy = {}
    for name, own in lines.items():
        # A row that takes no label stands at every budget.
        runs = own.get(budget, own.get(0.0))
        if runs and (values := values_of(runs, "last")):
            accuracy[name] = values
    best = max(accuracy, key=lambda name: float(np.mean(list(accuracy[name].values()))))
    alike = []
    for name, values in accuracy.items():
        difference = statistics.paired_difference(accuracy[best], values)
        if name != best and difference and (not difference.ci95 or difference.ci95[0] <= 0):
            alike.append(name)
    mean = float(np.mean(list(accuracy[best].values())))
    return {"budget": budget, "best": best, "mean": mean, "alike": alike}


def _crossings(lines: Mapping[str, Mapping[float, RunsBySeed]]) -> list[dict[str, Any]]:
    """Says from how many labels on a row of labels beats the best row that is given none."""
    without = {name: values_of(own[0.0], "last") for name, own in lines.items() if set(own) == {0}}
    if not without:
        return []
    best = max(without, key=lambda name: float(np.mean(list(without[name].values()) or [0.0])))
    found = []
    for name, own in lines.items():
        by_budget = {
            budget: values_of(runs, "last") for budget, runs in sorted(own.items()) if budget
        }
        seeds = sorted(set(without[best]).intersection(*by_budget.values()))
        if len(by_budget) < MIN_BUDGETS or len(seeds) < statistics.MIN_INTERVAL:
            continue
        curve = np.asarray([[values[seed] for seed in seeds] for values in by_budget.values()])
        flat = np.asarray([without[best][seed] for seed in seeds])
        draws = np.random.default_rng(0).integers(0, len(seeds), (NUM_RESAMPLES, len(seeds)))
        budgets = np.asarray(list(by_budget))
        resampled = [
            crossing(budgets, curve[:, draw].mean(1), float(flat[draw].mean())) for draw in draws
        ]
        ends = np.quantile(resampled, [0.025, 0.975], method="nearest")
        found.append(
            {
                "row": name,
                "over": best,
                "labels": _finite(crossing(budgets, curve.mean(1), float(flat.mean()))),
                "ci95": [_finite(end) for end in ends],
                "largest": float(budgets[-1]),
                "smallest": float(budgets[0]),
            }
        )
    return found


def _finite(value: float) -> float | None:
    """Writes a crossing that never comes as None."""
    return None if np.isinf(value) else float(value)


def crossing(
    budgets: Float[np.ndarray, "budget"], accuracy: Float[np.ndarray, "budget"], level: float
) -> float:
    """Finds the number of labels from which on a curve stays at or above a level.

    Args:
        budgets: Labels of each class, ascending.
        accuracy: The curve at each of them.
        level: The level.

    Returns:
        The number, between two budgets by a straight line over the logarithm of the number; the
        smallest budget for a curve that is always above, infinity for one that ends below.
    """
    below = np.flatnonzero(accuracy < level)
    if not below.size:
        return float(budgets[0])
    last = below[-1]
    if last == len(budgets) - 1:
        return float("inf")
    low, high = np.log(budgets[last]), np.log(budgets[last + 1])
    share = (level - accuracy[last]) / (accuracy[last + 1] - accuracy[last])
    return float(np.exp(low + share * (high - low)))


def write_budget(budget: float, labels: Mapping[str, Any]) -> str:
    """Writes a number of labels of each class.

    Args:
        budget: One of `budgets`.
        labels: What `label_budgets` returns.

    Returns:
        The number, or `all` with it for a whole training split.
    """
    return f"all ({budget:.0f})" if budget == labels["all"] else f"{budget:g}"


def write_label_budgets(labels: Mapping[str, Any] | None) -> list[str]:
    """Writes the section.

    Args:
        labels: What `label_budgets` returns.

    Returns:
        Lines of Markdown; none without budgets.
    """
    if labels is None:
        return []
    header = ["row", "updates", *(write_budget(budget, labels) for budget in labels["budgets"])]
    cells = []
    for name, own in labels["lines"].items():
        entries = [own.get(_text(budget)) for budget in labels["budgets"]]
        cells.append(
            [name, f"{labels['updates'][name]:,}"]
            + [
                "" if entry is None else write_mean(entry) + " ▼" * entry["negative_transfer"]
                for entry in entries
            ]
        )
    lines = ["### By labelled target examples of each class", *markdown_table(header, cells)]
    lines += [escape(EXPLANATION), "", "With so many labels of each class, which row?", ""]
    for answer in labels["answers"]:
        said = f"{answer['best']} ({write_percent(answer['mean'])} %)"
        if answer["alike"]:
            said += f"; not told from it by these seeds: {', '.join(answer['alike'])}"
        lines.append(f"- {write_budget(answer['budget'], labels)}: {escape(said)}.")
    lines.append("")
    for own in labels["crossings"]:
        lines.append(f"- {escape(_say_crossing(own))}")
    return [*lines, ""]


def _say_crossing(own: Mapping[str, Any]) -> str:
    """Says where a row overtakes the best one without labels."""

    def write(value):
        if value is None:
            return f"more than {own['largest']:g}"
        return f"at most {value:g}" if value <= own["smallest"] else f"{value:.1f}"

    ends = " to ".join(dict.fromkeys(write(end) for end in own["ci95"]))
    return (
        f"{own['row']} is better than {own['over']}, which is given none, from "
        f"{write(own['labels'])} labels of each class on (95 % of resampled seeds: {ends})."
    )
