"""Tests of the tables between PyTorch's weights and ours, against PyTorch's own networks.

`tests/golden/make_torch_golden.py` ran these on the weights and pictures that are drawn here.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from common.models.network import make_extractor, make_network
from common.models.normalization import predict
from common.models.pretrained.convert import FAMILIES, from_variables, to_variables
from tests.golden.drawn import draw_pictures, draw_tensors
from tests.tiny import quick_compilation

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "torch_golden.json").read_text())
CLASSES = 5

SMALL_VIT = {"blocks": 2, "width": 24, "heads": 3, "hidden": 96, "picture_size": 32}
HUGGING_FACE = {"layer_norm_epsilon": 1e-12, "resampling": "plain"}
SMALL_VGG = {"blocks": (2, 1, 1), "width": 8, "hidden": (24, 16), "pooled": 3}


class Case(NamedTuple):
    name: str
    options: dict[str, Any]
    layout: str
    policy: str = "joint"

    @property
    def normalization(self):
        return {"joint": "batch"}.get(self.policy, self.policy)


CASES = {
    "cifar_resnet": Case(
        "cifar_resnet44", {"blocks": 2, "channels": (8, 16, 32)}, "pytorch_resnet_cifar10"
    ),
    "resnet_basic": Case("resnet18", {"blocks": (1, 1, 1, 1)}, "torchvision"),
    "resnet_bottleneck": Case("resnet101", {"blocks": (2, 1, 1, 1)}, "torchvision"),
    "resnet_group": Case("resnet34", {"blocks": (1, 1, 1, 1), "groups": 8}, "torchvision", "group"),
    "vgg": Case("vgg16", SMALL_VGG, "torchvision", "none"),
    "vgg_normalized": Case("vgg16", SMALL_VGG, "torchvision"),
    "vit_timm": Case("vit_s16", SMALL_VIT, "timm"),
    "vit_timm_mean": Case("vit_b16", {**SMALL_VIT, "features": "mean"}, "timm"),
    "vit_torchvision": Case("vit_b16", SMALL_VIT, "torchvision"),
    "vit_hugging_face": Case("vit_b16", SMALL_VIT | HUGGING_FACE, "hugging_face"),
    "vit_hugging_face_tanh": Case(
        "vit_s16", SMALL_VIT | HUGGING_FACE | {"gelu": "tanh"}, "hugging_face"
    ),
}


@pytest.fixture(autouse=True)
def compile_quickly():
    with quick_compilation():
        yield


@pytest.fixture(scope="module")
def tensors():
    return {name: draw_tensors(GOLDEN["cases"][name]["shapes"]) for name in CASES}


def convert(case, tensors, **changes):
    return to_variables(
        case.name,
        case.options,
        tensors,
        **{"normalization": case.normalization, "num_classes": CLASSES} | changes,
    )


def export(case, variables, **changes):
    return from_variables(
        case.name, case.options, variables, normalization=case.normalization, **changes
    )


def run(case, variables, pictures):
    config = {"name": case.name, "normalization": case.policy, "dtype": "float32", "remat": False}
    network = make_network({**config, "options": case.options, "task_head": {}}, CLASSES)
    return jax.jit(lambda own, x: predict(network, own, x, "source").logits)(variables, pictures)


def test_the_cases_are_those_of_the_file():
    assert set(CASES) == set(GOLDEN["cases"])


# Group normalisation differs from the batch's by a name alone.
NAMES = [
    pytest.param(name, marks=pytest.mark.matrix if name == "resnet_group" else ()) for name in CASES
]


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_the_network_in_pytorch(name, tensors):
    case = CASES[name]
    converted = convert(case, tensors[name])
    assert converted.layout == case.layout
    golden = GOLDEN["cases"][name]
    logits = run(case, converted.variables, draw_pictures(golden["size"]))
    expected = np.asarray(golden["logits"])
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=2e-5)
    # The comparison would see any picture or class taken for another.
    assert np.abs(expected - expected[::-1]).max() > 0.01
    assert np.abs(expected - expected[:, ::-1]).max() > 0.1


@pytest.mark.parametrize("change", [{"gelu": "tanh"}, {"resampling": "plain"}])
def test_another_form_of_the_network_does_not_pass(change, tensors):
    """A negative control: nearly the same network on the same weights."""
    case, golden = CASES["vit_timm"], GOLDEN["cases"]["vit_timm"]
    case = case._replace(options={**case.options, **change})
    variables = convert(case, tensors["vit_timm"]).variables
    logits = run(case, variables, draw_pictures(golden["size"]))
    assert 1e-4 < np.abs(logits - np.asarray(golden["logits"])).max() < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_weights_come_back_bit_for_bit_in_every_layout(name, tensors):
    case, before = CASES[name], tensors[name]
    converted = convert(case, before)
    extractor = make_extractor(case.name, case.options, normalization=case.normalization)
    for layout in FAMILIES[case.name](extractor):
        exported = export(case, converted.variables, layout=layout)
        again = convert(case, exported)
        assert again.layout == layout
        jax.tree.map(np.testing.assert_array_equal, again.variables, converted.variables)
        jax.tree.map(np.testing.assert_array_equal, again.head, converted.head)
        if layout == case.layout and layout != "hugging_face":
            assert set(exported) == set(before)
            for key, tensor in exported.items():
                np.testing.assert_array_equal(tensor, before[key])
                assert tensor.dtype == before[key].dtype
                assert tensor.flags["C_CONTIGUOUS"]


def test_the_names_in_files_of_hugging_face():
    """Files have other names than the networks of version 5 with which it ran."""
    case = CASES["vit_hugging_face"]._replace(options={**SMALL_VIT, "blocks": 1})
    shapes = GOLDEN["cases"]["vit_hugging_face"]["shapes"]
    kept = {name: shape for name, shape in shapes.items() if ".layers.1." not in name}
    exported = export(case, convert(case, draw_tensors(kept)).variables, layout="hugging_face")
    block = "vit.encoder.layer.0."
    layers = [f"{block}attention.attention.{name}" for name in ("query", "key", "value")]
    layers += [f"{block}attention.output.dense", f"{block}intermediate.dense"]
    layers += [f"{block}output.dense", f"{block}layernorm_before", f"{block}layernorm_after"]
    layers += ["vit.embeddings.patch_embeddings.projection", "vit.layernorm", "classifier"]
    names = {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    names |= {"vit.embeddings.cls_token", "vit.embeddings.position_embeddings"}
    assert set(exported) == names

    # The network without a head has no prefix, and a layer of its own.
    alone = {key.removeprefix("vit."): tensor for key, tensor in exported.items()}
    alone = {key: tensor for key, tensor in alone.items() if "classifier" not in key}
    alone |= {"pooler.dense.weight": np.zeros((24, 24)), "pooler.dense.bias": np.zeros(24)}
    converted = convert(case, alone)
    assert converted.layout == "hugging_face" and converted.head is None
    assert set(converted.variables["params"]) == {"feature_extractor"}


@pytest.mark.parametrize("name", list(GOLDEN["digests"]))
def test_the_names_at_full_size_are_those_of_the_libraries(name):
    own, _, layout = name.partition(":")
    kind = "none" if own == "vgg16" else "batch"
    own = own.removesuffix("_bn")
    table = FAMILIES[own](make_extractor(own, {}, normalization=kind))[layout or "torchvision"]
    names = [entry.keys[0] for entry in (*table.entries, *table.head)] + list(table.counters)
    digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    assert digest == GOLDEN["digests"][name]


def test_a_head_of_other_classes_is_handed_back_apart(tensors):
    case, given = CASES["cifar_resnet"], tensors["cifar_resnet"]
    fitting, other, never = (convert(case, given, num_classes=count) for count in (CLASSES, 7, 0))
    head = fitting.variables["params"].pop("task_head")
    for converted in (fitting, other, never):
        assert set(converted.variables["params"]) == {"feature_extractor"}
        assert converted.head is not None
        jax.tree.map(np.testing.assert_array_equal, head, {"logits": converted.head})
    np.testing.assert_array_equal(head["logits"]["kernel"], given["module.linear.weight"].T)
    np.testing.assert_array_equal(head["logits"]["bias"], given["module.linear.bias"])
    # Without a head, none comes back.
    assert not any("linear" in key for key in export(case, other.variables))


def test_names_without_the_prefix_of_several_devices_are_read_too(tensors):
    case, given = CASES["cifar_resnet"], tensors["cifar_resnet"]
    plain = {key.removeprefix("module."): tensor for key, tensor in given.items()}
    # Files of PyTorch before 0.4.1 have no counters.
    plain = {key: tensor for key, tensor in plain.items() if "num_batches" not in key}
    jax.tree.map(
        np.testing.assert_array_equal,
        convert(case, plain).variables,
        convert(case, given).variables,
    )


def test_half_precision_becomes_single_precision(tensors):
    case, given = CASES["vit_timm"], tensors["vit_timm"]
    halves = {key: tensor.astype(np.float16) for key, tensor in given.items()}
    variables = convert(case, halves).variables
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


START = (
    "these are no weights of cifar_resnet44 with normalization='batch' and the options "
    "{'blocks': 2, 'channels': (8, 16, 32)} in the layout of pytorch_resnet_cifar10; "
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda own: own.pop("module.bn1.weight"),
            "missing: module.bn1.weight",
        ),
        (
            lambda own: own.update({"module.fc.bias": np.zeros(5)}),
            "extra: module.fc.bias",
        ),
        (
            lambda own: own.update({"module.conv1.weight": np.zeros((8, 1, 3, 3))}),
            "of another shape: module.conv1.weight has (8, 1, 3, 3) instead of (8, 3, 3, 3)",
        ),
        # Transposed by accident, with the same numbers in it.
        (
            lambda own: own.update({"module.linear.weight": own["module.linear.weight"].T}),
            "of another shape: module.linear.weight has (32, 5) instead of (32, 32), "
            "module.linear.bias has (5,) instead of (32,)",
        ),
        (
            lambda own: own.pop("module.linear.weight"),
            "missing: module.linear.weight; "
            "of another shape: module.linear.bias has (5,) instead of (0,)",
        ),
        # Both names of one array: which is meant?
        (
            lambda own: own.update({"conv1.weight": own["module.conv1.weight"]}),
            "extra: conv1.weight",
        ),
        (
            lambda own: own.update(
                {"best": np.zeros(3), "module.bn1.bias": np.zeros(9)},
                **{"module.bn1.gamma": own.pop("module.bn1.weight")},
            ),
            "missing: module.bn1.weight; extra: best, module.bn1.gamma; "
            "of another shape: module.bn1.bias has (9,) instead of (8,)",
        ),
    ],
)
def test_what_does_not_fit_is_listed_in_one_message(change, message, tensors):
    own = dict(tensors["cifar_resnet"])
    change(own)
    with pytest.raises(ValueError) as caught:
        convert(CASES["cifar_resnet"], own)
    assert str(caught.value) == START + message


def test_of_long_lists_the_first_names_are_shown(tensors):
    with pytest.raises(ValueError, match=r"missing: .* and \d+ more; extra: .* and \d+ more$"):
        convert(CASES["cifar_resnet"], tensors["resnet_basic"])


def test_statistics_are_refused_where_the_policy_has_none(tensors):
    with pytest.raises(ValueError, match=r"normalization='group'.*extra: module.bn1.running_mean"):
        convert(CASES["cifar_resnet"], tensors["cifar_resnet"], normalization="group")


def test_positions_of_another_picture_size_are_refused(tensors):
    case = CASES["vit_timm"]._replace(options={**SMALL_VIT, "picture_size": 48})
    with pytest.raises(ValueError, match=r"pos_embed has \(1, 5, 24\) instead of \(1, 10, 24\)"):
        convert(case, tensors["vit_timm"])


def test_a_head_with_hidden_layers_has_no_place_in_pytorch(tensors):
    case = CASES["vit_timm"]
    variables = convert(case, tensors["vit_timm"]).variables
    variables["params"]["task_head"]["hidden"] = {"dense_0": {"kernel": np.zeros((24, 24))}}
    message = "head without hidden layers; missing: none; extra: params/task_head/hidden/dense_0"
    with pytest.raises(ValueError, match=message):
        export(case, variables)


def test_networks_and_libraries_that_do_not_exist_are_refused(tensors):
    with pytest.raises(ValueError, match="config.model.name is 'cnn'; .*legal are cifar_resnet20"):
        to_variables("cnn", {}, {})
    with pytest.raises(ValueError, match="layout is 'tim'; did you mean 'timm'"):
        convert(CASES["vit_timm"], tensors["vit_timm"], layout="tim")
    with pytest.raises(ValueError, match="layout is 'keras'; legal are timm, torchvision"):
        export(CASES["vit_timm"], {}, layout="keras")
