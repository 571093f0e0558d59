"""Tests of what all models share: modes, dropout, types of numbers, and stages computed again."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from common.models.mlp import MLP
from common.models.mode import DTYPES, EVALUATION, TRAINING, Dropout, Mode, computation_type
from common.models.network import make_network
from common.models.normalization import forward, initialize

KEY = jax.random.key(0)
OPTIONS = {
    "mlp": {"hidden": (32, 16), "dropout": 0.25},
    "lenet": {},
    "cnn": {"channels": 8, "hidden": (16,)},
    "svhn_net": {"channels": (4, 4, 8)},
    "cifar_resnet20": {"blocks": 1, "channels": (4, 8)},
    "resnet18": {"blocks": (1,), "width": 4, "groups": 4},
    "vgg16": {"blocks": (1, 1), "width": 4, "hidden": (16, 8), "pooled": 2, "groups": 4},
    "vit_s16": {
        **{"blocks": 1, "width": 16, "heads": 2, "hidden": 16, "patch": 8, "picture_size": 16},
        "dropout": 0.25,
    },
}


def models(*in_matrix):
    """Marks those that share what is tested with others."""
    return [
        pytest.param(name, marks=pytest.mark.matrix if name in in_matrix else ())
        for name in OPTIONS
    ]


MODELS = models("cifar_resnet20", "vgg16")
COMPILED = models("cifar_resnet20", "vgg16", "resnet18", "lenet", "mlp")
# How many parts of each are computed again.
PARTS = {"mlp": 2, "lenet": 2, "cnn": 2, "svhn_net": 3}
PARTS |= {"cifar_resnet20": 3, "resnet18": 2, "vgg16": 4, "vit_s16": 2}


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@functools.cache
def make_case(name, policy="joint", dtype="float32", remat=False, size=16, **changes):
    """Returns the network, its variables and a batch."""
    config = {"name": name, "normalization": policy, "dtype": dtype, "remat": remat}
    options = OPTIONS[name] | changes
    config |= {"options": options, "task_head": {"hidden": (8,), "dropout": 0.25}}
    network = make_network(config, 3)
    images = {"source": draw(0, 6, size, size, 1), "target": draw(1, 4, size, size, 1)}
    params, batch_stats = jax.jit(lambda: initialize(network, KEY, images))()
    return network, {"params": params, "batch_stats": batch_stats}, images


def loss_of(network, variables, images, key=KEY):
    """A loss of features and logits, beside the outputs and the statistics."""
    outputs, batch_stats = forward(network, variables, images, key=key)
    squares = [jnp.mean(each.features**2) + jnp.mean(each.logits**2) for each in outputs.values()]
    return sum(squares), (outputs, batch_stats)


def differentiate(network, variables, images, key=KEY):
    def loss(params):
        return loss_of(network, {**variables, "params": params}, images, key)

    return jax.value_and_grad(loss, has_aux=True)(variables["params"])


def equations_of(jaxpr):
    """Walks through a program and all programs inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from equations_of(inner)


def types_in(tree):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


def assert_close(actual, expected, tolerance):
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, tolerance, tolerance),
        actual,
        expected,
    )


