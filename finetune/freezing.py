"""What of a network is fine-tuned, from when on, and at which rate."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from common.legal import check_keys, check_name, check_number
from common.method import Group, has_started
from common.models.network import stages_of
from common.models.normalization import PARAMETERS

KEY = "config.transfer"
OPTIONS = ("freeze", "unfreeze_until", "layer_decay", "frozen_statistics", "cache_features")
# Of `finetune/lora.py`, where the row has them.
OF_ADAPTERS = ("rank", "alpha", "pattern")
STATISTICS = ("kept", "updated")
EXTRACTOR = "feature_extractor"


class Plan(NamedTuple):
    """What `config.transfer` says.

    Attributes:
        trains: As `Method.trains`.
        groups: As `Method.groups`, the last stage first.
        evaluates: As `Network.evaluates`.
        caches: Whether features may be computed once, since they never change.
    """

    trains: str = ".*"
    groups: tuple[Group, ...] = ()
    evaluates: Callable[..., Any] | None = None
    caches: bool = False


def make_plan(config: Mapping[str, Any]) -> Plan:
    """Reads what is trained of a network whose extractor has stages 1 to S, and a head.

    - `freeze`: `none`; `all_but_head`, a linear probe; or `last_<k>_stages`, which trains the last
      k of the S stages and the head. `config.optimizer.freeze` freezes more.
    - `unfreeze_until` u > 0: the head is trained from the start, the r-th of n trained stages,
      counted from the head downwards, from the share u r / n of the run on. Until then it does not
      change by a bit, and its optimizer state begins there.
    - `layer_decay` d: the rate of the r-th stage is multiplied by d^r, that of the head by 1.
    - `frozen_statistics`: `kept`: a batch normalisation whose scale and bias are frozen uses its
      running statistics and keeps them; so does that of a stage until the stage is trained. A
      wholly frozen extractor drops no unit either: it is a fixed function. `updated`: frozen layers
      normalise by the batch, and their statistics move, as if they were trained.

    Howard and Ruder thaw a layer an epoch, and decay by 1 / 2.6.

    Args:
        config: The resolved config; rows without `config.transfer` train all at one rate.

    Returns:
        The plan.

    Raises:
        ValueError: An option that is unknown, missing or impossible.

    References:
        Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, ACL (2018),
        sections 3.2 and 3.3. Kumar et al., Fine-Tuning can Distort Pretrained Features and
        Underperform Out-of-Distribution, ICLR (2022).
    """
    own, model = config["transfer"], config["model"]
    if not own:
        return Plan()
    check_keys(KEY, own, (*OPTIONS, *OF_ADAPTERS), OPTIONS)
    check_number(f"{KEY}.unfreeze_until", own["unfreeze_until"], below=1.0)
    check_number(f"{KEY}.layer_decay", own["layer_decay"], most=1.0)
    check_name(f"{KEY}.frozen_statistics", own["frozen_statistics"], STATISTICS)
    if not isinstance(own["cache_features"], bool):
        raise ValueError(f"{KEY}.cache_features is {own['cache_features']!r}; it must be a bool")
    stages = stages_of(model["name"], model["options"])
    stages = stages[len(stages) - _count_trained(own["freeze"], len(stages), model["name"]) :]
    until = own["unfreeze_until"]
    if until and not stages:
        raise ValueError(
            f"{KEY}.unfreeze_until is {until}, but {KEY}.freeze is 'all_but_head', which leaves no "
            "stage to thaw; set unfreeze_until to 0"
        )
    groups = tuple(
        Group(
            pattern,
            lambda hparams, rank=rank: hparams["transfer.layer_decay"] ** rank,
            until * rank / len(stages),
        )
        for rank, pattern in enumerate(reversed(stages), 1)
    )
    trains = "|".join([rf"(?!{EXTRACTOR}/).*", *stages]) if own["freeze"] != "none" else ".*"
    kept = own["frozen_statistics"] == "kept"
    return Plan(
        trains,
        groups,
        _make_evaluates(trains, config["optimizer"]["freeze"], groups) if kept else None,
        # Augmentation and mixup draw pictures anew; a regulariser, or the head where labels are of
        # pixels, may read more than features.
        kept
        and not stages
        and own["cache_features"]
        and not config["data"]["augment"]
        and not config["objective"]["mixup"]
        and not config["regularization"]
        and not config["task"]["layer"],
    )


def _count_trained(freeze: Any, count: int, model: str) -> int:
    """Returns how many of the last stages are trained."""
    if freeze in ("none", "all_but_head"):
        return count if freeze == "none" else 0
    match = re.fullmatch(r"last_(\d+)_stages", freeze) if isinstance(freeze, str) else None
    if match is None or not 1 <= int(match[1]) <= count:
        raise ValueError(
            f"{KEY}.freeze is {freeze!r}; legal are none, all_but_head and last_<k>_stages, k from "
            f"1 to {count}, the stages of {model}"
        )
    return int(match[1])


def _make_evaluates(trains: str, freeze: Any, groups: tuple[Group, ...]) -> Callable[..., Any]:
    """Builds `Network.evaluates`."""

    def is_frozen(path):
        return not re.fullmatch(trains, path) or any(re.fullmatch(own, path) for own in freeze)

    def evaluates(path, progress):
        if path == EXTRACTOR:
            return not groups
        parameters = [f"{path}/{name}" for name in PARAMETERS]
        if all(map(is_frozen, parameters)):
            return True
        of_stage = (own.start for own in groups if re.fullmatch(own.pattern, parameters[0]))
        start = next(of_stage, 0.0)
        return ~has_started(start, progress) if start else False

    return evaluates
