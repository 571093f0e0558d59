"""The collapse guard: label-free signs that a network has gone wrong by an evaluation.

It reads records without `oracle/` keys: a reason that needs a target label is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.experiment.selection import visible

Record = Mapping[str, Any]
Guard = Mapping[str, float]

DOMAIN_ACCURACY = "/domain_accuracy"
STRENGTH = "/reversal_strength"
# Bounds of what lies between 0 and 1.
SHARES = (
    *("diversity", "source_floor", "domain_accuracy", "outrun_accuracy", "outrun_share"),
    "averaging_gap",
)


def flags_of(
    records: Sequence[Record], guard: Guard, *, trains_on_source: bool = True
) -> list[str]:
    """Looks for signs of collapse at the last of some records, an evaluation.

    What was measured in training is averaged over the steps since the evaluation before, so that
    the length of a chunk, which is no part of a run, does not matter.

    Args:
        records: All records of a run up to that evaluation, in the order of their steps.
        guard: `config.evaluation.guard`; a bound of 0 switches its reason off.
        trains_on_source: Whether the run learns from source labels, so that losing them means
            something.

    Returns:
        Keys of `REASONS`, in their order.
    """
    seen = visible(records)
    evaluations = [record for record in seen if "source_val/loss" in record]
    signs: dict[str, Callable[[], bool]] = {
        "few_classes": lambda: _has_few_classes(evaluations[-1], guard["diversity"]),
        "source_lost": lambda: (
            trains_on_source and _has_lost_source(evaluations, guard["source_floor"])
        ),
        "domains_apart": lambda: _are_domains_apart(seen, guard["domain_accuracy"]),
        "outrun": lambda: _is_outrun(seen, guard["outrun_accuracy"], guard["outrun_share"]),
        "loss": lambda: _has_exploded(seen, guard["loss_factor"]),
        "averaging": lambda: _is_above(
            evaluations[-1].get("guard/averaging_gap"), guard["averaging_gap"]
        ),
    }
    return [name for name in REASONS if signs[name]()]


REASONS = {
    "few_classes": "the classes that are predicted on the target are few or uneven",
    "source_lost": "source accuracy is far below the best that was seen",
    "domains_apart": "domain accuracy sits at 1: the features of the domains stay apart",
    "outrun": "domain accuracy was below one half for long: the reversed gradient outruns the "
    "discriminator",
    "loss": "the training loss has blown up",
    "averaging": "averaged and raw weights predict different classes on the target",
}


def warnings_of(evaluations: Sequence[Record]) -> list[str]:
    """Tells what the guard found.

    What soon passes, such as domains that are far apart at the start, is not worth a warning.

    Args:
        evaluations: Evaluation records of a run.

    Returns:
        A sentence for each reason that holds at the last evaluation or at half of all.
    """
    found: dict[str, list[int]] = {}
    for record in evaluations:
        for name in record.get("flags") or ():
            found.setdefault(name, []).append(record["step"])
    return [
        f"{REASONS.get(name, name)}, from step {steps[0]} on in {len(steps)} of "
        f"{len(evaluations)} evaluations"
        for name, steps in found.items()
        if steps[-1] == evaluations[-1]["step"] or 2 * len(steps) >= len(evaluations)
    ]


def _is_above(value: Any, bound: float) -> bool:
    return bool(bound) and value is not None and value > bound


def _has_few_classes(record: Record, bound: float) -> bool:
    """Compares the entropy of the predicted classes with that of the source's classes."""
    own, source = (
        record.get(f"guard/{name}") for name in ("class_entropy", "source_class_entropy")
    )
    return own is not None and source is not None and own < bound * source


def _has_lost_source(evaluations: Sequence[Record], bound: float) -> bool:
    """Compares source accuracy with the best up to here, so that no later step changes a flag."""
    seen = [record.get("source_val/accuracy") for record in evaluations]
    if seen[-1] is None:
        return False
    return seen[-1] < bound * max(value for value in seen if value is not None)


def _are_domains_apart(records: Sequence[Record], bound: float) -> bool:
    if not bound:
        return False
    for name in _names(records, DOMAIN_ACCURACY):
        strength = name.removesuffix(DOMAIN_ACCURACY) + STRENGTH
        # Nothing is to align where nothing is reversed, as at the start of a ramp.
        reversal = _intervals(records, strength)
        accuracy = _intervals(records, name)
        if not accuracy or accuracy[-1][1] < bound:
            continue
        if not reversal or reversal[-1][1] > 0:
            return True
    return False


def _is_outrun(records: Sequence[Record], bound: float, share: float) -> bool:
    """Adds up all that was below; the network does not come back from there by itself."""
    for name in _names(records, DOMAIN_ACCURACY):
        below = sum(length for length, mean in _intervals(records, name) if mean < bound)
        if share and below >= share:
            return True
    return False


def _has_exploded(records: Sequence[Record], factor: float) -> bool:
    """Compares the loss with that of the first steps, or with 1 where that is less."""
    losses = _intervals(records, "train/loss")
    return bool(factor and losses) and losses[-1][1] > factor * max(losses[0][1], 1.0)


def _names(records: Sequence[Record], ending: str) -> list[str]:
    names = {name for name in records[-1] if name.startswith("train/") and name.endswith(ending)}
    return sorted(names)


def _intervals(records: Sequence[Record], name: str) -> list[tuple[float, float]]:
    """Averages a metric between evaluations: pairs of a share of the run and a mean."""
    found, total, length, before = [], 0.0, 0.0, 0.0
    for record in records:
        taken, before = record["progress"] - before, record["progress"]
        value = record.get(name)
        if value is not None and math.isfinite(value):
            total, length = total + taken * value, length + taken
        if "source_val/loss" in record:
            if length:
                found.append((length, total / length))
            total = length = 0.0
    return found
