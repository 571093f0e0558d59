"""Tests of the way from a config to a network."""

import jax
import jax.numpy as jnp
import pytest

from common.models.cnn import CNN
from common.models.lenet import LeNet
from common.models.mlp import MLP, TaskHead
from common.models.network import FEATURE_EXTRACTORS, make_network
from common.models.normalization import LAYER_OF_POLICY, forward, initialize

OF_THE_PAPER = {
    "name": "lenet",
    "normalization": "none",
    "options": {},
    "task_head": {"hidden": [100, 100]},
}


def make_config(**changes):
    config = {"name": "cnn", "normalization": "group", "options": {}, "task_head": {}}
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


@pytest.mark.parametrize(("name", "module"), [("mlp", MLP), ("lenet", LeNet), ("cnn", CNN)])
@pytest.mark.parametrize("policy", list(LAYER_OF_POLICY))
def test_every_model_runs_under_every_policy(name, module, policy):
    network = make_network(make_config(name=name, normalization=policy), 4)
    assert network.feature_extractor == module(normalization=LAYER_OF_POLICY[policy])
    images = {domain: jnp.zeros((2, 16, 16, 1)) for domain in ("source", "target")}

    def run():
        key = jax.random.key(0)
        params, batch_stats = initialize(network, key, images)
        variables = {"params": params, "batch_stats": batch_stats}
        return batch_stats, forward(network, variables, images, key=key)

    before, (outputs, after) = jax.eval_shape(run)
    assert before == after
    assert bool(before) == (policy in ("joint", "separate", "per_domain"))
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"name": "resnet51"},
            "config.model.name is 'resnet51'; legal are " + ", ".join(sorted(FEATURE_EXTRACTORS)),
        ),
        (
            {"normalization": "batch"},
            "config.model.normalization is 'batch'; legal are joint, separate, per_domain, group",
        ),
        (
            {"options": {"channels": 8, "units": 3}},
            "config.model.options.units is unknown to CNN; legal are channels, hidden",
        ),
        ({"name": "lenet", "options": {"hidden": [3]}}, "unknown to LeNet; legal are none"),
        (
            {"task_head": {"bias": False}},
            "config.model.task_head.bias is unknown to TaskHead; legal are activation, dropout, "
            "hidden, kernel_init",
        ),
        # The policy and the data set decide these.
        ({"options": {"normalization": "batch"}}, "options.normalization is unknown"),
        ({"task_head": {"num_classes": 5}}, "task_head.num_classes is unknown"),
        ({"options": {"name": "body"}}, "options.name is unknown"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_legal(changes, message):
    with pytest.raises(ValueError, match=message):
        make_network(make_config(**changes), 3)
