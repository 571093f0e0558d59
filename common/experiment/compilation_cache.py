"""Compiled programs are kept in the user's cache folder: a second start compiles nothing."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

OFF = "off"
# Beyond this, the programs that were not used for longest are deleted at a start.
MOST_BYTES = 2**32
# A program of a large network takes some MiB; what has no room for one is no cache.
PROBE_BYTES = 2**20


def default_folder() -> Path:
    """Names the folder of compiled programs of this kind of processor.

    A home folder may be shared by machines, and JAX gives a program compiled for one processor to
    another that lacks its instructions.

    Returns:
        A folder in the user's cache folder.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    root = Path(home) if home else Path.home() / ".cache"
    kind = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    instructions = {line for line in lines if line.startswith(("flags", "Features"))}
    kind += "-" + hashlib.sha256("\n".join(sorted(instructions)).encode()).hexdigest()[:8]
    return root / "adaptax" / "compiled" / kind


def use_compilation_cache(chosen: str, say: Callable[[str], None]) -> Path | None:
    """Lets JAX keep every program that it compiles, and take what an earlier process kept.

    It has to be called before anything is compiled. Results do not depend on it.

    Args:
        chosen: `config.runtime.compilation_cache`: `off`, a folder, or nothing for the default.
        say: Tells a person that the folder cannot be used; the run goes on without.

    Returns:
        The folder in use; None where there is none, or where the environment has set another.
    """
    import jax

    if chosen == OFF:
        jax.config.update("jax_enable_compilation_cache", False)
        return None
    if not chosen and os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        # Its other settings are the environment's too.
        return None
    try:
        folder = Path(chosen).expanduser() if chosen else default_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
        bound(folder, MOST_BYTES)
    except (OSError, RuntimeError) as error:
        say(
            "compiled programs are not kept: "
            f"{getattr(error, 'filename', None) or chosen or 'the cache folder'}: "
            f"{getattr(error, 'strerror', None) or error}; config.runtime.compilation_cache names "
            f"another folder, or '{OFF}'"
        )
        return None
    # A folder that fills up, or a program cut short when a process was killed: compile again.
    for deed in ("reading", "writing"):
        warnings.filterwarnings("ignore", f"Error {deed} persistent compilation cache entry")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


def bound(folder: Path, most_bytes: int) -> None:
    """Deletes the programs that were not used for longest, where all take too much.

    JAX can do so itself, but then reads the whole folder at every program that it writes.

    Args:
        folder: The folder of compiled programs.
        most_bytes: How much they may take; half of it is then kept, else the next start would
            delete again.
    """
    found = []
    for file in folder.iterdir():
        try:
            about = file.stat()
        except OSError:
            # Another process has deleted it.
            continue
        found.append((max(about.st_atime, about.st_mtime), about.st_size, file))
    taken = sum(size for _, size, _ in found)
    if taken <= most_bytes:
        return
    for _, size, file in sorted(found):
        file.unlink(missing_ok=True)
        taken -= size
        if taken <= most_bytes // 2:
            return
