"""From a config to a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.models.cnn import CNN
from common.models.lenet import LeNet
from common.models.mlp import MLP, TaskHead
from common.models.normalization import LAYER_OF_POLICY, Network

FEATURE_EXTRACTORS = {"mlp": MLP, "lenet": LeNet, "cnn": CNN}


def make_network(config: Mapping[str, Any], num_classes: int) -> Network:
    """Builds the network of a config.

    Args:
        config: `config.model`: `name`, `normalization`, `options` (attributes of the feature
            extractor) and `task_head` (attributes of the head).
        num_classes: Number of logits.

    Returns:
        The network; nothing is initialised yet.

    Raises:
        ValueError: An unknown model, policy or option.
    """
    name, policy = config["name"], config["normalization"]
    if name not in FEATURE_EXTRACTORS:
        raise ValueError(
            f"config.model.name is {name!r}; legal are {', '.join(sorted(FEATURE_EXTRACTORS))}"
        )
    if policy not in LAYER_OF_POLICY:
        raise ValueError(
            f"config.model.normalization is {policy!r}; legal are {', '.join(LAYER_OF_POLICY)}"
        )
    extractor = FEATURE_EXTRACTORS[name]
    options = _attributes("config.model.options", config["options"], extractor)
    head = _attributes("config.model.task_head", config["task_head"], TaskHead)
    return Network(
        extractor(normalization=LAYER_OF_POLICY[policy], **options),
        TaskHead(num_classes=num_classes, **head),
        policy,
    )


def _attributes(key: str, options: Mapping[str, Any], module: type) -> dict[str, Any]:
    """Checks that every option is an attribute of the module that the config may set."""
    legal = set(module.__dataclass_fields__) - {"parent", "name", "normalization", "num_classes"}
    unknown = sorted(set(options) - legal)
    if unknown:
        raise ValueError(
            f"{key}.{unknown[0]} is unknown to {module.__name__}; "
            f"legal are {', '.join(sorted(legal)) or 'none'}"
        )
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
