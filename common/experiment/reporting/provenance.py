"""What every table must say of itself: rule, seeds, protocol, config, commit, hardware."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from common.experiment.reporting.cell import escape
from common.experiment.reporting.rule_section import TITLE
from common.experiment.reporting.summary import join_numbers

COMMIT_LETTERS = 10


def describe_table(task: Mapping[str, Any], rule: str) -> str:
    """Says in one line where the numbers of a table come from.

    Args:
        task: A task of `summary.json`.
        rule: The rule that chose the steps.

    Returns:
        Plain text.
    """
    seen = "seen" if task.get("target_test_seen") else "not seen"
    commits = ", ".join(map(shorten_commit, task.get("commits", ())))
    parts = [
        f"rule {rule}",
        join_numbers("seed", task["seeds"]) if task.get("seeds") else "seeds unknown",
        f"target test examples {seen} in training, differences paired by seed",
        f"config {settings_digest(task)}",
        f"commit {commits or 'unknown'}",
        f"hardware {', '.join(task.get('hardware', ())) or 'unknown'}",
    ]
    return "; ".join(parts)


def shorten_commit(commit: str) -> str:
    """Shortens the name of a commit, and keeps that there were changes beside it.

    Args:
        commit: As `config.json` has it.

    Returns:
        Its first letters.
    """
    name, plus, changes = commit.partition("+")
    return name[:COMMIT_LETTERS] + plus + changes[:COMMIT_LETTERS]


def settings_digest(task: Mapping[str, Any]) -> str:
    """Names the settings of all rows of a task.

    Args:
        task: A task of `summary.json`.

    Returns:
        Eight characters of a hash.
    """
    every = [task.get("shared_settings"), task.get("differing_settings")]
    text = json.dumps(every, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def describe_tables(summary: Mapping[str, Any]) -> dict[str, Callable[[str], str]]:
    """Gives the captions of all tables of a report.

    Args:
        summary: What `summarize` returns.

    Returns:
        By heading of a section, in Markdown, a function from the heading of a part of it to the
        caption of its tables; under the empty heading that of every other section.
    """
    captions: dict[str, Callable[[str], str]] = {"": _all_together(summary["tasks"])}
    for task in summary["tasks"]:
        heading = f"{escape(task['experiment'])}: {escape(task['task'])}"

        def caption(part: str, task: Mapping[str, Any] = task) -> str:
            return describe_table(task, rule_of(part))

        captions[heading] = caption
    return captions


def rule_of(heading: str) -> str:
    """Finds the rule that a part of a report is about.

    Args:
        heading: Its heading, in Markdown.

    Returns:
        The rule's name; `last` for parts that are not about one of several rules.
    """
    if heading == TITLE:
        return "of the line"
    found = re.match(r"Selection (\S+)", heading)
    return found[1].replace("\\", "") if found else "last"


def _all_together(tasks: list[Mapping[str, Any]]) -> Callable[[str], str]:
    """Describes a table over several tasks."""

    def distinct(key: str) -> list[Any]:
        return sorted({own for task in tasks for own in task.get(key, ())})

    every = {
        "seeds": distinct("seeds"),
        "commits": distinct("commits"),
        "hardware": distinct("hardware"),
        "target_test_seen": any(task.get("target_test_seen") for task in tasks),
        "shared_settings": [settings_digest(task) for task in tasks],
    }
    return lambda part: describe_table(every, f"{rule_of(part)} unless a column says another")
