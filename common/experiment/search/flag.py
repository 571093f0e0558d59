"""The flags of a search."""

from __future__ import annotations

from typing import Any

from absl import flags

from common.experiment.selection_rule import DEFAULT_SCORE

NAMES = ("search", "trials", "seeds", "score", "selection", "storage")


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("search", None, "Ranges: key=low:high[:log] or key=a|b, with commas.")
    flags.DEFINE_integer("trials", 20, "Trials of the search.", lower_bound=1)
    flags.DEFINE_integer("seeds", 3, "Seeds of each trial, from config.seed on.", lower_bound=1)
    flags.DEFINE_string("score", DEFAULT_SCORE, "The label-free score that is optimised.")
    flags.DEFINE_string("selection", "last", "The rule that chooses the step whose score counts.")
    flags.DEFINE_string("storage", None, "A file, or a database URL, that holds the study.")


def refuse_coordinator(coordinator: str) -> None:
    """Refuses a search by processes that train one run together: each would search for itself.

    Args:
        coordinator: `config.runtime.coordinator`.

    Raises:
        ValueError: There is one.
    """
    if coordinator:
        raise ValueError(
            "config.runtime.coordinator is for train and sweep; start search once a machine, all "
            "with one --storage"
        )


def read() -> dict[str, Any]:
    """Reads what the flags are given, or their defaults.

    Returns:
        Values by name.
    """
    return {name: flags.FLAGS[name].value for name in NAMES}
