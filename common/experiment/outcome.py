"""How a command ends: done, failed, asked to stop by a signal, or asked for the impossible."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

FAILED, WRONG_USAGE, STOPPED = 1, 2, 75

OTHERS_LOST = (
    "another process of this run has ended or cannot be reached; what was saved is whole, start "
    "all of them again to go on"
)

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR2") if hasattr(signal, name)
)


class StopRequest:
    """Whether a signal asked this process to stop.

    Attributes:
        received: The signal's name, or None.
    """

    def __init__(self) -> None:
        """Starts without a request."""
        self.received: str | None = None

    def __bool__(self) -> bool:
        """Is true once a signal has come."""
        return self.received is not None


class Stopped(Exception):
    """A signal came; everything is saved, and the same command goes on."""


class RunFailed(Exception):
    """A run cannot go on; the message is the reason, in one sentence."""


class HandedOver(Exception):
    """The rest is up to others, who know what to do; nothing went wrong."""


class UsageError(Exception):
    """The command or the config asks for something that cannot be; nothing was written."""


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Turns a `ValueError` from setting up a run into a `UsageError`.

    Raises:
        UsageError: With the same message.
    """
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns whatever the file system refuses into a `RunFailed`: a full disk, a missing right.

    Args:
        path: What is written.

    Raises:
        RunFailed: With the path and the reason.
    """
    try:
        yield
    except OSError as error:
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from error


def check_space(folder: Path, needed: int) -> None:
    """Refuses early what will not fit: libraries that find the disk full print tracebacks.

    Args:
        folder: Where something will be written.
        needed: How many bytes; 64 KiB are kept beside them.

    Raises:
        RunFailed: There is not enough space.
    """
    if shutil.disk_usage(folder).free < needed + 2**16:
        raise RunFailed(f"cannot write {folder}: {os.strerror(errno.ENOSPC)}")


def leave_at_once(*_: object) -> NoReturn:
    """Ends the process from within a signal handler, in the middle of whatever it does.

    A `KeyboardInterrupt` would strike compiled code, which then crashes. Nothing that was saved is
    harmed: files are replaced whole, and locks vanish with the process.
    """
    os.write(2, b"stopped: SIGINT: what was saved is whole, run the same command to go on\n")
    os._exit(STOPPED)


@contextlib.contextmanager
def listen() -> Iterator[StopRequest]:
    """Turns the signals of schedulers and of the keyboard into a request to stop.

    The first one asks; a second one of the keyboard ends the process at once.

    Yields:
        The request, to be looked at between two chunks.
    """
    request = StopRequest()

    def handle(number: int, frame: object) -> None:
        del frame
        if request and number == signal.SIGINT:
            leave_at_once()
        request.received = signal.Signals(number).name

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
