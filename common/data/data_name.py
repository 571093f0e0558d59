"""Names of data sets, and the folder where they lie prepared."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"(?P<set>\w+)(/(?P<config>\w[\w.\-]*))?(:(?P<version>\d+\.\d+\.\d+))?")


class Name(NamedTuple):
    """The name of a data set, taken apart.

    Attributes:
        set: Such as `office31`.
        config: Such as `amazon`; empty for a set of one part.
        version: Such as `1.0.0`; empty for the newest.
    """

    set: str
    config: str
    version: str


def resolve_data_dir(data_dir: str) -> Path:
    """Names the data folder.

    Args:
        data_dir: `--data_dir` or `config.runtime.data_dir`; empty for the default of
            TensorFlow Datasets: the variable `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

    Returns:
        The folder, which need not exist.
    """
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(data_dir or default).expanduser()


def parse_name(name: str) -> Name:
    """Takes a name apart.

    Args:
        name: `set`, `set/config`, either with `:version`; `tfds:` may stand before it.

    Returns:
        Its parts.

    Raises:
        ValueError: Another form.
    """
    if not (match := _NAME.fullmatch(name.removeprefix("tfds:"))):
        raise ValueError(
            f"{name!r} names no data set; write it like mnist, office31/amazon or mnist:3.0.1"
        )
    return Name(match["set"], match["config"] or "", match["version"] or "")


def prepare_command(name: str, data_dir: str, manual_dir: str = "") -> str:
    """Writes the command that prepares a data set.

    Args:
        name: Such as `office31/amazon`.
        data_dir: As in `resolve_data_dir`.
        manual_dir: What stands for the folder of the files that a person has to get; empty where
            there are none.

    Returns:
        A line for the shell.
    """
    words = ["python", "launch.py", "prepare", f"--dataset={name}"]
    folders = {"manual_dir": manual_dir, "data_dir": data_dir}
    return shlex.join(words + [f"--{flag}={folder}" for flag, folder in folders.items() if folder])
