"""How a command ends: done, failed, asked to stop by a signal, or asked for the impossible."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

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
def listen() -> Iterator[StopRequest]:
    """Turns the signals of schedulers and of the keyboard into a request to stop.

    The first one asks; a second one of the keyboard interrupts at once.

    Yields:
        The request, to be looked at between two chunks.
    """
    request = StopRequest()

    def handle(number: int, frame: object) -> None:
        del frame
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.received = signal.Signals(number).name

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
