"""Tests of the way from a config to a network."""

import jax
import jax.numpy as jnp
import pytest

from common.models.cifar_resnet import CifarResNet20
from common.models.cnn import CNN
from common.models.lenet import LeNet
from common.models.lstm import LSTM
from common.models.mlp import MLP, TaskHead
from common.models.network import OF_TEXT, make_network
from common.models.normalization import LAYER_OF_POLICY, forward, initialize
from common.models.resnet import ResNet18
from common.models.svhn_net import SVHNNet
from common.models.text_transformer import TextTransformer
from common.models.vgg import VGG16
from common.models.vit import ViTS16

OF_THE_PAPER = {
    "name": "lenet",
    "normalization": "none",
    "dtype": "float32",
    "remat": False,
    "options": {},
    "task_head": {"hidden": [100, 100]},
}


def make_config(**changes):
    config = {"name": "cnn", "normalization": "group", "dtype": "float32", "remat": False}
    config |= {"options": {}, "task_head": {}}
    return {**config, **changes}


def test_options_reach_the_network_and_lists_become_tuples():
    config = make_config(
        normalization="separate",
        options={"channels": 8, "hidden": [16, 4]},
        task_head={"hidden": [5], "dropout": 0.5},
    )
    network = make_network(config, 3)
    assert network.feature_extractor == CNN(8, (16, 4), normalization="batch")
    assert network.task_head == TaskHead(3, (5,), dropout=0.5)
    assert network.policy == "separate"
    # Flax modules with lists cannot be hashed, and jit keeps its programs by hash.
    assert hash(network) == hash(make_network(config, 3))


SMALL = {
    "mlp": (MLP, {}),
    "lenet": (LeNet, {}),
    "cnn": (CNN, {}),
    "svhn_net": (SVHNNet, {}),
    "cifar_resnet20": (CifarResNet20, {"blocks": 1, "channels": (8,)}),
    "resnet18": (ResNet18, {"blocks": (1,), "groups": 8}),
    "vgg16": (VGG16, {"blocks": (1,), "hidden": (8,)}),
    "vit_s16": (ViTS16, {"blocks": 1}),
    "text_transformer": (TextTransformer, {"blocks": 1}),
    "lstm": (LSTM, {"units": (8,)}),
}
QUICK = ("mlp", "lenet", "cnn", "svhn_net")
ALSO = [("cifar_resnet20", "separate"), ("resnet18", "group"), ("vgg16", "none")]
ALSO += [("vit_s16", "per_domain"), ("text_transformer", "joint"), ("lstm", "separate")]


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        pytest.param(
            name,
            policy,
            marks=() if name in QUICK or (name, policy) in ALSO else pytest.mark.matrix,
        )
        for name in SMALL
        for policy in LAYER_OF_POLICY
    ],
)
def test_every_model_runs_under_every_policy(name, policy):
    module, options = SMALL[name]
    network = make_network(make_config(name=name, normalization=policy, options=options), 4)
    assert network.feature_extractor == module(normalization=LAYER_OF_POLICY[policy], **options)
    shape = (2, 9) if name in OF_TEXT else (2, 16, 16, 1)
    images = {domain: jnp.zeros(shape) for domain in ("source", "target")}

    def run():
        key = jax.random.key(0)
        params, batch_stats = initialize(network, key, images)
        variables = {"params": params, "batch_stats": batch_stats}
        return batch_stats, forward(network, variables, images, key=key)

    before, (outputs, after) = jax.eval_shape(run)
    assert before == after
    # A transformer keeps its own layers, which have no statistics.
    has_statistics = LAYER_OF_POLICY[policy] == "batch" and "vit_s16" != name != "text_transformer"
    assert bool(jax.tree.leaves(before)) == has_statistics
    assert {domain: each.logits.shape for domain, each in outputs.items()} == {
        "source": (2, 4),
        "target": (2, 4),
    }


def test_the_network_of_the_paper():
    network = make_network(OF_THE_PAPER, 10)
    images = {"source": jnp.zeros((2, 28, 28, 3))}
    params, batch_stats = jax.eval_shape(lambda: initialize(network, jax.random.key(0), images))
    assert batch_stats == {}
    kernels = [params["task_head"]["hidden"][f"dense_{index}"]["kernel"] for index in range(2)]
    kernels.append(params["task_head"]["logits"]["kernel"])
    assert [kernel.shape for kernel in kernels] == [(768, 100), (100, 100), (100, 10)]


def test_type_and_remat_reach_the_modules():
    network = make_network(make_config(dtype="bfloat16", remat=True), 3)
    assert network.feature_extractor == CNN(dtype="bfloat16", remat=True)
    assert network.task_head == TaskHead(3, dtype="bfloat16")


