"""Numbers and text as cells, and cells as tables, for Markdown and for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.data.pool import list_sources

# What Markdown acts on: inside of a word an underscore is one, and so is a lone ampersand.
MARKS = re.compile(r"[\\`*|<\[\]]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")


def write_percent(value: float | None, sign: str = "") -> str:
    """Writes a share in percent.

    Args:
        value: A share, or None.
        sign: `+` to write the sign of positive numbers.

    Returns:
        The percentage with one digit, or a dash.
    """
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def write_estimate(found: Mapping[str, Any] | None, sign: str = "") -> str:
    """Writes a mean and its interval, in percent or points.

    Args:
        found: Something with `mean` and `ci95`, or None.
        sign: `+` to write the sign of positive numbers.

    Returns:
        Such as `48.7 [44.1, 53.0]`, or a dash.
    """
    if found is None:
        return "-"
    ends = ", ".join(write_percent(end, sign) for end in found["ci95"] or ())
    return write_percent(found["mean"], sign) + (f" [{ends}]" if ends else "")


def write_mean(found: Mapping[str, Any] | None) -> str:
    """Writes a mean and half of its interval, in percent.

    Args:
        found: Something with `mean` and `ci95`, or None.

    Returns:
        Such as `76.2 ± 5.1`, or a dash.
    """
    if found is None:
        return "-"
    interval = found["ci95"]
    half = f" ± {write_percent((interval[1] - interval[0]) / 2)}" if interval else ""
    return write_percent(found["mean"]) + half


def write_p_value(value: float | None) -> str:
    """Writes a p value.

    Args:
        value: The p value, or None.

    Returns:
        Two significant digits, what is too small for them as `< 0.0001`, or a dash.
    """
    if value is None:
        return "-"
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def shorten(tasks: Sequence[str]) -> list[str]:
    """Names tasks by the last parts of their domains.

    Args:
        tasks: Such as `tfds:amazon_reviews/books>tfds:amazon_reviews/dvd`.

    Returns:
        Such as `books → dvd`; where that does not tell the tasks apart, their whole names. What is
        longer than 48 letters is cut.
    """
    short = [
        " → ".join(
            "+".join(own.replace(":", "/").rpartition("/")[2] for own in list_sources(domain))
            for domain in task.split(">")
        )
        for task in tasks
    ]
    names = short if len(set(short)) == len(tasks) else [t.replace(">", " → ") for t in tasks]
    return [name if len(name) <= 48 else f"{name[:47]}…" for name in names]


def title_of(task: str, room: int) -> str:
    """Names a task in a title.

    Args:
        task: As for `shorten`.
        room: How many letters there may be.

    Returns:
        Its whole name, or where that is too long the last parts of its domains.
    """
    whole = task.replace(">", " → ")
    return whole if len(whole) <= room else shorten([task])[0]


def escape(value: Any) -> str:
    """Makes text mean nothing to Markdown.

    Args:
        value: Anything.

    Returns:
        Its text in one line.
    """
    return re.sub(MARKS, r"\\\g<0>", " ".join(str(value).split()))


def group_by_reason(runs: Iterable[Mapping[str, str]], state: str) -> list[str]:
    """Names the runs that are not done, those of one reason together.

    Args:
        runs: Each with `experiment`, `run` and `reason`.
        state: What they are, such as `incomplete`.

    Returns:
        Sentences without a full stop.
    """
    by_reason: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        by_reason.setdefault((run["experiment"], run["reason"]), []).append(run["run"])
    return [
        f"{state}: {experiment}/{names[0]}: {reason}"
        if len(names) == 1
        else f"{state}: {len(names)} runs of {experiment}: {reason}: {', '.join(names)}"
        for (experiment, reason), names in by_reason.items()
    ]


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Writes a table in Markdown.

    Args:
        header: Names of the columns.
        rows: Cells of each line; their text is escaped.

    Returns:
        Lines, with an empty one before and after.
    """
    lines = [[escape(cell) for cell in line] for line in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return ["", *(f"| {' | '.join(line)} |" for line in lines), ""]


def align(table: Sequence[Sequence[str]]) -> list[str]:
    """Aligns the columns of a table for a terminal.

    Args:
        table: Lines of cells.

    Returns:
        Lines of at most 100 letters; a first cell that is too wide gets a line of its own, and
        where the other columns leave no room for the first one's title, the table is in parts.
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    room = 100 - 2 * (len(widths) - 1) - sum(widths[1:])
    if room < len(table[0][0]) and len(widths) > 2:
        return align_in_parts(table)
    widths[0] = min(widths[0], max(room, len(table[0][0])))
    lines = []
    for name, *cells in table:
        rest = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True))
        if len(name) > widths[0]:
            lines.append(name)
            name = ""
        lines.append(f"{name.ljust(widths[0])}  {rest}".rstrip())
    return lines


def align_in_parts(table: Sequence[Sequence[str]]) -> list[str]:
    """Aligns a table that may have too many columns for a terminal.

    Args:
        table: Lines of cells.

    Returns:
        Lines of as many tables below each other as it takes, all of which have the first column.
    """
    columns = list(zip(*table, strict=True))
    widths = [max(map(len, column)) for column in columns]
    parts, used = [[0]], widths[0]
    for index, width in enumerate(widths[1:], 1):
        if used + 2 + width > 100 and len(parts[-1]) > 1:
            parts.append([0])
            used = widths[0]
        parts[-1].append(index)
        used += 2 + width
    return [
        line for part in parts for line in align([[own[index] for index in part] for own in table])
    ]
