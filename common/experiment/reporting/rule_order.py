"""In which order selections are shown, and which of them the main tables show."""

from __future__ import annotations

from common.experiment.selection import DEFAULT_RULE

ORACLE = "oracle"
# Left of the oracle; it chooses by what it reports, and no table but that of the rules shows it.
BY_TEST = "oracle_test"
FIRST = tuple(dict.fromkeys((DEFAULT_RULE, "last", "source_val")))
# A score's own choices are judged in the section of the rules; thirty tables would hide the one.
MAIN = (*FIRST, "retrained_head", ORACLE)


def selection_order(selection: str) -> tuple[int, str]:
    """Orders selections: the default rule, last, source_val, all others by name, the oracles.

    Args:
        selection: Its name.

    Returns:
        A key to sort by.
    """
    if selection in FIRST:
        return FIRST.index(selection), ""
    last = {BY_TEST: 1, ORACLE: 2}
    return len(FIRST) + last.get(selection, 0), selection
