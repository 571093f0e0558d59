r"""`results.tex`: the main tables for a paper, with the rules of the package booktabs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.experiment.reporting.across_section import average_table
from common.experiment.reporting.measured import measured_table
from common.experiment.reporting.provenance import describe_table
from common.experiment.reporting.table import HEADER, row_cells, sections_of

# Characters that mean something to LaTeX, or that its standard fonts lack.
WRITTEN = {
    **{"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#"},
    **{"%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{"±": r"$\pm$", "−": "$-$", "→": r"$\rightarrow$", "²": r"$^2$", "…": r"\dots{}"},
    # Brackets at the start of a line are an option of the line break before them.
    **{"[": "{[}", "]": "{]}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}"},
    # Two or more hyphens would become a dash.
    "-": "{-}",
}
INTRODUCTION = (
    "% Written by launch.py report. In the preamble: \\usepackage{booktabs} and",
    "% \\usepackage[T1]{fontenc}. Percent, with half of the 95 % interval; differences in points.",
)


def escape_latex(value: Any) -> str:
    """Makes text mean nothing to LaTeX.

    Args:
        value: Anything.

    Returns:
        Its text in one line, without control characters.
    """
    line = " ".join(str(value).split())
    return "".join(WRITTEN.get(c, c) for c in line if c.isprintable())


def write_latex(summary: Mapping[str, Any]) -> str:
    """Writes a table for each task and rule, and one for the averages over tasks.

    Args:
        summary: What `summarize` returns.

    Returns:
        The text of the file.
    """
    lines = [*INTRODUCTION]
    for across in summary["across"]:
        header, cells = average_table(across)
        lines += latex_table(header, cells, f"{across['experiment']}: all tasks, rule last")
    for task in summary["tasks"]:
        for rule, rows in sections_of(summary, task).items():
            title = f"{task['experiment']}: {task['task']}; {describe_table(task, rule)}"
            if rule.startswith("oracle"):
                title += "; reads target labels, for comparison only"
            lines += latex_table(HEADER, map(row_cells, rows), title)
    for task in summary["measured"]:
        header, *cells = measured_table(task)
        lines += latex_table(header, cells, f"{task['experiment']}: {task['task']}; rule last")
    return "\n".join(lines) + "\n"


def latex_table(header: Sequence[str], cells: Iterable[Sequence[Any]], caption: str) -> list[str]:
    """Writes a table.

    Args:
        header: Names of the columns.
        cells: Cells of each line.
        caption: Below the table.

    Returns:
        Lines, with an empty one before.
    """

    def line(own: Sequence[Any]) -> str:
        return f"{' & '.join(map(escape_latex, own))} \\\\"

    return [
        *("", r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}"),
        *(r"\toprule", line(header), r"\midrule", *map(line, cells), r"\bottomrule"),
        *(r"\end{tabular}", rf"\caption{{{escape_latex(caption)}}}", r"\end{table}"),
    ]