@pytest.mark.parametrize(
    ("dropout", "batch_statistics"), list(itertools.product([True, False], repeat=2))
)
def test_dropout_and_batch_statistics_are_switched_apart(dropout, batch_statistics):
    images, module = draw(0, 8, 5), MLP((64,), "sigmoid", "batch", dropout=0.5)
    mode = Mode(dropout, batch_statistics)

    @jax.jit
    def run():
        variables = module.init(KEY, images, mode=EVALUATION)
        return variables, module.apply(
            variables, images, mode=mode, rngs={"dropout": KEY}, mutable=["batch_stats"]
        )

    variables, (value, after) = run()
    layer = variables["params"]["dense_0"]
    activations = np.asarray(images) @ np.asarray(layer["kernel"])
    mean, variance = np.zeros(64), np.ones(64)
    if batch_statistics:
        mean, variance = activations.mean(0), activations.var(0)
    expected = 1 / (1 + np.exp(-(activations - mean) / np.sqrt(variance + 1e-5)))
    # A sigmoid is never zero by itself.
    kept = np.asarray(value) != 0
    if dropout:
        assert 0.4 < kept.mean() < 0.6
        expected = np.where(kept, 2 * expected, 0)
    else:
        assert kept.all()
    np.testing.assert_allclose(value, expected, 1e-4, 1e-5)
    changed = not np.array_equal(
        after["batch_stats"]["normalization_0"]["BatchNorm_0"]["mean"], np.zeros(64)
    )
    assert changed == batch_statistics


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_scales_up_what_it_keeps_in_the_type_it_is_given(dtype):
    values = jnp.full((50, 40), 3.0, dtype)
    dropped: Any = Dropout(0.25).apply({}, values, mode=TRAINING, rngs={"dropout": KEY})
    assert dropped.dtype == values.dtype
    kept = np.asarray(dropped, np.float32) != 0
    assert 0.72 < kept.mean() < 0.78
    np.testing.assert_array_equal(np.asarray(dropped, np.float32)[kept], np.float32(4))


@pytest.mark.parametrize(("rate", "mode"), [(0.25, EVALUATION), (0.0, TRAINING)])
def test_without_dropout_no_key_is_asked_for(rate, mode):
    values = draw(0, 3, 4)
    np.testing.assert_array_equal(Dropout(rate).apply({}, values, mode=mode), values)


