"""The comparison as a table for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.experiment.reporting.across_section import (
    average_headline,
    average_table,
    remarks_across,
)
from common.experiment.reporting.cell import (
    align,
    align_in_parts,
    shorten,
    write_estimate,
    write_mean,
    write_percent,
)
from common.experiment.reporting.grouping import BASELINES
from common.experiment.reporting.measured import show_measured
from common.experiment.reporting.pretraining import show_pretraining
from common.experiment.reporting.row import Row
from common.experiment.reporting.rule_order import MAIN, ORACLE
from common.experiment.reporting.run_record import is_number
from common.experiment.resume import MIXED

SELECTION_TITLES = {
    "last": "the weights after the last step",
    "source_val": "best source validation accuracy, the latest of equal ones",
    "oracle": "uses target labels; for comparison only",
    "retrained_head": "the last step, with a linear support vector machine as the last layer",
}
A_RULE = "a rule that needs no target label"

NO_LABELS = "the target has no labels, so no accuracy"
# Of rows whose loss is a relative of the score.
BIASED = "trained for sure and diverse predictions, which information_maximization rewards as such"

HEADER = ("method", "seeds", "target accuracy", "sd", "minus source_only", "gap covered")
GREY, PLAIN = "\x1b[2m", "\x1b[0m"


def format_table(summary: Mapping[str, Any], grey: bool = False) -> str:
    """Writes the comparison for a terminal.

    Args:
        summary: What `summarize` returns.
        grey: Whether the terminal can write the oracle's column in grey.

    Returns:
        Plain text, at most 100 columns wide: for experiments with several tasks their average, by
        task a table in percent and points, then what failed or is missing.
    """
    kinds = ("rows", "unlabelled", "measured", "pretraining")
    has_any = any(summary[kind] for kind in kinds)
    lines: list[str] = [] if has_any else ["no finished runs"]
    # Where the oracle's cell begins, by line.
    oracle: dict[int, int] = {}
    shown: dict[str, None] = {}
    for across in summary["across"]:
        header, cells = average_table(across)
        for line, name in zip(cells, shorten(across["tasks"]), strict=False):
            line[0] = name
        lines += [f"{across['experiment']}: {average_headline(across)}", ""]
        lines += [*align([header, *cells]), *remarks_across(across), ""]
    for task in summary["tasks"]:
        title = f"{task['experiment']}: {task['task']}"
        if len(title) > 100:
            title = f"{task['experiment']}: {shorten([task['task']])[0]}"
        lines += [title, ""]
        sections = sections_of(summary, task)
        header, cells = rule_table(sections)
        table = align([header, *cells])
        if ORACLE in sections:
            # In parts, its column is the last of the last one.
            first = next(index for index, line in enumerate(table) if line.endswith(ORACLE))
            start = table[first].rindex(ORACLE)
            oracle |= {len(lines) + index: start for index in range(first, len(table))}
        lines += [*table, *remarks_on(next(iter(sections.values()))), ""]
        shown |= dict.fromkeys(sections)
    titles = [f"{name}: {SELECTION_TITLES.get(name, A_RULE)}" for name in shown]
    lines += [*titles, ""] if titles else []
    for task in summary["measured"]:
        lines += show_measured(task)
    for task in summary["unlabelled"]:
        lines += [f"{task['experiment']}: {task['task']} ({NO_LABELS})", ""]
        lines += align_in_parts(label_free_table(task["rows"]))
        lines += [*remarks_without_labels(task["rows"]), ""]
    for task in summary["pretraining"]:
        lines += show_pretraining(task)
    lines += wrong_with(summary)
    written = []
    for index, line in enumerate(lines):
        # Nothing that a name holds may steer the terminal.
        line = "".join(c if c.isprintable() else " " for c in line)
        start = oracle.get(index, len(line))
        if len(line) > 100:
            written += textwrap.wrap(line, 100)
        elif grey and start < len(line):
            written.append(f"{line[:start]}{GREY}{line[start:]}{PLAIN}")
        else:
            written.append(line)
    return "\n".join(written).rstrip()


def rule_table(sections: Mapping[str, Sequence[Row]]) -> tuple[list[str], list[list[str]]]:
    """Makes the main table of a task: a line a row, and a column a rule.

    Args:
        sections: From `sections_of`.

    Returns:
        The header and the cells: what the first rule chooses, with its differences; then the
        accuracies of the other rules, the oracle's last.
    """
    (first, rows), *others = sections.items()
    accuracies = {
        name: {row["name"]: row["target_accuracy"] for row in own} for name, own in others
    }
    header = ["method", "seeds", first, "minus source_only", "gap covered", *accuracies]
    cells = []
    for row in rows:
        name, seeds, accuracy, _, difference, gap = row_cells(row)
        rest = [write_mean(own.get(name)) for own in accuracies.values()]
        cells.append([name, seeds, accuracy, difference, gap, *rest])
    return header, cells


def label_free_table(rows: Sequence[Row]) -> list[list[str]]:
    """Shows what is known of each row without target labels, at the last step.

    Args:
        rows: Rows of one task.

    Returns:
        The header and a line a row.
    """
    scores = sorted({name for row in rows for name in row["scores"]})
    cells = [
        [row["name"], str(row["n"]), write_percent(row["source_val_accuracy"])]
        + [
            f"{value:.3f}" if is_number(value := row["scores"].get(name)) else "-"
            for name in scores
        ]
        for row in rows
    ]
    return [["method", "seeds", "source validation accuracy", *scores], *cells]


def remarks_without_labels(rows: Iterable[Row]) -> list[str]:
    """Says of which rows the scores say less.

    Args:
        rows: Rows of one task.

    Returns:
        Sentences without a full stop.
    """
    biased = [row["name"] for row in rows if row["rewards_confidence"]]
    return [f"{BIASED}: {', '.join(biased)}"] if biased else []


def wrong_with(summary: Mapping[str, Any]) -> list[str]:
    """Lists what failed, is missing, or is odd.

    Args:
        summary: What `summarize` returns, with or without figures.

    Returns:
        A sentence for each run that is not done, each note, and each figure that is missing.
    """
    wrong = [
        f"{state}: {run['experiment']}/{run['run']}: {run['reason']}"
        for state in ("failed", "incomplete")
        for run in summary[state]
    ]
    wrong += _together(summary["notes"])
    figures = [
        (task["task"], name, figure)
        for task in summary["tasks"]
        for name, figure in task.get("figures", {}).items()
    ]
    figures += [
        (across["experiment"], "accuracy_by_task", across.get("figure", {}))
        for across in summary["across"]
    ]
    return wrong + [
        f"{place}: no figure {name}: {figure['reason']}"
        for place, name, figure in figures
        if "reason" in figure
    ]


def _together(notes: Sequence[str]) -> list[str]:
    """Says once of all runs what was not the same throughout."""
    runs: dict[str, list[str]] = {}
    for note in notes:
        run, _, text = note.partition(": ")
        runs.setdefault(text if text.startswith(MIXED) else note, []).append(run)
    said = []
    for text, names in runs.items():
        if not text.startswith(MIXED):
            said.append(text)
        elif len(names) == 1:
            said.append(f"{names[0]}: {text}")
        else:
            said.append(f"{len(names)} runs: {text}: {', '.join(names)}")
    return said


def row_cells(row: Row) -> list[str]:
    """Writes a row of the main tables.

    Args:
        row: A row of `summary.json`.

    Returns:
        One text for each column of `HEADER`, in percent and points.
    """
    accuracy = row["target_accuracy"]
    return [
        row["name"],
        str(row["n"]),
        write_mean(accuracy),
        write_percent(accuracy["sd"]),
        write_estimate(row["difference_from_source_only"], "+"),
        write_estimate(row["gap_covered"]),
    ]


def sections_of(summary: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Returns the rows of a task by selection.

    Args:
        summary: What `summarize` returns.
        task: One of its tasks.

    Returns:
        Rows by selection, the default rule's first and the oracle's last. Rules that the section of
        the rules tells of are not among them.
    """
    sections: dict[str, list[Row]] = {}
    for row in summary["rows"]:
        is_here = (row["experiment"], row["task"]) == (task["experiment"], task["task"])
        if is_here and row["selection"] in MAIN:
            sections.setdefault(row["selection"], []).append(row)
    return sections


def remarks_on(rows: Sequence[Row]) -> list[str]:
    """Says what must be known beside a table.

    Args:
        rows: The table's rows.

    Returns:
        Sentences without a full stop.
    """
    few, worse, over_statistics = [], [], []
    for row in rows:
        few += [] if row["target_accuracy"]["ci95"] else [row["name"]]
        worse += [row["name"]] if row["negative_transfer"] else []
        difference = row["difference_from_statistics_only"]
        if row["method"] not in BASELINES and difference:
            over_statistics.append(f"{row['name']} {write_estimate(difference, '+')}")
    few = ["all rows"] if len(few) == len(rows) > 1 else few
    said = {
        "fewer than three seeds, so no interval": few,
        "negative transfer, the interval of the difference lies below 0": worse,
        "minus statistics_only": over_statistics,
    }
    return [f"{text}: {', '.join(names)}" for text, names in said.items() if names]


def selection_title(selection: str) -> str:
    """Explains a selection.

    Args:
        selection: Its name.

    Returns:
        The name, with what it is in brackets.
    """
    return f"{selection} ({SELECTION_TITLES.get(selection, A_RULE)})"
