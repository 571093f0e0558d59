"""From a config to a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from common.legal import check_count, check_keys, check_name, check_number
from common.models.cnn import CNN
from common.models.lenet import LeNet
from common.models.mlp import ACTIVATIONS, KERNEL_INITIALIZERS, MLP, MultiHead, TaskHead
from common.models.mode import DTYPES
from common.models.normalization import LAYER_OF_POLICY, Network
from common.models.segmentation import SegmentationHead
from common.models.svhn_net import SVHNNet
from common.task_kind import heads_of

FEATURE_EXTRACTORS = {"mlp": MLP, "lenet": LeNet, "cnn": CNN, "svhn_net": SVHNNet}

# These begin with a convolution; the others also take vectors.
OF_PICTURES = ("cnn", "lenet", "svhn_net")

# What the config sets for all modules alike, or the task.
_NOT_OPTIONS = {"parent", "name", "normalization", "dtype", "remat"}
_NOT_OPTIONS |= {"num_classes", "single_unit"}
_NAMES = {"activation": ACTIVATIONS, "kernel_init": KERNEL_INITIALIZERS}


def make_network(
    config: Mapping[str, Any], num_classes: int, task: Mapping[str, Any] | None = None
) -> Network:
    """Builds the network of a config.

    Args:
        config: `config.model`: `name`, `normalization`, `dtype`, `remat`, `options` (attributes of
            the feature extractor) and `task_head` (attributes of the head).
        num_classes: Number of outputs: of classes, of labels, or of predicted values.
        task: `config.task`; None for classes.

    Returns:
        The network; nothing is initialised yet.

    Raises:
        ValueError: An unknown model, policy, type or option.
    """
    name, policy = config["name"], config["normalization"]
    check_name("config.model.name", name, FEATURE_EXTRACTORS)
    check_name("config.model.normalization", policy, LAYER_OF_POLICY)
    check_name("config.model.dtype", config["dtype"], DTYPES)
    extractor = FEATURE_EXTRACTORS[name]
    options = _attributes("config.model.options", config["options"], extractor)
    head = _attributes("config.model.task_head", config["task_head"], TaskHead)
    return Network(
        extractor(
            normalization=LAYER_OF_POLICY[policy],
            dtype=config["dtype"],
            remat=config["remat"],
            **options,
        ),
        _make_head(num_classes, task or {"kind": "multi_class"}, dtype=config["dtype"], **head),
        policy,
        task["layer"] if task and task["kind"] == "segmentation" else "",
    )


def _make_head(num_classes: int, task: Mapping[str, Any], **options: Any) -> nn.Module:
    if task["kind"] == "segmentation":
        if set(options) != {"dtype"}:
            raise ValueError(
                "config.model.task_head has options, and the head of config.task.kind "
                "'segmentation' has none; leave it empty"
            )
        return SegmentationHead(num_classes, **options)
    if task["kind"] == "multi_task":
        return MultiHead(tuple((head.name, head.units) for head in heads_of(task)), options)
    return TaskHead(num_classes, single_unit=task["kind"] == "binary", **options)


def _attributes(key: str, options: Mapping[str, Any], module: type) -> dict[str, Any]:
    """Checks that every option is an attribute of the module, and of its kind."""
    fields = module.__dataclass_fields__
    check_keys(key, options, sorted(set(fields) - _NOT_OPTIONS))
    for name, value in options.items():
        default = fields[name].default
        if isinstance(default, tuple) != isinstance(value, list | tuple):
            kind = f"a list, such as ({value!r},)"
            if not isinstance(default, tuple):
                kind = f"a single value, such as {default!r}"
            raise ValueError(f"{key}.{name} is {value!r}; it must be {kind}")
    return {name: _checked(f"{key}.{name}", name, value) for name, value in options.items()}


def _checked(key: str, name: str, value: Any) -> Any:
    """Refuses what no layer can have: sizes below 1, shares outside [0, 1), unknown names."""
    if isinstance(value, list | tuple):
        return tuple(_checked(f"{key}[{i}]", name, entry) for i, entry in enumerate(value))
    if name in _NAMES:
        check_name(key, value, _NAMES[name])
    elif name == "dropout":
        check_number(key, value, below=1.0)
    elif name in ("hidden", "channels"):
        check_count(key, value)
    return value
