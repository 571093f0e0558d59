"""What a report says of the rules: what they cost, and how their scores follow accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.experiment.reporting.cell import (
    escape,
    markdown_table,
    write_estimate,
    write_percent,
)
from common.experiment.reporting.rule_quality import BY_LOT, BY_TEST, BY_VALIDATION

TITLE = "Is the choice any good"
NAMES = {
    BY_LOT: "a choice by lot",
    BY_VALIDATION: "oracle, by validation labels",
    BY_TEST: "oracle_test, by test labels",
}
STEP_HEADER = (
    *("rule", "runs", "regret", "largest", "collapsed"),
    *("correlation within a run", "over all checkpoints", "over runs"),
)
RUN_HEADER = (
    *("rule", "choices", "regret at the last step", "largest", "collapsed"),
    *("choices with the step", "regret", "largest", "collapsed", "trained for it"),
)
RUN_SCOPES = {
    "settings": "Which settings of a method",
    "methods": "Which method and settings",
}


def write_rules(entry: Mapping[str, Any]) -> list[str]:
    """Writes the section of one task.

    Args:
        entry: One of `rules` in `summary.json`.

    Returns:
        Lines of Markdown.
    """
    scopes, margin = entry["oracle"]["scopes"], 100 * entry["oracle"]["margin"]
    lines = [f"### {TITLE}", "", f"**{escape(headline(entry))}**", ""]
    lines += ["#### Which step of a run"]
    lines += [*markdown_table(STEP_HEADER, step_cells(entry)), *_silent(scopes["step"])]
    for scope, title in RUN_SCOPES.items():
        if scope in scopes:
            lines += [f"#### {title}", *markdown_table(RUN_HEADER, run_cells(entry, scope))]
            lines += _silent(scopes[scope])
    trained = [
        f"{rule}: {', '.join(names)}"
        for rule, names in entry["trained_for"].items()
        if names and not rule.endswith("_unguarded")
    ]
    if trained:
        lines += [f"Methods that train for what a rule reads: {escape('; '.join(trained))}.", ""]
    return [*lines, escape(explanation(margin)), ""]


def _silent(scope: Mapping[str, Any]) -> list[str]:
    """Names the rules that no table can show."""
    names = escape(", ".join(scope["silent"]))
    return [f"Chose nothing, since all was flagged: {names}.", ""] if names else []


def explanation(margin: float) -> str:
    """Explains the tables.

    Args:
        margin: Points below source_only from which on a run has collapsed.

    Returns:
        One paragraph.
    """
    return (
        "All of this read target labels and chose nothing. Regret, in points of accuracy on the "
        "target's test examples, is that of what the target's validation labels choose among the "
        "same runs and steps, minus that of what the rule chooses; below 0 the rule was luckier. "
        "Its interval is over seeds, each of which averages its own choices; largest is the worst "
        f"single choice. Collapsed choices lie more than {margin:.0f} points below their "
        "source_only of the same seed, or below its mean where that seed has none. Each seed "
        "chooses for itself among the runs of its own data: at the last step of each, or the step "
        "too. A rule passes over evaluations that the collapse "
        "guard flags, one that ends in unguarded does not; where all are flagged it chooses "
        "nothing, so that fewer choices are counted. last compares no runs, and source_val may not "
        "choose between strengths of alignment, which lower the fit to the source. A score "
        "flatters runs that train for it: the last column counts the choices that had such a run "
        "among them, of which the rule should make none. Correlations are Spearman's, of the score "
        "with that accuracy; a choice by lot is the mean over all that could be chosen, and "
        "oracle_test chooses by what it reports. What the oracle takes has collapsed where "
        "everything had."
    )


def headline(entry: Mapping[str, Any]) -> str:
    """Says what the default rule costs, and which rule costs least.

    Args:
        entry: One of `rules` in `summary.json`.

    Returns:
        A sentence or two.
    """
    scopes, default = entry["oracle"]["scopes"], entry["default"]
    said = []
    for scope, what in (
        ("step", "choosing the step"),
        ("settings", "settings and step"),
        ("methods", "method, settings and step"),
    ):
        rules = {
            name: own
            for name, own in scopes.get(scope, {}).get("rules", {}).items()
            if name not in NAMES
        }
        if not rules:
            continue
        # The best rule is none that rarely dares to choose, or that runs train for.
        often = {
            name: own
            for name, own in rules.items()
            if 2 * own["n"] > scopes[scope]["choices"] and (scope == "step" or not own["biased"])
        }
        best = min(often or rules, key=lambda name: rules[name]["regret"]["mean"])
        parts = [f"{best} costs least, {_cost(rules[best])}"]
        if default in rules and default != best:
            parts.insert(0, f"the default rule {default} costs {_cost(rules[default])}")
        said.append(f"{what}: {'; '.join(parts)}")
    return f"{'. '.join(text[0].upper() + text[1:] for text in said)}." if said else "No choice."


def _cost(own: Mapping[str, Any]) -> str:
    collapsed = own["collapsed"]
    bad = "" if collapsed is None else f", {write_percent(collapsed)} % collapsed"
    return f"{write_estimate(own['regret'], '+')} points{bad}"


def _ordered(entry: Mapping[str, Any], scopes: Sequence[str]) -> list[str]:
    """Orders rules: the default first, then by the first regret they have, then the comparisons."""
    found = [entry["oracle"]["scopes"].get(scope, {}).get("rules", {}) for scope in scopes]
    rules = list(dict.fromkeys(name for own in found for name in own))

    def order(rule: str) -> tuple[bool, bool, float]:
        regret = next(own[rule]["regret"]["mean"] for own in found if rule in own)
        return rule in NAMES, rule != entry["default"], regret

    return sorted(rules, key=order)


def step_cells(entry: Mapping[str, Any]) -> list[list[str]]:
    """Writes the choice of the step.

    Args:
        entry: One of `rules` in `summary.json`.

    Returns:
        One line a rule, with a text for each column of `STEP_HEADER`.
    """
    scope = entry["oracle"]["scopes"]["step"]
    lines = []
    for rule in _ordered(entry, ["step"]):
        found = entry["oracle"]["rank_correlation"].get(rule, {})
        correlations = [found.get(key) for key in ("within_run", "checkpoints", "runs")]
        lines.append(
            [
                *(NAMES.get(rule, rule), *_cells(scope, rule)),
                *("-" if own is None else f"{own:+.2f}" for own in correlations),
            ]
        )
    return lines


def run_cells(entry: Mapping[str, Any], scope: str) -> list[list[str]]:
    """Writes a choice between runs.

    Args:
        entry: One of `rules` in `summary.json`.
        scope: A key of `RUN_SCOPES`.

    Returns:
        One line a rule, with a text for each column of `RUN_HEADER`.
    """
    scopes, lines = entry["oracle"]["scopes"], []
    at_last, with_step = scopes.get(f"{scope}_at_last", {}), scopes[scope]
    for rule in _ordered(entry, [scope, f"{scope}_at_last"]):
        biased = [
            own["rules"][rule]["biased"]
            for own in (with_step, at_last)
            if rule in own.get("rules", {})
        ]
        trained = "-" if rule in NAMES else str(biased[0])
        lines.append(
            [NAMES.get(rule, rule), *_cells(at_last, rule), *_cells(with_step, rule), trained]
        )
    return lines


def _cells(scope: Mapping[str, Any], rule: str) -> list[str]:
    """Writes how many choices there were, what they cost, the largest cost, and what collapsed."""
    own = scope.get("rules", {}).get(rule)
    if own is None:
        return ["-"] * 4
    count = str(own["n"]) if own["n"] == scope["choices"] else f"{own['n']} of {scope['choices']}"
    collapsed = own["collapsed"]
    return [
        count,
        write_estimate(own["regret"], "+"),
        write_percent(own["worst"], "+"),
        "-" if collapsed is None else f"{write_percent(collapsed)} %",
    ]
