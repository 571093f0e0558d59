"""Shows where each population is: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from common.experiment.executors.schedule import Status
from common.experiment.executors.task import Task, step_of

Show = Callable[[Mapping[str, Status]], None]
# Rows of a table that are never left out, and of which only the number is shown beyond some.
ROWS = 20
LATER = ("waits", "ended")


@contextlib.contextmanager
def open_table(tasks: Sequence[Task], say: Callable[[str], None]) -> Iterator[Show]:
    """Opens a table of populations.

    Args:
        tasks: The populations.
        say: Takes a line where there is no terminal, or no `rich` to draw a table with.

    Yields:
        Shows where each population is; meant to be called again and again.
    """
    if not (sys.stdout.isatty() and importlib.util.find_spec("rich")):
        yield _make_lines(tasks, say)
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        yield lambda status: live.update(draw(tasks, status), refresh=True)


def _make_lines(tasks: Sequence[Task], say: Callable[[str], None]) -> Show:
    """Says what has changed, in a line each."""
    known = {task.name: Status("waits") for task in tasks}
    seconds: dict[str, float] = {}

    def show(status: Mapping[str, Status]) -> None:
        for task in tasks:
            new, old = status[task.name], known[task.name]
            if new != old:
                known[task.name] = new
                if new.since:
                    seconds[task.name] = new.since
                after = ""
                if old.word in ("running", "stopping") and task.name in seconds:
                    after = f" after {time.monotonic() - seconds[task.name]:.0f} s"
                again = f", attempt {new.attempt}" if new.attempt > 1 else ""
                where = f": {new.place}" if new.place else ""
                say(f"{task.name} ({task.title}) {new.word}{after}{again}{where}")

    return show


def draw(tasks: Sequence[Task], status: Mapping[str, Status]) -> Any:
    """Draws a table.

    Args:
        tasks: The populations.
        status: Where each of them is.

    Returns:
        A table of `rich`; of those that wait or have ended only the first are in it.
    """
    from rich.table import Table

    counts = Counter(own.word for own in status.values())
    title = ", ".join(f"{count} {word}" for word, count in counts.items())
    table = Table(title=f"{len(tasks)} populations: {title}", title_justify="left")
    for name in ("population", "runs", "state", "step", "seconds", "where"):
        table.add_column(name, overflow="fold")
    left = ROWS - sum(own.word not in LATER for own in status.values())
    for task in tasks:
        own = status[task.name]
        if own.word in LATER:
            left -= 1
            if left < 0:
                continue
        num_steps = task.configs[0]["num_steps"]
        is_open = own.word in ("running", "stopping", "elsewhere")
        step = f"{step_of(task)}/{num_steps}" if is_open else ""
        seconds = f"{time.monotonic() - own.since:.0f}" if own.since else ""
        again = f", attempt {own.attempt}" if own.attempt > 1 else ""
        table.add_row(task.name, task.title, own.word + again, step, seconds, own.place)
    return table
