"""Who is started when, and what an exit code means: scheduling, without a word about processes.

The state of a population is in its run folders, so nothing here has to survive: a launcher that is
killed is started again and finds what is left.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from common.experiment.executors.task import BUSY, OPEN, OVER, Task
from common.experiment.outcome import STOPPED, WRONG_USAGE, Stopped, StopRequest

SECONDS_BETWEEN_LOOKS = 0.5


class Ending(NamedTuple):
    """How a process ended.

    Attributes:
        code: Its exit code; negative where a signal killed it.
        reason: What to tell a person if it is not tried again.
        is_final: Whether it must not be tried again, since a person has ended it.
    """

    code: int
    reason: str
    is_final: bool = False


class Backend(NamedTuple):
    """Starts processes, on this machine or on others.

    Attributes:
        slots: How many may run at a time.
        start: Starts some, each in a slot: `[(slot, task)] -> [handle]`.
        poll: Says how one ended; None while it runs.
        stop: Asks one to save and end; None: they go on without this process.
        place: Names a slot, for people.
    """

    slots: int
    start: Callable[[Sequence[tuple[int, Task]]], Sequence[Any]]
    poll: Callable[[Any], Ending | None]
    stop: Callable[[Any], None] | None
    place: Callable[[int], str]


class Status(NamedTuple):
    """Where a population is.

    Attributes:
        word: `waits`, `elsewhere`, `running`, `stopping`, `ended` or `given up`.
        place: Where it runs, or why it was given up.
        attempt: How often it was started.
        since: When that was, by `time.monotonic`.
    """

    word: str
    place: str = ""
    attempt: int = 0
    since: float = 0.0


def run_tasks(
    tasks: Sequence[Task],
    backend: Backend,
    request: StopRequest,
    *,
    retries: int,
    look: Callable[[Task], str],
    show: Callable[[Mapping[str, Status]], None],
    pause: Callable[[], None] = lambda: time.sleep(SECONDS_BETWEEN_LOOKS),
) -> dict[str, str]:
    """Runs all tasks that are open, as many at a time as there are slots, in their order.

    A process that ends with 75 was stopped and has saved: it goes to the end of the queue. One
    that ends in any other way before its runs have is tried again as often as `retries` says, but
    not where the command itself was wrong. A task that another process works on is left to that
    one, and taken over once it stops.

    Args:
        tasks: Populations that do not depend on each other.
        backend: Starts processes.
        request: Looked at between two looks at them.
        retries: How often to try again.
        look: Says whether a task is open, busy or over.
        show: Is told where each population is, by its name.
        pause: Waits for a moment.

    Returns:
        By name, why a task was given up.

    Raises:
        Stopped: A signal came; all processes have ended, or go on without this one.
    """
    waiting = list(tasks)
    running: dict[int, tuple[Task, Any]] = {}
    attempts: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    given_up: dict[str, str] = {}
    status = {task.name: Status("waits") for task in tasks}
    stopping = False
    while waiting or running:
        if request and not stopping:
            stopping = True
            if backend.stop is None:
                raise Stopped(
                    f"{request.received}: the jobs go on without this process; run the same "
                    "command to see to them"
                )
            for task, handle in running.values():
                backend.stop(handle)
                status[task.name] = status[task.name]._replace(word="stopping")
        if stopping and not running:
            raise Stopped(f"{request.received}: run the same command to go on")
        if not stopping:
            started = _pick(waiting, backend.slots, running, look, status)
            handles = backend.start(started) if started else []
            for (slot, task), handle in zip(started, handles, strict=True):
                running[slot] = task, handle
                attempts[task.name] += 1
                status[task.name] = Status(
                    "running", backend.place(slot), attempts[task.name], time.monotonic()
                )
        for slot, (task, handle) in list(running.items()):
            ending = backend.poll(handle)
            if ending is None:
                continue
            del running[slot]
            found = look(task)
            is_excused = ending.code == STOPPED or found == BUSY
            failures[task.name] += not is_excused
            may_try = ending.code != WRONG_USAGE and failures[task.name] <= retries
            if found == OVER:
                status[task.name] = Status("ended")
            elif not ending.is_final and (is_excused or may_try or stopping):
                waiting.append(task)
                status[task.name] = Status("waits", ending.reason)
            else:
                given_up[task.name] = ending.reason
                status[task.name] = Status("given up", ending.reason)
        show(status)
        if waiting or running:
            pause()
    return given_up


def _pick(
    waiting: list[Task],
    slots: int,
    running: Mapping[int, Any],
    look: Callable[[Task], str],
    status: dict[str, Status],
) -> list[tuple[int, Task]]:
    """Takes open tasks out of the queue for the free slots, and those that are over."""
    free = [slot for slot in range(min(slots, len(waiting) + len(running))) if slot not in running]
    started: list[tuple[int, Task]] = []
    for task in list(waiting):
        if len(started) == len(free):
            break
        found = look(task)
        if found == OPEN:
            started.append((free[len(started)], task))
        if found == BUSY:
            status[task.name] = Status("elsewhere")
            continue
        if found == OVER:
            status[task.name] = Status("ended")
        waiting.remove(task)
    return started
