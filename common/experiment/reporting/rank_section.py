"""Average ranks of rows over tasks, and which of them cannot be told apart."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from common.experiment.reporting.cell import escape, markdown_table, write_p_value

HEADER = ("row", "average rank", "not told apart")
EXPLANATION = (
    "Rank 1 is the highest accuracy of a task; rows that train on target labels are left out. Rows "
    "that share a letter cannot be told apart by Nemenyi's test at 5 %: their average ranks differ "
    "by less than the critical difference; where the Friedman test finds none, all share one. "
    "Demsar, JMLR 7 (2006), section 3.2.2. The critical difference grows with the number of rows "
    "compared, and tasks that share a domain are not independent."
)


def write_ranks(ranks: Mapping[str, Any]) -> list[str]:
    """Writes the section.

    Args:
        ranks: `ranks` of an entry of `across` in `summary.json`.

    Returns:
        Lines of Markdown.
    """
    if "refused" in ranks:
        return ["", escape(ranks["refused"]), ""]
    said = (
        f"Critical difference {ranks['difference']:.2f} over {ranks['n']} tasks; Friedman test "
        f"in Iman and Davenport's form, p {write_p_value(ranks['p_value'])}."
    )
    return [
        "",
        "### Average ranks over tasks",
        *markdown_table(HEADER, rank_cells(ranks)),
        escape(said),
        "",
        escape(EXPLANATION),
        "",
    ]


def rank_cells(ranks: Mapping[str, Any]) -> list[list[str]]:
    """Writes the ranks.

    Args:
        ranks: From `statistics.critical_difference`, as a mapping.

    Returns:
        One line a row, the best first, with a text for each column of `HEADER`.
    """
    letters = string.ascii_lowercase
    return [
        [
            name,
            f"{rank:.2f}",
            " ".join(
                letters[index] if index < len(letters) else str(index + 1)
                for index, group in enumerate(ranks["groups"])
                if name in group
            )
            or "-",
        ]
        for name, rank in ranks["ranks"].items()
    ]
