"""The comparison as `report.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from common.experiment.reporting.across import with_many_tasks
from common.experiment.reporting.across_section import write_across
from common.experiment.reporting.cell import (
    escape,
    markdown_table,
    write_estimate,
    write_percent,
)
from common.experiment.reporting.choice import write_choices
from common.experiment.reporting.fold_section import write_folds
from common.experiment.reporting.grouping import BASELINES
from common.experiment.reporting.label_budget import write_label_budgets
from common.experiment.reporting.measured import write_measured
from common.experiment.reporting.metric_table import write_metrics
from common.experiment.reporting.minimum_seeds import write_minimum_seeds
from common.experiment.reporting.pretraining import write_pretraining
from common.experiment.reporting.protocol import (
    describe_protocol,
    differing_settings,
    list_settings,
    list_shared_settings,
)
from common.experiment.reporting.published import write_published
from common.experiment.reporting.ranking import write_ranking
from common.experiment.reporting.row import Row
from common.experiment.reporting.rule_section import write_rules
from common.experiment.reporting.run_record import is_number
from common.experiment.reporting.table import (
    HEADER,
    NO_LABELS,
    label_free_table,
    remarks_on,
    remarks_without_labels,
    row_cells,
    sections_of,
    selection_title,
    wrong_with,
)

COST_HEADER = (
    *("method", "sees of the target", "parameters", "trained", "runs in one program"),
    *("milliseconds a step of the program", "pictures a second"),
)


LEGEND = (
    "Percent, ± half of the 95 % interval; differences in points; sd: sample",
    "standard deviation over seeds.",
)


def write_markdown(summary: Mapping[str, Any]) -> str:
    """Writes `report.md`.

    Args:
        summary: What `summarize` returns, with `figures` and `anchor` in each task.

    Returns:
        The text. Experiments with many tasks get short sections of the single ones.
    """
    lines = [*write_sections(summary), "## What is missing or went wrong", ""]
    lines += [f"- {escape(text)}" for text in wrong_with(summary)] or ["Nothing."]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def write_sections(summary: Mapping[str, Any]) -> list[str]:
    """Writes the title and all that is known of the runs in the tables.

    Args:
        summary: What `summarize` returns, with `figures` and `anchor` in each task.

    Returns:
        Lines of Markdown.
    """
    tasks = summary["tasks"]
    across = {own["experiment"]: own for own in summary["across"]}
    many = with_many_tasks(summary["across"])
    published = {(own["experiment"], own["task"]): own for own in summary["published"]}
    lines = [f"# {escape(summary['experiment'] or 'No finished runs')}", ""]
    lines += _contents(tasks, across) if len({task["experiment"] for task in tasks}) > 1 else []
    for experiment, own in across.items():
        lines += [f'<a id="{own["anchor"]}"></a>', ""]
        anchors = {task["task"]: task["anchor"] for task in tasks if _is_of(task, experiment)}
        remarks = [
            remark
            for (name, _), compared in published.items()
            for remark in compared["remarks"]
            if name == experiment and name in many
        ]
        lines += write_across(own, anchors, remarks)
        if experiment in many:
            own_tasks = [task for task in tasks if _is_of(task, experiment)]
            lines += [*LEGEND, "", *list_shared_settings(own_tasks)]
    lines += write_choices(summary["choices"])
    lines += write_folds(summary["cross_validation"])
    for task in tasks:
        if len(tasks) > 1:
            lines += [f'<a id="{task["anchor"]}"></a>', ""]
        lines += [f"## {escape(task['experiment'])}: {escape(task['task'])}", ""]
        compared = published.get((task["experiment"], task["task"]))
        is_short = task["experiment"] in many
        chosen = [
            choice["row"]
            for choice in summary["choices"]
            if (choice["experiment"], choice["task"]) == (task["experiment"], task["task"])
        ]
        sections = sections_of(summary, task)
        judged = [own for own in summary["rules"] if _is_same(own, task)]
        lines += [_headline(next(iter(sections.values())), chosen)]
        lines += (_short_section if is_short else _section)(task, sections, compared, judged)
    for task in summary["measured"]:
        lines += write_measured(task)
    for task in summary["unlabelled"]:
        lines += [f"## {escape(task['experiment'])}: {escape(task['task'])}", ""]
        lines += [f"{NO_LABELS.capitalize()}.", "", *_label_free(task["rows"])]
    for task in summary["pretraining"]:
        lines += write_pretraining(task)
    return lines


def _is_same(entry: Mapping[str, Any], task: Mapping[str, Any]) -> bool:
    return (entry["experiment"], entry["task"]) == (task["experiment"], task["task"])


def _is_of(task: Mapping[str, Any], experiment: str) -> bool:
    return task["experiment"] == experiment


def _contents(tasks: Sequence[Mapping[str, Any]], across: Mapping[str, Any]) -> list[str]:
    """Links to the experiments: to their tasks together, else to their only task."""
    links = {
        task["experiment"]: (across.get(task["experiment"], task)["anchor"], task["task"])
        for task in tasks
    }
    lines = [
        f"- [{escape(name)}](#{anchor})" + ("" if name in across else f": {escape(task)}")
        for name, (anchor, task) in links.items()
    ]
    return ["Experiments:", "", *lines, ""]


def _section(
    task: Mapping[str, Any],
    sections: Mapping[str, Sequence[Row]],
    compared: Mapping[str, Any] | None,
    judged: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Writes all about a task."""
    shown = []
    for name, figure in task["figures"].items():
        if "file" in figure:
            shown.append(["", f"![{name}]({figure['file']})", "", escape(figure["reading"])])
    lines = [*(shown[0] if shown else []), "", *write_label_budgets(task["labels"])]
    # Rows of many numbers of labels have no one order.
    lines += [] if task["labels"] else write_ranking(sections["last"])
    for selection, rows in sections.items():
        lines += _selection_section(selection, rows)
    lines += ["", *LEGEND, "", *write_minimum_seeds(sections["last"])]
    lines += [line for entry in judged for line in write_rules(entry)]
    lines += write_published(compared) if compared else []
    protocol = describe_protocol(task, sections["last"], next(iter(sections)))
    lines += ["### Protocol", "", protocol, ""]
    lines += _details(task, sections["last"])
    lines += ["### Figures", *(line for part in shown[1:] for line in part)]
    return [*lines, "", "### Settings", *list_settings(task)]


