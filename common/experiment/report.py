"""Tables and figures of finished runs, made from their run folders alone."""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.experiment.json_file import write_json
from common.experiment.reporting import across_figure
from common.experiment.reporting.across import CHOSEN, with_many_tasks
from common.experiment.reporting.drawing import save_figures
from common.experiment.reporting.figure_style import colors_of, save
from common.experiment.reporting.grouping import group_by_task, method_of, rows_of
from common.experiment.reporting.latex import write_latex
from common.experiment.reporting.markdown import write_markdown, write_sections
from common.experiment.reporting.metric_table import COLUMNS, csv_cells
from common.experiment.reporting.page import write_page
from common.experiment.reporting.run_page import count_planned, describe_runs, write_runs
from common.experiment.reporting.run_record import ACCURACY, Run, read_object, read_runs
from common.experiment.reporting.summary import summarize
from common.experiment.reporting.table import format_table
from common.experiment.reporting.wrong import find_problems, write_problems

__all__ = ["Report", "format_table", "read_runs", "summarize", "write_report"]


class Report(NamedTuple):
    """A written report.

    Attributes:
        path: `report.md`.
        summary: What `summary.json` holds.
        figures: Paths of the figures.
    """

    path: Path
    summary: dict[str, Any]
    figures: list[Path]


def write_report(folders: Sequence[Path], destination: Path | None = None) -> Report:
    """Writes `report.md`, `report.html`, `summary.json`, `results.csv`, `results.tex`, `figures/`.

    Everything is made first and then moved to its place file by file: a crash before that leaves
    the old report, a crash in between leaves whole files.

    Args:
        folders: Run folders, folders of experiments, or folders of those.
        destination: Folder of the report; `report` inside the first folder if None.

    Returns:
        What was written.

    Raises:
        ValueError: There is no run, finished or not, in the folders.
    """
    runs = read_runs(folders)
    if not runs:
        named = " ".join(map(str, folders))
        raise ValueError(f"no run is in {named}; name a folder of runs, such as runs/digits")
    summary = summarize(runs)
    groups = group_by_task(runs)
    destination = folders[0] / "report" if destination is None else destination
    (destination / "figures").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination, prefix=".new-") as name:
        new = Path(name)
        (new / "figures").mkdir()
        names = _file_names([*groups, *((own["experiment"], "") for own in summary["across"])])
        many = with_many_tasks(summary["across"])
        for task, group in zip(summary["tasks"], groups.values(), strict=True):
            task["anchor"] = names[task["experiment"], task["task"]]
            prefix = f"{task['anchor']}_" if len(groups) > 1 else ""
            # Of many tasks, one figure of all says more than half a dozen of each.
            is_one_of_many = task["experiment"] in many
            task["figures"] = {} if is_one_of_many else save_figures(group, new, prefix)
        for own in summary["across"]:
            own["anchor"] = names[own["experiment"], ""]
            own["figure"] = _save_across(own, new, own["anchor"])
        write_json(new / "summary.json", summary)
        texts = {
            "results.csv": _csv(runs),
            "results.tex": write_latex(summary),
            "report.md": write_markdown(summary),
            "report.html": _html(summary, runs, new),
        }
        for file, text in texts.items():
            # Half of a character pair, which JSON can hold, has no form in a file.
            (new / file).write_text(text, encoding="utf-8", errors="replace")
        made = [f"figures/{path.name}" for path in sorted((new / "figures").iterdir())]
        stale = _figures_of(destination / "summary.json").difference(made)
        for file in (*made, "summary.json", *texts):
            os.replace(new / file, destination / file)
    for file in stale:
        (destination / file).unlink(missing_ok=True)
    return Report(destination / "report.md", summary, [destination / file for file in made])


def _html(summary: Mapping[str, Any], runs: Sequence[Run], folder: Path) -> str:
    """Writes `report.html`: what `report.md` says, what went wrong, and a page of each run."""
    entries = describe_runs(runs)
    title, *sections = write_sections(summary)
    problems = write_problems(find_problems(summary, entries, count_planned(runs)))
    lines = [title, "", *problems, *sections, *write_runs(entries)]
    return write_page(summary, lines, folder)


def _file_names(keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Gives experiments and tasks names for files and anchors, of which no two are the same."""
    names: dict[tuple[str, str], str] = {}
    for key in keys:
        name = base = (
            re.sub(r"[^A-Za-z0-9]+", "_", "_".join(filter(None, key))).strip("_") or "task"
        )
        number = 1
        # Some file systems do not tell capital letters from small ones.
        while name.lower() in {other.lower() for other in names.values()}:
            number += 1
            name = f"{base}_{number}"
        names[key] = name
    return names


def _save_across(across: dict[str, Any], folder: Path, name: str) -> dict[str, str]:
    """Draws the figure of several tasks; if it cannot be drawn, gives the reason."""
    file = f"figures/{name}_accuracy_by_task.png"
    plain = [row.removesuffix(CHOSEN) for row in across["rows"]]
    colors = dict(zip(across["rows"], colors_of(plain).values(), strict=True))
    try:
        figure = across_figure.accuracy_by_task(
            across["accuracy"],
            across["tasks"],
            colors,
            title=f"{across['experiment']}: target test accuracy at the last step",
        )
        save(figure, folder / file)
    # The tables must not be lost because of one odd number.
    except Exception as error:
        return {"reason": str(error) or type(error).__name__}
    return {"file": file, "reading": across_figure.READING}


def _figures_of(path: Path) -> set[str]:
    """Names the figures that an earlier report wrote."""
    try:
        summary = read_object(path)
        entries = [entry for task in summary["tasks"] for entry in task["figures"].values()]
        entries += [own["figure"] for own in summary.get("across", [])]
        files = {entry.get("file", "") for entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()
    return {file for file in files if re.fullmatch(r"figures/[A-Za-z0-9_]+\.png", file)}


def _csv(runs: Sequence[Run]) -> str:
    """Writes one line a run and selection."""
    table: list[Sequence[Any]] = [
        (
            *("experiment", "task", "method", "row", "seed", "selection", "step"),
            *("target_test_accuracy", "source_val_accuracy", "run", *COLUMNS),
        )
    ]
    groups = [*group_by_task(runs).items(), *group_by_task(runs, "measured").items()]
    for (experiment, task), group in groups:
        for name, members in rows_of(group)[0].items():
            for seed, run in members.items():
                for selection, chosen in run.result["selections"].items():
                    line = [experiment, task, method_of(name), name, seed, selection]
                    line += [chosen.get("step"), chosen.get(ACCURACY)]
                    line += [chosen.get("source_val_accuracy"), run.name]
                    table.append([*line, *csv_cells(chosen)])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([map(_csv_cell, line) for line in table])
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    """Keeps a spreadsheet from taking text for a formula."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value