@pytest.mark.parametrize("name", COMPILED)
def test_stages_computed_again_change_neither_value_nor_gradient_nor_statistics(name):
    kept, variables, images = make_case(name)
    again, others, _ = make_case(name, remat=True)
    # The same parameters at the same paths, drawn alike.
    jax.tree.map(np.testing.assert_array_equal, others, variables)
    results = [
        jax.jit(differentiate, static_argnums=0)(each, variables, images) for each in (kept, again)
    ]
    assert_close(results[1], results[0], 1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_computes_its_stages_again_when_asked(name):
    counts = {}
    for remat in (False, True):
        network, variables, images = make_case(name, remat=remat)
        program = jax.make_jaxpr(loss_of, static_argnums=0)(network, variables, images)
        counts[remat] = sum("remat" in each.primitive.name for each in equations_of(program.jaxpr))
    assert counts == {False: 0, True: PARTS[name]}


def test_computing_again_keeps_less_for_the_backward_pass():
    images = {"source": draw(0, 64, 32)}
    bytes_kept = {}
    for remat in (False, True):
        config = {"name": "mlp", "normalization": "group", "dtype": "float32", "remat": remat}
        options = {"hidden": (32,) * 8}
        network = make_network({**config, "options": options, "task_head": {}}, 3)
        params, _ = jax.eval_shape(lambda network=network: initialize(network, KEY, images))

        def residuals(params, network=network):
            def logits(params):
                variables = {"params": params, "batch_stats": {}}
                return forward(network, variables, images, key=KEY)[0]["source"].logits

            return jax.vjp(logits, params)[1]

        leaves = jax.tree.leaves(jax.eval_shape(residuals, params))
        bytes_kept[remat] = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    # Without it several arrays a layer are kept, with it the layer's input alone.
    assert bytes_kept[True] < bytes_kept[False] / 2


def test_compilers_for_accelerators_are_kept_from_undoing_it():
    programs = []
    for remat in (False, True):
        network, variables, images = make_case("mlp", remat=remat)
        traced = jax.jit(differentiate, static_argnums=0).trace(network, variables, images)
        programs.append(traced.lower(lowering_platforms=("cuda",)).as_text())
    assert ["optimization_barrier" in program for program in programs] == [False, True]


def test_members_in_a_scan_train_the_same_with_stages_computed_again():
    results = []
    for remat in (False, True):
        network, variables, images = make_case("cnn", remat=remat, size=8)

        def step(variables, key, network=network, images=images):
            (_, (_, batch_stats)), gradients = differentiate(network, variables, images, key)
            params = jax.tree.map(lambda p, g: p - 0.1 * g, variables["params"], gradients)
            return {"params": params, "batch_stats": batch_stats}, None

        @jax.jit
        @jax.vmap
        def train(key, step=step, variables=variables):
            return lax.scan(step, variables, jax.random.split(key, 3))[0]

        results.append(train(jax.random.split(KEY, 2)))
    assert_close(results[1], results[0], 1e-4)


def test_names_of_types():
    assert computation_type("bfloat16") == jnp.bfloat16
    # A network in double precision stays there.
    assert computation_type("float32") is None


@pytest.mark.parametrize("name", MODELS)
def test_half_precision_is_inside_the_layers_alone(name):
    network, variables, images = make_case(name, dtype="bfloat16")
    assert types_in(variables) == {"float32"}
    (value, (outputs, batch_stats)), gradients = jax.eval_shape(
        lambda variables: differentiate(network, variables, images), variables
    )
    assert types_in([value, outputs, batch_stats, gradients]) == {"float32"}

    layers = jax.eval_shape(
        lambda variables: forward(network, variables, images, key=KEY, layers=("hidden/stage_0",)),
        variables,
    )[0]["source"].layers
    assert types_in(layers) == {"float32"}
    sown = {}
    for root, value in (
        ("feature_extractor", images["source"]),
        ("task_head", outputs["source"].features),
    ):
        module = getattr(network, root)
        own = {kind: trees.get(root, {}) for kind, trees in variables.items()}
        _, sown[root] = jax.eval_shape(
            lambda own, value, module=module: module.apply(
                own, value, mode=EVALUATION, mutable=["layers"]
            ),
            own,
            value,
        )
    assert types_in(sown) == {"bfloat16"}


@pytest.mark.parametrize("name", MODELS)
def test_every_product_is_in_half_precision_but_those_of_the_logits(name):
    network, variables, images = make_case(name, dtype="bfloat16")
    program = jax.make_jaxpr(lambda variables: differentiate(network, variables, images))(variables)
    products = [
        equation
        for equation in equations_of(program.jaxpr)
        if equation.primitive.name in ("dot_general", "conv_general_dilated")
    ]
    in_half = [
        {str(each.aval.dtype) for each in equation.invars} == {"bfloat16"} for equation in products
    ]
    # Forward, to the kernel and to the input.
    assert len(products) - sum(in_half) == 3
    assert sum(in_half) >= 6


def distance(actual, expected):
    """The norm of the difference as a share of the norm."""
    return float(jnp.linalg.norm(actual - expected) / jnp.linalg.norm(expected))


@pytest.mark.parametrize("name", COMPILED)
def test_half_precision_is_close_to_single_precision(name):
    """Tolerance: a bfloat16 has 8 significant bits, so that a rounding is off by up to 2**-9.

    There are about ten roundings in a row; errors of different units are independent, so the norm
    of all is off by no more than one is: ten times 2**-9 is .02.
    """
    outputs = []
    for dtype in DTYPES:
        network, variables, images = make_case(name, dtype=dtype)
        _, (compared, _) = jax.jit(loss_of, static_argnums=0)(network, variables, images)
        outputs.append(compared)
    for domain in images:
        features = [each[domain].features for each in outputs]
        # The same mask in both; rounding is seen, and no more than rounding.
        assert 1e-4 < distance(features[1], features[0]) < 0.02
        assert distance(outputs[1][domain].logits, outputs[0][domain].logits) < 0.04


def test_gradients_in_half_precision_are_close_to_those_in_single_precision():
    """Twice as many roundings in a row as in the forward pass: .04.

    The activation is smooth: at the kink of a rectifier a rounding decides between two slopes.
    """
    changes = {"size": 8, "dropout": 0.0, "activation": "tanh"}
    gradients = []
    for dtype in DTYPES:
        network, variables, images = make_case("mlp", "group", dtype, **changes)
        gradients.append(jax.jit(differentiate, static_argnums=0)(network, variables, images)[1])
    for expected, actual in zip(*map(jax.tree.leaves, gradients), strict=True):
        assert 1e-4 < distance(actual, expected) < 0.04
