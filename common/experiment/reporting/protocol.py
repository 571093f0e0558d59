"""How the numbers of a report came about: the protocol in words, and the settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from common.experiment.reporting.cell import escape, markdown_table, write_percent
from common.experiment.reporting.row import Row
from common.experiment.reporting.summary import join_numbers

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


def describe_protocol(task: Mapping[str, Any], rows: Sequence[Row], rule: str = "last") -> str:
    """Says in one paragraph how the numbers came about.

    Args:
        task: A task of `summary.json`.
        rows: Its rows at the last step.
        rule: The selection of the main table.

    Returns:
        The paragraph, in Markdown.
    """
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
        varied.append("the splits of source and target")
    varied += [f"the examples of {name}" for name in task["drawn_domains"]]
    data = "All seeds share one data set: the intervals say nothing about other data."
    if task["drawn_domains"]:
        data = "The intervals hold for further draws of these domains, not for other domains."
    errors = [f"{row['name']} {write_percent(row['binomial_standard_error'])}" for row in rows]
    sights = [f"{row['name']} {row['sees_target']}" for row in rows]
    seen = "were also seen in training, without labels" if task["target_test_seen"] else "unseen"
    sentences = [
        "The rule of the main table was fixed beforehand: last, the weights after the last step."
        if rule == "last"
        else f"The rule of the main table is the default one, {rule}, which was chosen on other "
        "runs; last takes the weights after the last step.",
        "source_val takes the step of the highest accuracy on held-out source examples; those "
        "within one standard error count as equal, and the latest is taken.",
        "oracle takes the step by the target's validation labels, which nobody who adapts has.",
        f"{join_numbers('Seed', task['seeds'])}: a seed changes {', '.join(varied[:-1])} and "
        f"{varied[-1]}. "
        "Rows share all of that, so differences are paired by seed; a seed that one row "
        "lacks is dropped from the pair.",
        "Intervals are 95 % t intervals over seeds, from 20 seeds on BCa bootstrap intervals. Gap "
        "covered is a ratio of means; its interval is Fieller's, from 20 seeds on a bootstrap.",
        data,
        f"Binomial standard error of one run, in points: {', '.join(errors)}.",
        f"Settings: {', '.join(values)}.",
        f"The target's test examples in training: {seen} "
        f"(target_test_seen {str(task['target_test_seen']).lower()}).",
        f"What rows see of the target: {', '.join(sights)}.",
        *_remarks_on_labels(settings, rows),
        *_remarks_on_classes(settings),
        *_remarks_on_data(task, is_told=any(settings.get("data.target_classes", ()))),
        f"Commit {', '.join(task['commits'])}; hardware {', '.join(task['hardware'])}; versions "
        f"{', '.join(task['versions'])}.",
    ]
    return escape(" ".join(sentences))


def _remarks_on_labels(settings: Mapping[str, Sequence[Any]], rows: Sequence[Row]) -> list[str]:
    """Says how labelled target examples were drawn, where a budget limits them."""
    budgets = [own for own in settings.get("data.target_labels_per_class", ()) if own]
    if not budgets or not any("label" in row["sees_target"] for row in rows):
        return []
    written = " or ".join(str(own) for own in dict.fromkeys(budgets))
    return [
        f"Labelled target examples are {written} of each class, drawn by label from the target's "
        "training split anew with each split seed; all rows have the same, a larger number adds to "
        "a smaller one, and each step sees the classes equally often."
    ]


def _remarks_on_classes(settings: Mapping[str, Sequence[Any]]) -> list[str]:
    """Says which classes the target was left with, where a run left some out."""
    said = []
    for own in settings.get("data.target_classes", ()):
        if own and own not in said:
            said.append(own)
    return [
        f"The target's examples, in training and in the test, were picked by label: those of the "
        f"classes {', '.join(map(str, own))} alone, while the source has all of the task's."
        for own in said
    ]


def _remarks_on_data(task: Mapping[str, Any], *, is_told: bool) -> list[str]:
    """Says how target labels chose examples, and how many test examples are trained on too."""
    said = []
    if task["target_chosen_by_label"] and not is_told:
        said.append("The target's examples in training are those of the task's classes, by label.")
    counts = task["target_test_shared_with"]
    if any(counts.values()):
        listed = " and ".join(f"{count} also in {split}" for split, count in counts.items())
        said.append(f"Of the target's test examples are, byte for byte, in the worst run {listed}.")
    elif counts:
        said.append("No test example of the target equals one of a training split.")
    return said


def list_shared_settings(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lists the settings that several tasks share, and those in which they differ.

    Args:
        tasks: Tasks of `summary.json`.

    Returns:
        Lines of Markdown.
    """
    every = [task["shared_settings"] for task in tasks]
    keys = sorted({key for own in every for key in own} - {"source", "target"})
    written = {key: [json.dumps(own[key]) if key in own else "-" for own in every] for key in keys}
    shared = {key: every[0][key] for key in keys if len(set(written[key])) == 1}
    lines = _fold("The same in all rows of all tasks", shared)
    differing = [key for key in keys if key not in shared]
    if not differing:
        return lines
    table = [
        [task["task"], *(written[key][index] for key in differing)]
        for index, task in enumerate(tasks)
    ]
    title = "Settings of tasks; a dash where the rows of a task differ"
    folded = ["", *markdown_table(["task", *differing], table), "</details>", ""]
    return [*lines, f"<details><summary>{title}</summary>", *folded]


def list_settings(task: Mapping[str, Any]) -> list[str]:
    """Lists the settings in which the rows of a task differ, and those that they share.

    Args:
        task: A task of `summary.json`.

    Returns:
        Lines of Markdown.
    """
    shared = _fold("The same in all rows", task["shared_settings"])
    return [*differing_settings(task), *shared]


def differing_settings(task: Mapping[str, Any]) -> list[str]:
    """Lists the settings in which the rows of a task differ.

    Args:
        task: A task of `summary.json`.

    Returns:
        A table in Markdown; no line where no setting differs.
    """
    differing = task["differing_settings"]
    if not differing:
        return []
    names = list(next(iter(differing.values())))
    table = [
        [key, *("-" if own[name] is None else json.dumps(own[name]) for name in names)]
        for key, own in differing.items()
    ]
    return markdown_table(["setting", *names], table)


def _fold(title: str, settings: Mapping[str, Any]) -> list[str]:
    """Lists settings where a click shows them."""
    # One line each, whatever stands in a file.
    listed = [f"    {' '.join(key.split())} = {json.dumps(own)}" for key, own in settings.items()]
    return [f"<details><summary>{title}</summary>", "", *listed, "", "</details>", ""]
