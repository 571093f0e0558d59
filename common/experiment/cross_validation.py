"""Choosing a setting by cross-validation on the labelled examples that a run may learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from common.data.fold import role_of_folds
from common.experiment import folder, json_file
from common.experiment.setting import SCORE, identity_of, question_of
from common.training.population import Program, Tables
from common.training.state import State

Config = Mapping[str, Any]
# Equal accuracies whose folds were added in another order are equal.
DECIMALS = 12


def held_out_accuracy(
    program: Program, config: Config, state: State, tables: Tables
) -> Float[np.ndarray, "member"]:
    """Scores runs on the fold that they held out.

    Its labels belong to those that the run was given, so this reads no hidden label.

    Args:
        program: The program of the population.
        config: The resolved config of any member.
        state: The state after the last step.
        tables: The data.

    Returns:
        The share of right predictions of each member.
    """
    role = role_of_folds(config)
    assert role is not None
    logits = np.asarray(program.outputs(state, tables, role, "held_out").logits)
    rows, labels = (np.asarray(tables[role][name]) for name in ("held_out", "label"))
    return (logits.argmax(-1) == labels[rows]).mean(-1)


def choose(configs: Sequence[Config], folded: Sequence[Config]) -> list[Config]:
    """Chooses the best setting of each row and seed, by the folds that were trained.

    Each seed chooses for itself: a mean over seeds would read more labels than one run is given.

    Args:
        configs: The resolved configs of the runs without folds, and of those that they start from.
        folded: Those of the runs that hold out a fold; their results are read.

    Returns:
        The configs of the chosen runs and of those that they start from. A run without a choice,
        such as one of a row that has a single setting, stays; a setting of which a fold failed is
        not chosen, unless all settings are like that.
    """
    scores: dict[str, list[float]] = {}
    for config in folded:
        if role_of_folds(config):
            scores.setdefault(identity_of(config), []).append(_score_of(config))
    by_name = {folder.run_id(config): config for config in configs}
    parents = {config["init_from"].get("parent") for config in configs}
    candidates: dict[str, list[Config]] = {}
    for name, config in by_name.items():
        if name not in parents or identity_of(config) in scores:
            candidates.setdefault(question_of(config), []).append(config)
    kept: dict[str, Config] = {}
    for own in candidates.values():
        means = [round(float(np.mean(scores.get(identity_of(c), [0.0]))), DECIMALS) for c in own]
        # The first of equal ones; a mean that is not a number counts as none.
        best: Config | None = own[int(np.argmax(np.nan_to_num(means, nan=-1.0)))]
        while best is not None:
            kept[folder.run_id(best)] = best
            best = by_name.get(best["init_from"].get("parent") or "")
    return [config for name, config in by_name.items() if name in kept]


def _score_of(config: Config) -> float:
    """Reads the accuracy of a run on its fold; not a number where it failed."""
    path = folder.run_folder(config) / "result.json"
    if not path.is_file():
        return float("nan")
    score = json_file.read_json(path)["selections"]["last"].get(SCORE)
    return float("nan") if score is None else float(score)
