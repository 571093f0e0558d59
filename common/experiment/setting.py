"""What the runs of one setting share, whichever fold of their labelled examples they hold out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]
# Accuracy on the fold that a run held out.
SCORE = "score/cross_validation"


def without_fold(config: Config) -> dict[str, Any]:
    """Returns the config of the run that learns from all folds.

    Args:
        config: The resolved config of a run that holds one out.

    Returns:
        Its config as it would be without cross-validation, but for the run that it starts from.
    """
    plain = json.loads(json.dumps(config))
    plain["data"] |= {"folds": 0, "fold": None}
    plain["init_from"].pop("parent", None)
    return plain


def identity_of(config: Config) -> str:
    """Names a setting: what the runs of its folds, and the run on all of them, share.

    Args:
        config: The resolved config of any of them.

    Returns:
        A text that is equal for them alone.
    """
    plain = without_fold(config)
    return json.dumps({key: plain[key] for key in plain if key != "runtime"}, sort_keys=True)


def question_of(config: Config) -> str:
    """Names what is chosen once: the settings of a row for a seed and a number of labels.

    Args:
        config: A resolved config.

    Returns:
        A text that is equal for the candidates of one choice.
    """
    keys = ("experiment", "method", "source", "target", "seed")
    budget = config["data"]["target_labels_per_class"]
    return json.dumps([*(config[key] for key in keys), budget])
