"""What went wrong in a preparation, in one sentence."""

from __future__ import annotations

import errno
import os
import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path

from common.experiment.outcome import RunFailed

PROJECT = Path(__file__).resolve().parents[2]
# Errors of the disk, some of which reach us as the text of a C++ library alone.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)


def explain(
    error: Exception, name: str, folder: Path | None = None, instructions: str = ""
) -> Exception:
    """Turns whatever a builder raises into what the command says.

    Args:
        error: What was raised.
        name: The data set.
        folder: Where it was being prepared, if it was.
        instructions: How a person gets its files.

    Returns:
        A `ValueError` over the manual folder, else a `RunFailed`; with the instructions as a note
        where they help.
    """
    chain = list(_chain(error))
    said = [" ".join(str(own).split()) for own in chain]
    for own, text in zip(chain, said, strict=True):
        if text.startswith("Manual directory"):
            refused = ValueError(
                f"{name} is made of files that a person has to get and to put into a folder, which "
                f"--manual_dir names; {text.split()[2]} does not exist or is empty"
            )
            return _with_note(refused, instructions)
        if type(own) is ValueError and _is_ours(own):
            refused = ValueError(text.removesuffix(" ".join(instructions.split())).rstrip(" ;:"))
            return _with_note(refused, instructions)
        if isinstance(own, ImportError) and own.name:
            return RunFailed(_need_package(name, own.name.partition(".")[0]))
        if isinstance(own, OSError | RuntimeError):
            for number in DISK:
                if getattr(own, "errno", None) == number or os.strerror(number) in text:
                    return RunFailed(f"cannot write {folder}: {os.strerror(number)}")
            if text.startswith("Not enough disk space"):
                return RunFailed(f"cannot prepare {name} in {folder}: {text}")
    if any(_is_of_network(own) for own in chain):
        failed = RunFailed(
            f"{name} cannot be downloaded ({said[-1]}); run this again where there is a network, "
            "and what is downloaded already will be used"
        )
        return _with_note(failed, instructions)
    first = next((line for line in str(error).splitlines() if line.strip()), "no message")
    return RunFailed(f"{name}: its builder failed: {type(error).__name__}: {first}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _is_ours(error: BaseException) -> bool:
    """Says whether the project itself raised it, and not Python or a package."""
    frames = traceback.extract_tb(error.__traceback__)
    file = Path(frames[-1].filename) if frames else Path()
    return file.is_relative_to(PROJECT) and "site-packages" not in file.parts


def _is_of_network(error: BaseException) -> bool:
    names = {own.__name__ for own in type(error).__mro__}
    return bool(
        names & {"gaierror", "URLError", "RequestException", "DownloadError", "MaxRetryError"}
    )


def _need_package(name: str, package: str) -> str:
    if package == "tensorflow":
        return (
            f"{name} needs TensorFlow to be prepared, though not to be read: "
            'pip install -c constraints.txt -e ".[prepare]", then run this again'
        )
    return f"{name} needs the Python package {package} to be prepared: pip install {package}"


def _with_note(error: Exception, instructions: str) -> Exception:
    if instructions.strip():
        error.add_note(textwrap.dedent(instructions).strip())
    return error
