"""What a command that trains does before JAX is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.experiment import command_line, compilation_cache, outcome
from common.experiment.search import flag as search_flag
from common.training import parallel, process


def start(runtime: Mapping[str, Any], verb: str) -> None:
    """Meets the other processes of a run, and sets up devices and the cache of programs.

    Args:
        runtime: `config.runtime`; a config of its own may lack later keys.
        verb: The command's verb.

    Raises:
        UsageError: The keys about several processes do not fit together, or not to the verb.
        ConnectionError: The other processes did not come.
    """
    with outcome.refusing():
        if verb == "search":
            search_flag.refuse_coordinator(runtime["coordinator"])
        process.join(runtime["coordinator"], runtime["num_processes"], runtime["process"])
    parallel.use_processor_cores()
    chosen = runtime.get("compilation_cache", "")
    compilation_cache.use_compilation_cache(chosen, command_line.warn)
