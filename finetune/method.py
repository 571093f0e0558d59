"""Plain supervised training: from scratch on either domain, or on from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.method import Method
from common.models.network import make_network
from common.training.objective import make_objective
from finetune.feature_cache import cache_features, without_extractor
from finetune.freezing import OF_ADAPTERS, make_plan
from finetune.lora import lora, with_adapters


def make_method(config: Mapping[str, Any], num_classes: int) -> Method:
    """Builds plain supervised training.

    `config.domains` says what it trains on: `("source",)` is `source_only`,
    `("source", "target")` lets target pictures pass through the batch statistics and nothing else
    (`statistics_only`), `("target_labelled",)` is `train_on_target`. Continuing from a checkpoint
    is `config.init_from`; what of it is trained, and how fast, is `config.transfer`.

    Args:
        config: The resolved config.
        num_classes: Number of classes of the task.

    Returns:
        The method.

    Raises:
        ValueError: A model, policy, domain or option that does not exist.
    """
    plan, domains, own = make_plan(config), tuple(config["domains"]), config["transfer"]
    adapts, trains = bool(set(OF_ADAPTERS) & set(own)), plan.trains
    if adapts:
        plan = with_adapters(plan, own)
    network = make_network(config["model"], num_classes)._replace(evaluates=plan.evaluates)
    method = make_objective(network, domains, {}, "finetune")
    if plan.caches:
        on_features = make_objective(without_extractor(network), domains, {}, "finetune")
        method = cache_features(method, on_features)
    if adapts:
        method = lora(method, own, trains)
    return method._replace(trains=plan.trains, groups=plan.groups)
