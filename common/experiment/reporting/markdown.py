"""The comparison as `report.md`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.experiment.reporting.row import BASELINES, Row
from common.experiment.reporting.run_record import is_number
from common.experiment.reporting.summary import join_numbers
from common.experiment.reporting.table import (
    HEADER,
    remarks_on,
    row_cells,
    sections_of,
    selection_title,
    write_estimate,
    write_percent,
    wrong_with,
)

COST_HEADER = (
    *("method", "sees of the target", "parameters", "trained", "runs in one program"),
    *("milliseconds a step of the program", "pictures a second"),
)


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


def write_markdown(summary: Mapping[str, Any]) -> str:
    """Writes `report.md`.

    Args:
        summary: What `summarize` returns, with `figures` in each task.

    Returns:
        The text.
    """
    lines = [f"# {_escape(summary['experiment'] or 'No finished runs')}", ""]
    for task in summary["tasks"]:
        sections, shown = sections_of(summary, task), []
        for name, figure in task["figures"].items():
            if "file" in figure:
                shown.append(["", f"![{name}]({figure['file']})", "", _escape(figure["reading"])])
        lines += [f"## {_escape(task['experiment'])}: {_escape(task['task'])}", ""]
        lines += [_headline(sections["last"]), *(shown[0] if shown else [])]
        for selection, rows in sections.items():
            lines += ["", f"### Selection {_escape(selection_title(selection))}"]
            lines += _markdown_table(HEADER, map(row_cells, rows))
            lines += [f"{_escape(remark)}.  " for remark in remarks_on(rows)]
        lines += ["", "Percent, ± half of the 95 % interval; differences in points; sd: sample"]
        lines += ["standard deviation over seeds.", "", "### Protocol", ""]
        lines += [_protocol(task, sections["last"]), ""]
        lines += ["### Without target labels", *_label_free_table(sections["last"])]
        lines += ["Means over seeds at the last step: what a choice may be based on.", ""]
        lines += ["### Cost", *_markdown_table(COST_HEADER, map(_cost_cells, sections["last"]))]
        lines += [*_class_section(task, sections["last"]), "### Figures"]
        lines += [line for part in shown[1:] for line in part]
        lines += ["", "### Settings", *_settings_section(task)]
    lines += ["## What is missing or went wrong", ""]
    lines += [f"- {_escape(text)}" for text in wrong_with(summary)] or ["Nothing."]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _headline(rows: Sequence[Row]) -> str:
    """Says the main result in one sentence."""
    adapted = [row for row in rows if row["method"] not in BASELINES]
    first = next((row for row in adapted if row["name"] == "dann"), next(iter(adapted), rows[0]))
    right = write_percent(first["target_accuracy"]["mean"])
    text = f"{first['name']} is right on {right} % of the target's test pictures at the last step"
    difference = first["difference_from_source_only"]
    if difference:
        points = write_percent(difference["mean"], "+")
        text += f", {points} points against source_only on {difference['n']} shared seeds"
        if difference["ci95"]:
            text += f" (95 % interval{write_estimate(difference, '+').removeprefix(points)})"
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
    varied = ["the initial weights", "the batches"]
    if not fixed and task["task"].rpartition(">")[2] not in task["drawn_domains"]:
        varied.append("the split of the target")
    varied += [f"the examples of {name}" for name in task["drawn_domains"]]
    data = "All seeds share one data set: the intervals say nothing about other data."
    if task["drawn_domains"]:
        data = "The intervals hold for further draws of these domains, not for other domains."
    errors = [f"{row['name']} {write_percent(row['binomial_standard_error'])}" for row in rows]
    sights = [f"{row['name']} {row['sees_target']}" for row in rows]
    seen = "were also seen in training, without labels" if task["target_test_seen"] else "unseen"
    sentences = [
        "The rule of the main table was fixed beforehand: last, the weights after the last step.",
        "source_val takes the step of the highest accuracy on held-out source examples; those "
        "within one standard error count as equal, and the latest is taken.",
        "oracle takes the step by the target's validation labels, which nobody who adapts has.",
        f"{join_numbers('Seed', task['seeds'])}: a seed changes {', '.join(varied[:-1])} and "
        f"{varied[-1]}. "
        "Rows share all of that, so differences are paired by seed; a seed that one row "
        "lacks is dropped from the pair.",
        "Intervals are 95 % t intervals over seeds, from 20 seeds on BCa bootstrap intervals. Gap "
        "covered is a ratio of means; its interval is a bootstrap over seeds, too narrow for few.",
        data,
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
    written = ["-" if not is_number(x) else f"{x:,.0f}" for x in numbers]
    if row["milliseconds_per_step"] is not None:
        written[3] = f"{row['milliseconds_per_step']:.1f}"
    return [row["name"], row["sees_target"], *written]


def _label_free_table(rows: Sequence[Row]) -> list[str]:
    """Shows what is known of each row without target labels, at the last step."""
    scores = sorted({name for row in rows for name in row["scores"]})
    cells = [
        [row["name"], write_percent(row["source_val_accuracy"])]
        + [
            f"{value:.3f}" if is_number(value := row["scores"].get(name)) else "-"
            for name in scores
        ]
        for row in rows
    ]
    return _markdown_table(("method", "source validation accuracy", *scores), cells)


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
        *_markdown_table(["class", *(row["name"] for row in changed)], table),
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


def _escape(value: Any) -> str:
    """Makes text mean nothing to Markdown."""
    return re.sub(r"([\\`*|<\[\]])", r"\\\1", " ".join(str(value).split()))


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [[_escape(cell) for cell in line] for line in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return ["", *(f"| {' | '.join(line)} |" for line in lines), ""]
