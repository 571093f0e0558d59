"""Files that a command writes: whole or not at all, and in nobody's place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.experiment.outcome import writing


def free_file(name: str | Path, suffixes: Sequence[str]) -> Path:
    """Refuses a file that is there already, or is called like another kind.

    Args:
        name: The file.
        suffixes: What its name may end in.

    Returns:
        The file.

    Raises:
        ValueError: Such a file.
    """
    path = Path(name).expanduser()
    if path.suffix not in suffixes:
        raise ValueError(f"--output={path} must end in {' or '.join(suffixes)}")
    if path.exists():
        raise ValueError(f"{path} exists; remove it, or name another file by --output")
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replaces a file whole or not at all.

    Args:
        path: The file.

    Yields:
        Where to write what shall take its place.

    Raises:
        RunFailed: The file system refuses it; what was there stays.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    with writing(path):
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
