"""The verb `report`: the comparison of runs, or of two folders of runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from common.experiment import compare, outcome, report


def run(folders: Sequence[str], output: str | None, *, compares: bool) -> None:
    """Writes a report and prints its tables.

    Args:
        folders: Folders of runs.
        output: The report's folder; None for one inside the first of them.
        compares: Whether two folders are compared seed by seed instead.

    Raises:
        UsageError: A folder is missing, or holds no run.
    """
    missing = " ".join(name for name in folders if not Path(name).is_dir())
    if missing or not folders:
        raise outcome.UsageError(
            f"report needs folders such as runs/digits, not {missing or 'none'}"
        )
    destination, paths = Path(output) if output else None, list(map(Path, folders))
    with outcome.refusing():
        if compares:
            compared = compare.write_compared(paths, destination)
            print(f"{compared.text}\ncomparison: {compared.path}")
            return
        written = report.write_report(paths, destination)
    print(report.format_table(written.summary, grey=sys.stdout.isatty()))
    print(f"report: {written.path}")
