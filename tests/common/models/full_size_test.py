"""Tests of the networks at the sizes that their names stand for; nothing is computed."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import traverse_util

from common.models.mode import EVALUATION
from common.models.network import (
    FEATURE_EXTRACTORS,
    OF_TEXT,
    STAGES,
    make_extractor,
    stages_of,
)

# Published numbers of parameters, with a head for ImageNet's 1,000 classes (torchvision's and
# timm's documentation) or CIFAR's 10 (.27, .46, .66 and .85 million; to the last parameter as the
# weights in circulation have them).
PARAMETERS = {
    "cifar_resnet20": (269_722, 10),
    "cifar_resnet32": (464_154, 10),
    "cifar_resnet44": (658_586, 10),
    "cifar_resnet56": (853_018, 10),
    "resnet18": (11_689_512, 1000),
    "resnet34": (21_797_672, 1000),
    "resnet50": (25_557_032, 1000),
    "resnet101": (44_549_160, 1000),
    "vgg16": (138_365_992, 1000),
    "vit_s16": (22_050_664, 1000),
    "vit_b16": (86_567_656, 1000),
}
STAGE_COUNTS = {"mlp": 1, "lenet": 2, "cnn": 3, "svhn_net": 3}
STAGE_COUNTS |= {f"cifar_resnet{depth}": 4 for depth in (20, 32, 44, 56)}
STAGE_COUNTS |= {f"resnet{depth}": 5 for depth in (18, 34, 50, 101)}
STAGE_COUNTS |= {"vgg16": 7, "vit_s16": 13, "vit_b16": 13}
STAGE_COUNTS |= {"text_transformer": 5, "lstm": 3}


def shapes_of(name, options, normalization):
    """Returns the shapes of features and sown layers, and of the parameters by path."""
    module = make_extractor(name, options, normalization=normalization)
    shape = (1, 32) if name in OF_TEXT else (1, 32, 32, 3)
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    features, variables = jax.eval_shape(
        lambda images: module.init_with_output(jax.random.key(0), images, mode=EVALUATION), images
    )
    params: dict[str, Any] = traverse_util.flatten_dict(variables["params"], sep="/")
    params = {f"feature_extractor/{path}": leaf for path, leaf in params.items()}
    return features, variables["layers"], params


def count_stages(name, options, params):
    """Counts stages; each parameter must match exactly one, and each stage a parameter."""
    stages = stages_of(name, options)
    hits = {path: [bool(re.fullmatch(own, path)) for own in stages] for path in params}
    assert {path: sum(each) for path, each in hits.items()} == dict.fromkeys(params, 1)
    assert {each.index(True) for each in hits.values()} == set(range(len(stages)))
    return len(stages)


def test_every_extractor_declares_its_stages():
    assert set(STAGES) == set(FEATURE_EXTRACTORS) == set(STAGE_COUNTS)


# These only repeat the blocks of another.
REPEATING = ("cifar_resnet32", "cifar_resnet44", "cifar_resnet56", "resnet34", "resnet101")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.matrix if name in REPEATING else ())
        for name in STAGE_COUNTS
    ],
)
def test_parameters_are_as_many_as_published_and_each_in_one_stage(name):
    features, layers, params = shapes_of(name, {}, "batch")
    if name in PARAMETERS:
        count, classes = PARAMETERS[name]
        head = (features.shape[-1] + 1) * classes
        assert sum(leaf.size for leaf in params.values()) + head == count
    assert count_stages(name, {}, params) == STAGE_COUNTS[name]
    if name in PARAMETERS:
        assert set(layers) == {f"stage_{index}" for index in range(STAGE_COUNTS[name])}


@pytest.mark.parametrize(
    ("name", "options", "normalization", "count"),
    [
        ("mlp", {"hidden": (8,) * 12}, "group", 12),
        ("cnn", {"hidden": (8,) * 11}, "none", 12),
        ("svhn_net", {"channels": (4, 4), "dropout": (0.1,) * 3}, "none", 2),
        ("cifar_resnet20", {"channels": (4, 8), "blocks": 1}, "group", 3),
        ("resnet50", {"blocks": (1, 2), "width": 32}, "group", 3),
        ("vgg16", {"blocks": (1, 1, 1), "hidden": (8,)}, "none", 4),
        ("vit_s16", {"blocks": 12, "width": 12}, "none", 13),
        ("vit_b16", {"blocks": 1, "width": 12}, "none", 2),
        ("text_transformer", {"blocks": 11, "width": 8}, "none", 12),
        ("lstm", {"units": (4,) * 11, "bidirectional": False, "hidden": (4, 4)}, "batch", 14),
    ],
)
def test_options_change_the_stages_with_the_parameters(name, options, normalization, count):
    _, _, params = shapes_of(name, options, normalization)
    assert count_stages(name, options, params) == count


def test_without_normalisation_vgg_is_the_network_of_the_paper():
    _, _, params = shapes_of("vgg16", {}, "none")
    assert sum(leaf.size for leaf in params.values()) + 4097 * 1000 == 138_357_544
