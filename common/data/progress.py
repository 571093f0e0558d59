"""What a preparation says while it runs: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from common.data.data_folder import folder_size

# Seconds between two lines.
INTERVAL = 10.0


@contextlib.contextmanager
def reporting(
    name: str, builder: Any, folders: Sequence[Path], show: Callable[[str], None]
) -> Iterator[None]:
    """Says how far a builder is.

    On a terminal TFDS draws its own bars. Elsewhere they are turned off, and a thread shows a line
    every `INTERVAL` seconds.

    Args:
        name: The data set, to begin the lines with.
        builder: The TFDS builder that is about to prepare.
        folders: Where it downloads to and where it writes.
        show: Shows a line.

    Yields:
        Nothing; the builder is being watched.
    """
    import tensorflow_datasets as tfds

    if sys.stderr.isatty():
        yield
        return
    tfds.disable_progress_bar()
    ended = threading.Event()
    thread = threading.Thread(
        target=_report, args=(name, _count_examples(builder), folders, show, ended), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _report(
    name: str,
    count: Callable[[], int],
    folders: Sequence[Path],
    show: Callable[[str], None],
    ended: threading.Event,
) -> None:
    start, sizes = time.monotonic(), sum(map(folder_size, folders))
    while not ended.wait(INTERVAL):
        seconds = time.monotonic() - start
        grown = (sum(map(folder_size, folders)) - sizes) / 2**20
        show(f"{name}: {seconds:.0f} s, {count():,} examples made, {grown:,.1f} MiB on disk so far")


def _count_examples(builder: Any) -> Callable[[], int]:
    """Lets a builder count what it encodes, whatever kind of builder it is."""
    features, encoded = builder.info.features, [0]
    encode = features.encode_example

    def counting(example: Any) -> Any:
        encoded[0] += 1
        return encode(example)

    features.encode_example = counting
    return lambda: encoded[0]