def test_a_number_for_each_place_of_dropout_reaches_the_network():
    options = {"dropout": [0.0, 0.1, 0.5, 0.9], "channels": (8, 8, 8)}
    network = make_network(make_config(name="svhn_net", options=options), 3)
    expected = SVHNNet((8, 8, 8), (0.0, 0.1, 0.5, 0.9), normalization="group")
    assert network.feature_extractor == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"name": "lenet5"},
            "config.model.name is 'lenet5'; did you mean 'lenet'? "
            "legal are mlp, lenet, cnn, svhn_net, cifar_resnet20, cifar_resnet32, cifar_resnet44, "
            "cifar_resnet56, resnet18, resnet34, resnet50, resnet101, vgg16, vit_s16, vit_b16, "
            "text_transformer, lstm",
        ),
        (
            {"normalization": "per-domain"},
            "config.model.normalization is 'per-domain'; did you mean 'per_domain'? "
            "legal are joint, separate, per_domain, frozen, group, none",
        ),
        (
            {"dtype": "float16"},
            "config.model.dtype is 'float16'; did you mean 'bfloat16'? legal are float32, bfloat16",
        ),
        (
            {"options": {"channels": 8, "hiden": (3,)}},
            "config.model.options.hiden is unknown; did you mean 'hidden'? "
            "legal are channels, hidden",
        ),
        (
            {"name": "lenet", "options": {"hidden": [3]}},
            "config.model.options.hidden is unknown; legal are none",
        ),
        (
            {"task_head": {"bias": False}},
            "config.model.task_head.bias is unknown; "
            "legal are activation, dropout, hidden, kernel_init",
        ),
        (
            {"name": "vit_b16", "options": {"gelu": "exact"}},
            "config.model.options.gelu is 'exact'; legal are erf, tanh",
        ),
        (
            {"name": "vit_b16", "options": {"features": "token"}},
            "config.model.options.features is 'token'; did you mean 'class_token'? "
            "legal are class_token, mean",
        ),
        (
            {"name": "vit_s16", "options": {"resampling": "bicubic"}},
            "config.model.options.resampling is 'bicubic'; legal are antialiased, plain",
        ),
        (
            {"name": "vit_s16", "options": {"layer_norm_epsilon": -1e-6}},
            "config.model.options.layer_norm_epsilon is -1e-06; it must be a finite number of at "
            "least 0",
        ),
        (
            {"name": "resnet18", "options": {"input_statistics": "image_net"}},
            "config.model.options.input_statistics is 'image_net'; did you mean 'imagenet'? "
            "legal are none, imagenet, symmetric",
        ),
        (
            {"name": "resnet50", "options": {"blocks": (3, 0)}},
            "config.model.options.blocks[1] is 0; it must be a whole number of at least 1",
        ),
        (
            {"name": "resnet50", "options": {"is_bottleneck": False}},
            "config.model.options.is_bottleneck is unknown; "
            "legal are blocks, groups, input_statistics, width",
        ),
        # The policy, the data set and other keys decide these.
        (
            {"options": {"normalization": "batch"}},
            "config.model.options.normalization is unknown; legal are channels, hidden",
        ),
        (
            {"options": {"remat": True}},
            "config.model.options.remat is unknown; legal are channels, hidden",
        ),
        (
            {"name": "svhn_net", "options": {"dtype": "float32"}},
            "config.model.options.dtype is unknown; legal are channels, dropout",
        ),
        (
            {"task_head": {"num_classes": 5}},
            "config.model.task_head.num_classes is unknown; "
            "legal are activation, dropout, hidden, kernel_init",
        ),
        (
            {"options": {"hidden": 5}},
            "config.model.options.hidden is 5; it must be a list, such as (5,)",
        ),
        (
            {"name": "svhn_net", "options": {"dropout": 0.5}},
            "config.model.options.dropout is 0.5; it must be a list, such as (0.5,)",
        ),
        (
            {"options": {"channels": (8, 8)}},
            "config.model.options.channels is (8, 8); it must be a single value, such as 24",
        ),
        (
            {"task_head": {"activation": ["relu"]}},
            "config.model.task_head.activation is ['relu']; it must be a single value, such as "
            "'relu'",
        ),
        (
            {"options": {"hidden": (16, 0)}},
            "config.model.options.hidden[1] is 0; it must be a whole number of at least 1",
        ),
        (
            {"options": {"hidden": (16.0,)}},
            "config.model.options.hidden[0] is 16.0; it must be a whole number of at least 1",
        ),
        (
            {"options": {"channels": -1}},
            "config.model.options.channels is -1; it must be a whole number of at least 1",
        ),
        (
            {"task_head": {"dropout": 1.0}},
            "config.model.task_head.dropout is 1.0; it must lie in [0, 1)",
        ),
        (
            {"name": "svhn_net", "options": {"dropout": (0.1, 0.2, -0.2, 0.5)}},
            "config.model.options.dropout[2] is -0.2; it must lie in [0, 1)",
        ),
        (
            {"task_head": {"activation": "sigmoyd"}},
            "config.model.task_head.activation is 'sigmoyd'; did you mean 'sigmoid'? "
            "legal are relu, sigmoid, tanh",
        ),
        (
            {"name": "mlp", "options": {"kernel_init": "glorot"}},
            "config.model.options.kernel_init is 'glorot'; did you mean 'glorot_uniform'? "
            "legal are lecun_normal, glorot_uniform, zeros",
        ),
    ],
)
def test_what_no_network_can_have_is_refused_with_what_it_can(changes, message):
    with pytest.raises(ValueError) as caught:
        make_network(make_config(**changes), 3)
    assert str(caught.value) == message
