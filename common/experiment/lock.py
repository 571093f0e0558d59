"""One process at a time: locks that vanish with the process that holds them.

A lock is an advisory `flock` on a small file that names its holder. The kernel drops it when the
process ends, however it ends, so nothing has to be cleaned up after a crash; the file that a crash
leaves behind locks nothing.

What is guaranteed: on a local disk, no two processes of one machine hold the same lock. On NFS the
kernel (Linux 2.6.12 and later) turns it into a lock of the server, so it holds between machines
too, unless the mount says `nolock` or `local_lock`; Lustre needs the mount option `flock`. Where a
file system knows no locks at all, a line on stderr says so, and nobody is kept out. A process that
was forked, not started anew, by the holder keeps the lock until it ends as well.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.experiment.outcome import RunFailed, writing
from common.training import process

# A file system, or its mount, without locks.
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
ATTEMPTS = 100


@contextlib.contextmanager
def hold(folders: Sequence[Path], name: str = ".lock", *, wait: bool = False) -> Iterator[None]:
    """Keeps other processes out of folders.

    A folder that is not there is made, with those above it; whichever of them is empty at the end
    is removed again.

    Args:
        folders: The folders, each locked by a file of its own.
        name: Name of that file.
        wait: Whether to wait for another process instead of refusing.

    Yields:
        Nothing; the locks are held.

    Raises:
        RunFailed: Another process holds one of them, or the file system refuses the file; none is
            held then.
    """
    with contextlib.ExitStack() as stack:
        # Of processes that train one run together, the first one holds it for all.
        for folder in folders if process.is_first() else ():
            stack.enter_context(_hold(folder, name, wait))
        yield


def is_held(folders: Sequence[Path], name: str = ".lock") -> bool:
    """Says whether another process holds one of some folders, which are left as they are.

    Args:
        folders: The folders.
        name: Name of the file that locks each of them.

    Returns:
        True where one is held. Whoever asks for it at this very moment may be turned away.
    """
    for folder in folders:
        try:
            file = os.open(folder / name, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            continue
        finally:
            os.close(file)
    return False


@contextlib.contextmanager
def _hold(folder: Path, name: str, wait: bool) -> Iterator[None]:
    path = folder / name
    missing = [own for own in (folder, *folder.parents) if not own.exists()]
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, missing)
        file = _open_locked(path, wait)
        stack.callback(os.close, file)
        # Only the holder unlinks, and a newcomer looks whether the file that it locked is still
        # the one of this name, so a lock can never be held on a file that nobody else will find.
        stack.callback(path.unlink, missing_ok=True)
        with writing(path):
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield


def _open_locked(path: Path, wait: bool) -> int:
    """Opens the file of this name and locks it."""
    for _ in range(ATTEMPTS):
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with writing(path):
                file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except RunFailed as error:
            # A process that ended has removed the empty folder in between.
            if isinstance(error.__cause__, FileNotFoundError):
                continue
            raise
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.stat(path)):
                    return file
        except BlockingIOError:
            holder = os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise RunFailed(
                f"{path.parent} is in use by {holder}; wait until it ends, or end it"
            ) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                os.close(file)
                raise RunFailed(f"cannot lock {path}: {error.strerror}") from error
            print(
                f"{path} cannot be locked here ({error.strerror}): "
                "make sure that no other process uses this folder",
                file=sys.stderr,
            )
            return file
        os.close(file)
    raise RunFailed(f"cannot lock {path}: it is removed again and again")


def _remove_empty(folders: Sequence[Path]) -> None:
    """Removes those folders that are empty, the innermost first."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()
