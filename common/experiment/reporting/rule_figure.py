"""The figure of what each rule's choice of a step is worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from common.experiment.reporting.figure_style import (
    FAINT_INK,
    INK,
    legend_columns,
    make_figure,
    styled,
)
from common.experiment.reporting.rule_order import FIRST
from common.experiment.statistics import confidence_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READING = (
    "Each row of the table, once for each rule that chose a step: mean and 95 % interval over "
    "seeds on the target's test examples. The oracle reads target labels, is drawn hollow, and is "
    "there for comparison only."
)
MAX_RULES, MAX_ROWS = 8, 12
# Those that people ask for first; then the others in their order.
FIRST_RULES = tuple(dict.fromkeys((*FIRST, "consensus", "information_maximization")))
ORACLE = "oracle"
RULE_COLORS = (
    *("#24292F", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255"),
)
RULE_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<")


def shown_rules(rules: Iterable[str]) -> list[str]:
    """Says which rules there is room for.

    Args:
        rules: Names of selections, in any order.

    Returns:
        At most `MAX_RULES`: the usual ones first, the oracle last; variants of it and of rules
        without the guard are left out.
    """
    names = [
        rule
        for rule in dict.fromkeys(rules)
        if not rule.endswith("_unguarded") and not rule.startswith(ORACLE)
    ]
    names.sort(key=lambda rule: FIRST_RULES.index(rule) if rule in FIRST_RULES else MAX_RULES)
    has_oracle = ORACLE in rules
    return names[: MAX_RULES - has_oracle] + [ORACLE] * has_oracle


def rule_style(rules: Iterable[str]) -> dict[str, dict[str, str]]:
    """Gives every rule the look that it has in all figures of a task.

    Args:
        rules: From `shown_rules`.

    Returns:
        By rule, properties of a Matplotlib line; the oracle's is hollow.
    """
    looks = zip(RULE_COLORS, RULE_MARKERS, strict=True)
    styles = {}
    for rule, (color, marker) in zip(rules, looks, strict=False):
        own = FAINT_INK if rule == ORACLE else color
        fill = "white" if rule == ORACLE else own
        styles[rule] = {"color": own, "marker": marker, "markerfacecolor": fill}
    return styles


@styled
def accuracy_by_rule(
    accuracy: Mapping[str, Mapping[str, Mapping[int, float]]], *, title: str
) -> Figure:
    """Shows the accuracy of each row under each rule.

    Args:
        accuracy: Accuracy in [0, 1] by seed, by rule, by row; the first twelve rows are drawn.
        title: Above the figure.

    Returns:
        The figure.

    Raises:
        ValueError: There are fewer than two rules to compare.
    """
    rows = dict(list(accuracy.items())[:MAX_ROWS])
    rules = shown_rules([rule for own in rows.values() for rule in own])
    if len(rules) < 2:
        raise ValueError("there are no two rules to compare")
    if len(rows) < len(accuracy):
        title += f", first {len(rows)} of {len(accuracy)} rows"
    styles = rule_style(rules)
    figure = make_figure(1.5 + (0.3 + 0.14 * len(rules)) * len(rows), title)
    axes = figure.subplots()
    shifts = dict(zip(rules, np.linspace(-0.32, 0.32, len(rules)), strict=True))
    for place, own in enumerate(rows.values()):
        for rule in rules:
            percent = [100 * value for value in own.get(rule, {}).values()]
            if not percent:
                continue
            height, color = place + shifts[rule], styles[rule]["color"]
            if interval := confidence_interval(percent):
                axes.plot(interval, [height] * 2, color=color, linewidth=2, alpha=0.45)
            axes.plot(np.mean(percent), height, markersize=6, linestyle="", **styles[rule])  # pyright: ignore
    handles = [axes.plot([], [], linestyle="", label=rule, **styles[rule])[0] for rule in rules]  # pyright: ignore
    axes.set_yticks(range(len(rows)), list(rows), fontsize=10.5, color=INK)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    for edge in range(1, len(rows)):
        axes.axhline(edge - 0.5, color="#EDF0F2", linewidth=1, zorder=0)
    axes.set_xlabel("accuracy on the target's test examples, %")
    figure.legend(handles, rules, loc="outside lower center", ncols=legend_columns(rules))
    return figure
