"""What a report says of several tasks together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.experiment.reporting.across import CHOSEN
from common.experiment.reporting.cell import (
    escape,
    markdown_table,
    shorten,
    write_estimate,
    write_p_value,
    write_percent,
)
from common.experiment.reporting.grouping import BASELINES, method_of
from common.experiment.reporting.published import write_remarks
from common.experiment.reporting.rank_section import write_ranks

COMPARISON_HEADER = (
    *("row", "against", "tasks", "better in", "mean difference", "paired t test, p"),
    *("signed-rank test, p", "the same after Holm", "probability of superiority"),
)
EXPLANATION = (
    "Accuracies are means over seeds at the last step, in percent. The average counts every task "
    "alike and holds only rows that every task has. A row that ends in chosen is, in each task, "
    "the one of its method that reverse validation chose. Differences are those of the tasks' "
    "means, in points."
)
EXPLANATION_OF_TESTS = (
    "Intervals are 95 % intervals over tasks; tests are two-sided and paired by task. Holm's "
    "correction is over the rows compared with the same row. Tasks that share a domain are not "
    "independent, which no test here knows.",
    "The probability of superiority is no p value: 0.5 says that nothing is known. With p_i the "
    "probability that the row is better in task i, by Student's posterior of the mean difference "
    "over shared seeds, the number of tasks won is Poisson binomial, and the probability is the "
    "sum over k of P(k of n won) P(Beta(k + 1, n - k + 1) > 1/2): Lacoste, Laviolette and "
    "Marchand, AISTATS (2012), section 5. There, and in the DANN paper's table 1b, p_i comes from "
    "the test examples of a single run.",
)


def average_headline(across: Mapping[str, Any]) -> str:
    """Says the main result over tasks in one sentence.

    Args:
        across: From `compare_across`.

    Returns:
        The sentence.
    """
    names, count = across["rows"], len(across["tasks"])
    if not names:
        return f"No row is there in all {count} tasks."
    adapted = [name for name in names if method_of(name) not in BASELINES]
    preferred = [name for name in ("dann", f"dann{CHOSEN}") if name in adapted]
    first = (*preferred, *adapted, *names)[0]
    average = write_percent(across["average"][first])
    text = f"{first} is right on {average} % of the target's test examples at the last step, on "
    text += f"average over {count} tasks"
    for entry in across["comparisons"]:
        if (entry["row"], method_of(entry["against"])) == (first, "source_only"):
            text += f", {write_percent(entry['mean'], '+')} points against {entry['against']}"
            if entry.get("ci95"):
                ends = ", ".join(write_percent(end, "+") for end in entry["ci95"])
                text += f" (95 % interval over tasks [{ends}])"
            text += f"; it is better in {entry['wins']} of {count}"
    return f"{text}."


def average_table(across: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Makes the table of tasks and rows.

    Args:
        across: From `compare_across`.

    Returns:
        The header; and the lines, of which the last ones are the average, the numbers of tasks in
        which a row is better than source_only, and published averages.
    """
    names = across["rows"]
    lines = [
        [task, *(write_percent(across["accuracy"][name][index]) for name in names)]
        for index, task in enumerate(across["tasks"])
    ]
    lines.append(["average", *(write_percent(across["average"][name]) for name in names)])
    wins = {
        entry["row"]: f"{entry['wins']} of {entry['n']}"
        for entry in across["comparisons"]
        if method_of(entry["against"]) == "source_only"
    }
    lines.append(["better than source_only", *(wins.get(name, "-") for name in names)])
    for source, average in across["published_average"].items():
        published = [write_percent(average.get(method_of(name))) for name in names]
        lines.append([f"published average, {source}", *published])
    return ["task", *names], lines


def remarks_across(across: Mapping[str, Any]) -> list[str]:
    """Says what the tables over tasks leave out, and why.

    Args:
        across: From `compare_across`.

    Returns:
        Sentences.
    """
    count = len(across["tasks"])
    remarks = [
        f"{name} is left out of the average: it is missing in {len(tasks)} of {count} tasks "
        f"({', '.join(tasks[:3])}{', …' if len(tasks) > 3 else ''})."
        for name, tasks in across["left_out"].items()
    ]
    if not any(method_of(entry["against"]) == "source_only" for entry in across["comparisons"]):
        remarks.append("No row can be compared with one row source_only in every task.")
    if across["refused"] and across["comparisons"]:
        remarks.append(across["refused"])
    elif any(entry.get("superiority") is None for entry in across["comparisons"]):
        remarks.append(
            "A probability of superiority needs three shared seeds of both rows in every task."
        )
    return remarks


def comparison_cells(entry: Mapping[str, Any]) -> list[str]:
    """Writes a line of the comparisons over tasks.

    Args:
        entry: One of `comparisons`.

    Returns:
        One text for each column of `COMPARISON_HEADER`.
    """
    superiority = entry.get("superiority")
    return [
        entry["row"],
        entry["against"],
        str(entry["n"]),
        str(entry["wins"]),
        write_estimate({"ci95": None, **entry}, "+"),
        *(
            write_p_value(entry.get(key))
            for key in ("p_value", "signed_rank_p_value", "holm_p_value")
        ),
        "-" if superiority is None else f"{superiority:.2f}",
    ]


def write_across(
    across: Mapping[str, Any], anchors: Mapping[str, str], published: Sequence[Mapping[str, str]]
) -> list[str]:
    """Writes the section of an experiment's tasks together.

    Args:
        across: From `compare_across`, with `figure` where one was drawn.
        anchors: By task, the anchor of its own section.
        published: Remarks on published numbers that are not told elsewhere.

    Returns:
        Lines of Markdown.
    """
    lines = [f"## Across tasks: {escape(across['experiment'])}", ""]
    lines += [f"**{escape(average_headline(across))}**", ""]
    figure = across.get("figure", {})
    if "file" in figure:
        lines += [f"![average]({figure['file']})", "", escape(figure["reading"]), ""]
    header, cells = average_table(across)
    table = markdown_table(header, cells)
    for index, (task, short) in enumerate(
        zip(across["tasks"], shorten(across["tasks"]), strict=True)
    ):
        link = f"[{escape(short)}](#{anchors[task]})"
        table[index + 3] = table[index + 3].replace(escape(task), link, 1)
    lines += table
    if across["comparisons"]:
        compared = map(comparison_cells, across["comparisons"])
        lines += ["### Comparisons over tasks", *markdown_table(COMPARISON_HEADER, compared)]
    lines += [f"{escape(remark)}  " for remark in remarks_across(across)]
    lines += write_ranks(across["ranks"])
    known = [value for own in across["superiority"].values() for value in own.values()]
    if any(value is not None for value in known):
        lines += ["", "### Probability that the line's row is superior to the column's"]
        lines += _superiority_table(across["superiority"])
    lines += ["", escape(EXPLANATION), ""]
    for text in () if across["refused"] else EXPLANATION_OF_TESTS:
        lines += [escape(text), ""]
    return [*lines, *write_remarks(published)]


def _superiority_table(superiority: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    cells = [
        [row, *("-" if (x := own.get(other)) is None else f"{x:.2f}" for other in superiority)]
        for row, own in superiority.items()
    ]
    return markdown_table(["", *superiority], cells)
