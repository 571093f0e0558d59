"""Where weights are, and what they are: a file, or several, and one hash of their bytes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

from common.experiment.weights import hub
from common.experiment.weights.tensor_file import list_shards


def find_weights(name: str) -> list[Path]:
    """Finds weights on this machine, after fetching those that are on the hub.

    Args:
        name: A path, `~` being the home folder, or `hf:<owner>/<name>[@<revision>][:<file>]`.

    Returns:
        The file, and after an index the files that it names.

    Raises:
        ValueError: A file that does not exist, or weights that cannot be fetched.
    """
    path = hub.fetch(name) if name.startswith(hub.PREFIX) else Path(name).expanduser()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the file in it")
    files = [path]
    if path.is_file():
        files += list_shards(path)
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file} does not exist")
    return files


def sha256_of(files: Sequence[Path]) -> str:
    """Hashes the bytes of files, one after the other.

    Args:
        files: From `find_weights`.

    Returns:
        What `cat FILES | sha256sum` prints.

    Raises:
        ValueError: A file that cannot be read.
    """
    try:
        states = [file.stat() for file in files]
        return _hash(tuple(map(str, files)), tuple((s.st_size, s.st_mtime_ns) for s in states))
    except OSError as error:
        raise ValueError(f"{error.filename} cannot be read: {error.strerror or error}") from None


# The runs of a sweep ask for the same file; one that changes is hashed anew.
@functools.lru_cache(maxsize=8)
def _hash(files: tuple[str, ...], states: tuple[tuple[int, int], ...]) -> str:
    del states
    digest = hashlib.sha256()
    for file in files:
        with open(file, "rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()
