"""From a config to a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from common.legal import check_count, check_keys, check_name, check_number
from common.models import cifar_resnet, cnn, lenet, mlp, resnet, svhn_net, vgg, vit
from common.models.input_statistics import INPUT_STATISTICS
from common.models.lstm import LSTM
from common.models.lstm import stages as lstm_stages
from common.models.mlp import ACTIVATIONS, KERNEL_INITIALIZERS, MultiHead, TaskHead
from common.models.mode import DTYPES
from common.models.normalization import LAYER_OF_POLICY, Network
from common.models.resampling import CUBICS
from common.models.segmentation import SegmentationHead
from common.models.text_transformer import TextTransformer
from common.models.text_transformer import stages as text_stages
from common.task_kind import heads_of

# These begin with a convolution or with patches.
OF_PICTURES = {
    "lenet": lenet.LeNet,
    "cnn": cnn.CNN,
    "svhn_net": svhn_net.SVHNNet,
    "cifar_resnet20": cifar_resnet.CifarResNet20,
    "cifar_resnet32": cifar_resnet.CifarResNet32,
    "cifar_resnet44": cifar_resnet.CifarResNet44,
    "cifar_resnet56": cifar_resnet.CifarResNet56,
    "resnet18": resnet.ResNet18,
    "resnet34": resnet.ResNet34,
    "resnet50": resnet.ResNet50,
    "resnet101": resnet.ResNet101,
    "vgg16": vgg.VGG16,
    "vit_s16": vit.ViTS16,
    "vit_b16": vit.ViTB16,
}
# These take the numbers of words.
OF_TEXT = {"text_transformer": TextTransformer, "lstm": LSTM}
# `mlp` takes pictures and vectors.
FEATURE_EXTRACTORS = {
    "mlp": mlp.MLP,
    **OF_PICTURES,
    **OF_TEXT,
}

# Of each extractor: `(extractor) -> patterns` of its stages, as `stages_of` returns them.
STAGES = {
    "mlp": mlp.stages,
    "lenet": lenet.stages,
    "cnn": cnn.stages,
    "svhn_net": svhn_net.stages,
    **dict.fromkeys([f"cifar_resnet{depth}" for depth in (20, 32, 44, 56)], cifar_resnet.stages),
    **dict.fromkeys([f"resnet{depth}" for depth in (18, 34, 50, 101)], resnet.stages),
    "vgg16": vgg.stages,
    **dict.fromkeys(["vit_s16", "vit_b16"], vit.stages),
    "text_transformer": text_stages,
    "lstm": lstm_stages,
}

# What the config sets for all modules alike, or the task.
_NOT_OPTIONS = {"parent", "name", "normalization", "dtype", "remat"}
_NOT_OPTIONS |= {"num_classes", "single_unit"}
_NAMES = {
    "activation": ACTIVATIONS,
    "kernel_init": KERNEL_INITIALIZERS,
    "input_statistics": INPUT_STATISTICS,
    "gelu": vit.GELUS,
    "features": vit.FEATURES,
    "resampling": CUBICS,
}
_COUNTS = ("hidden", "channels", "blocks", "width", "groups", "heads", "patch", "pooled")
_COUNTS += ("picture_size", "vocabulary_size", "units")


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
    head = _attributes("config.model.task_head", config["task_head"], TaskHead)
    return Network(
        make_extractor(
            name,
            config["options"],
            normalization=LAYER_OF_POLICY[policy],
            dtype=config["dtype"],
            remat=config["remat"],
        ),
        _make_head(num_classes, task or {"kind": "multi_class"}, dtype=config["dtype"], **head),
        policy,
        map_layer=task["layer"] if task and task["kind"] == "segmentation" else "",
    )


def make_extractor(name: str, options: Mapping[str, Any], **common: Any) -> Any:
    """Builds a feature extractor.

    Args:
        name: A key of `FEATURE_EXTRACTORS`.
        options: `config.model.options`.
        **common: Attributes that the config sets for all extractors alike.

    Returns:
        The module.

    Raises:
        ValueError: An unknown extractor or option.
    """
    check_name("config.model.name", name, FEATURE_EXTRACTORS)
    extractor = FEATURE_EXTRACTORS[name]
    return extractor(**common, **_attributes("config.model.options", options, extractor))


def stages_of(name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Lists the stages of a feature extractor in the order in which pictures pass through them.

    Args:
        name: A key of `FEATURE_EXTRACTORS`.
        options: `config.model.options`.

    Returns:
        Full-match patterns of parameter paths, the first stage first. Each parameter of the
        extractor matches exactly one.

    Raises:
        ValueError: An unknown extractor or option.
    """
    own = STAGES[name](make_extractor(name, options))
    return tuple(f"feature_extractor/(?:{pattern})" for pattern in own)


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
    elif name in _COUNTS:
        check_count(key, value)
    elif name == "bidirectional" and not isinstance(value, bool):
        raise ValueError(f"{key} is {value!r}; it must be True or False")
    elif name == "layer_norm_epsilon":
        check_number(key, value)
    return value