def _short_section(
    task: Mapping[str, Any],
    sections: Mapping[str, Sequence[Row]],
    compared: Mapping[str, Any] | None,
    judged: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Writes about one of many tasks: its main table, and the rest folded away."""
    (first, rows), *others = sections.items()
    lines = [*_selection_section(first, rows), ""]
    lines += write_published(compared, with_remarks=False) if compared else []
    lines += ["<details><summary>Other selections, protocol, cost and settings</summary>", ""]
    for selection, rows in others:
        lines += _selection_section(selection, rows)
    lines += write_minimum_seeds(sections["last"])
    lines += [line for entry in judged for line in write_rules(entry)]
    protocol = describe_protocol(task, sections["last"], next(iter(sections)))
    lines += ["### Protocol", "", protocol, ""]
    lines += [*_details(task, sections["last"]), "### Settings", *differing_settings(task)]
    return [*lines, "</details>", ""]


def _selection_section(selection: str, rows: Sequence[Row]) -> list[str]:
    lines = ["", f"### Selection {escape(selection_title(selection))}"]
    lines += markdown_table(HEADER, map(row_cells, rows))
    return [*lines, *(f"{escape(remark)}.  " for remark in remarks_on(rows))]


def _details(task: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Writes other metrics, what is known without labels, the cost, and each class."""
    lines = [*write_metrics(rows), "### Without target labels", *_label_free(rows)]
    lines += ["### Cost", *markdown_table(COST_HEADER, map(_cost_cells, rows))]
    return [*lines, *_class_section(task, rows)]


def _label_free(rows: Sequence[Row]) -> list[str]:
    """Writes what is known without labels."""
    header, *cells = label_free_table(rows)
    remarks = [f" Rows {escape(remark)}." for remark in remarks_without_labels(rows)]
    said = "Means over seeds at the last step: what a choice may be based on."
    return [*markdown_table(header, cells), said + "".join(remarks), ""]


def _headline(rows: Sequence[Row], chosen: Sequence[str]) -> str:
    """Says the main result in one sentence: of dann, else of what was chosen or is highest."""
    adapted = [row for row in rows if row["method"] not in BASELINES]
    preferred = [row for row in adapted if row["name"] == "dann"]
    preferred += [row for row in adapted if row["name"] in chosen]
    left = adapted or rows
    first = preferred[0] if preferred else max(left, key=lambda row: row["target_accuracy"]["mean"])
    right = write_percent(first["target_accuracy"]["mean"])
    text = "At best, " if not preferred and len(left) > 1 else ""
    text += f"{first['name']} is right on {right} % of the target's test examples"
    rule = first["selection"]
    text += " at the last step" if rule == "last" else f" at the step that {rule} chooses"
    difference = first["difference_from_source_only"]
    if difference:
        points = write_percent(difference["mean"], "+")
        text += f", {points} points against source_only on {difference['n']} shared seeds"
        if difference["ci95"]:
            text += f" (95 % interval{write_estimate(difference, '+').removeprefix(points)})"
    return f"**{escape(text)}.**"


def _cost_cells(row: Row) -> list[str]:
    numbers = [row["parameters"].get("total"), row["parameters"].get("trained"), row["members"]]
    numbers += [row["milliseconds_per_step"], row["pictures_per_second"]]
    written = ["-" if not is_number(x) else f"{x:,.0f}" for x in numbers]
    if row["milliseconds_per_step"] is not None:
        written[3] = f"{row['milliseconds_per_step']:.1f}"
    return [row["name"], row["sees_target"], *written]


def _class_section(task: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Writes each class's accuracy change against source only."""
    changed = [row for row in rows if row["per_class_change"]]
    counts = {len(row["per_class_change"]) for row in changed}
    if len(counts) != 1:
        return []
    table = [
        [name, *(write_percent(row["per_class_change"][index], "+") for row in changed)]
        for index, name in enumerate(class_names(task["classes"], counts.pop()))
    ]
    return [
        "### Change of each class's accuracy against source_only",
        *markdown_table(["class", *(row["name"] for row in changed)], table),
        "Points at the last step, mean over the shared seeds.",
        "",
    ]


def class_names(names: Sequence[str], count: int) -> list[str]:
    """Names the classes of a confusion matrix.

    Args:
        names: Names that a result gives.
        count: Size of the matrix.

    Returns:
        The names if their number is right, else the classes' numbers.
    """
    return list(names) if len(names) == count else [str(index) for index in range(count)]
