"""The comparison of two folders of runs: printed, and written beside the report."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.experiment.json_file import write_json
from common.experiment.reporting.cell import align
from common.experiment.reporting.comparison import compare_runs
from common.experiment.reporting.comparison_section import (
    HEADER,
    comparison_cells,
    write_comparison,
)
from common.experiment.reporting.page import render, wrap_page
from common.experiment.reporting.run_record import read_runs
from common.experiment.selection_rule import DEFAULT_RULE

FILES = ("comparison.md", "comparison.html", "comparison.json")


class Comparison(NamedTuple):
    """A written comparison.

    Attributes:
        path: `comparison.md`.
        text: Its main table, for a terminal.
        compared: What `comparison.json` holds.
    """

    path: Path
    text: str
    compared: dict[str, Any]


def write_compared(folders: Sequence[Path], destination: Path | None = None) -> Comparison:
    """Writes `comparison.md`, `comparison.html` and `comparison.json`.

    Args:
        folders: The two sides: run folders, folders of experiments, or folders of those.
        destination: Where to; `report` inside the second folder if None.

    Returns:
        What was written.

    Raises:
        ValueError: Other than two folders, or one without a run.
    """
    if len(folders) != 2:
        raise ValueError(
            f"report --compare takes two folders, such as runs/before runs/after, not "
            f"{len(folders)}"
        )
    sides = [read_runs([folder]) for folder in folders]
    for folder, runs in zip(folders, sides, strict=True):
        if not runs:
            raise ValueError(f"no run is in {folder}; name a folder of runs, such as runs/digits")
    names = list(map(str, folders))
    compared = compare_runs(*sides)
    lines = write_comparison(compared, names)
    destination = folders[1] / "report" if destination is None else destination
    destination.mkdir(parents=True, exist_ok=True)
    commits = [", ".join(own["commits"]) or "unknown" for own in compared["origins"]]
    caption = f"A: {names[0]}, commit {commits[0]}; B: {names[1]}, commit {commits[1]}"
    with tempfile.TemporaryDirectory(dir=destination, prefix=".new-") as name:
        new = Path(name)
        text = "\n".join(lines)
        body = render(text, lambda section, part: caption, new)
        page = wrap_page("Comparison", body)
        (new / FILES[0]).write_text(text, encoding="utf-8", errors="replace")
        (new / FILES[1]).write_text(page, encoding="utf-8", errors="replace")
        write_json(new / FILES[2], {"folders": names, **compared})
        for file in FILES:
            os.replace(new / file, destination / file)
    return Comparison(destination / FILES[0], _format(compared), compared)


def _format(compared: dict[str, Any]) -> str:
    """Writes the main table for a terminal, and how much is not in it."""
    lines = ["no row is on both sides"]
    if compared["rows"]:
        first = int(len({row["task"] for row in compared["rows"]}) == 1)
        shown = [row for row in compared["rows"] if row["rule"] == DEFAULT_RULE]
        table = [HEADER[first:-1], *(comparison_cells(row)[first:-1] for row in shown)]
        lines = align([[_printable(cell) for cell in line] for line in table])
    for side, key in (("A", "only_in_first"), ("B", "only_in_second")):
        if rows := [own["row"] for own in compared[key]]:
            lines.append(f"only in {side}: {_printable(', '.join(rows))}")
    for side, origin in zip("AB", compared["origins"], strict=True):
        if origin["unfinished"]:
            lines.append(f"unfinished in {side}: {len(origin['unfinished'])} runs")
    if compared["settings"]:
        lines.append(f"settings that differ in all rows: {', '.join(compared['settings'])}")
    return "\n".join(lines)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
