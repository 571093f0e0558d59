"""Tests of the normalisation policies against batch normalisation written in NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.models.mlp import MLP, TaskHead
from common.models.mode import EVALUATION, TRAINING
from common.models.normalization import (
    LAYER_OF_POLICY,
    Network,
    Normalization,
    forward,
    initialize,
    predict,
)

POLICIES = tuple(LAYER_OF_POLICY)
# The domains hold different numbers of pictures: means of means are not means of all.
SIZES = {"source": 6, "target": 10, "target_labelled": 4}
KEY = jax.random.key(5)


def draw_images(*domains, seed=0):
    generator = np.random.default_rng(seed)
    pictures = {
        domain: generator.normal(offset, 1 + offset, (size, 2, 3, 1)).astype(np.float32)
        for offset, (domain, size) in enumerate(SIZES.items())
    }
    return {domain: jnp.asarray(pictures[domain]) for domain in domains}


def make_network(policy, dropout=0.0, hidden=(8,), head=()):
    return Network(
        MLP(hidden, normalization=LAYER_OF_POLICY[policy], dropout=dropout),
        TaskHead(3, head, dropout=dropout),
        policy,
    )


def draw_variables(network, images):
    """Variables none of which has its default value, so that each of them matters."""
    params, batch_stats = jax.eval_shape(lambda: initialize(network, KEY, images))
    generator = np.random.default_rng(1)
    draw = lambda leaf: jnp.asarray(generator.uniform(0.5, 2.0, leaf.shape), leaf.dtype)  # noqa: E731
    signed = lambda leaf: draw(leaf) * generator.choice([-1, 1], leaf.shape)  # noqa: E731
    return {"params": jax.tree.map(signed, params), "batch_stats": jax.tree.map(draw, batch_stats)}


@partial(jax.jit, static_argnames=("network", "domains", "layers"))
def _train(network, domains, variables, pictures, key, layers):
    # A dict handed through jit would lose the order of its domains.
    images = dict(zip(domains, pictures, strict=True))
    return forward(network, variables, images, key=key, layers=layers)


def train(network, variables, images, key=KEY, layers=()):
    return _train(network, tuple(images), variables, list(images.values()), key, layers)


@partial(jax.jit, static_argnames=("network", "domain", "layers"))
def evaluate(network, variables, images, domain, layers=()):
    return predict(network, variables, images, domain, layers=layers)


def moments_in(batch_stats):
    kept = batch_stats["feature_extractor"]["normalization_0"]["BatchNorm_0"]
    return np.asarray(kept["mean"]), np.asarray(kept["var"])


def dense(variables, images):
    layer = variables["params"]["feature_extractor"]["dense_0"]
    flat = np.asarray(images).reshape(len(images), -1)
    return flat @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])


def outputs_from(variables, activations, mean, variance):
    """Features and logits behind the dense layer, given the moments to normalise by."""
    layer = variables["params"]["feature_extractor"]["normalization_0"]["BatchNorm_0"]
    normalized = (activations - mean) / np.sqrt(variance + 1e-5)
    features = np.maximum(normalized * np.asarray(layer["scale"]) + np.asarray(layer["bias"]), 0)
    head = variables["params"]["task_head"]["logits"]
    return features, features @ np.asarray(head["kernel"]) + np.asarray(head["bias"])


def updated(batch_stats, activations):
    """The running moments after one batch: nine parts of the past, one of the present."""
    present = activations.mean(0), activations.var(0)
    return [
        0.9 * old + 0.1 * new for old, new in zip(moments_in(batch_stats), present, strict=True)
    ]


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def assert_outputs(outputs, expected):
    assert_close(outputs.features, expected[0])
    assert_close(outputs.logits, expected[1])


def assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def run_layer(layer, maps, mode):
    """The layer's output and its statistics after one call, from their initial values."""

    @jax.jit
    def run(maps):
        variables = layer.init(KEY, maps, mode=EVALUATION)
        return layer.apply(variables, maps, mode=mode, mutable=["batch_stats"])

    return run(jnp.asarray(maps))


def test_the_batch_layer_normalises_each_channel_over_pictures_and_places():
    maps = np.random.default_rng(0).normal(2, 3, (4, 3, 2, 5)).astype(np.float32)
    value, collections = run_layer(Normalization("batch", momentum=0.8), maps, mode=TRAINING)
    mean, variance = maps.mean((0, 1, 2)), maps.var((0, 1, 2))
    assert_close(value, (maps - mean) / np.sqrt(variance + 1e-5))
    kept = collections["batch_stats"]["BatchNorm_0"]
    assert_close(kept["mean"], 0.2 * mean)
    assert_close(kept["var"], 0.8 + 0.2 * variance)

    value, collections = run_layer(Normalization("batch"), maps, mode=EVALUATION)
    assert_close(value, maps / np.sqrt(1 + 1e-5))
    assert_equal(collections["batch_stats"]["BatchNorm_0"], {"mean": [0.0] * 5, "var": [1.0] * 5})


@pytest.mark.parametrize("given", ["float32", "bfloat16"])
def test_statistics_are_in_single_precision_whatever_a_layer_computes_in(given):
    """In bfloat16 numbers around 300 are 2 apart, and their mean square is 256 or more off."""
    drawn = np.random.default_rng(0).normal(300, 1, (64, 4, 4, 3))
    maps = jnp.asarray(drawn, given)
    value, collections = run_layer(Normalization("batch", dtype="bfloat16"), maps, mode=TRAINING)
    exact = np.asarray(maps, np.float64)
    mean, variance = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    kept = collections["batch_stats"]["BatchNorm_0"]
    assert {kept["mean"].dtype, kept["var"].dtype} == {jnp.dtype("float32")}
    np.testing.assert_allclose(kept["mean"], 0.1 * mean, 1e-6)
    # Single precision rounds mean squares of 90000 to .008; their difference is the variance.
    np.testing.assert_allclose(kept["var"], 0.9 + 0.1 * variance, atol=0.1 * 0.05)
    assert value.dtype == jnp.bfloat16
    # Of what is normalised single precision loses some more: 2 %, and a bit of bfloat16's 8.
    expected = (exact - mean) / np.sqrt(variance)
    np.testing.assert_allclose(np.asarray(value, np.float64), expected, rtol=0.03, atol=0.01)


@pytest.mark.parametrize("mode", [EVALUATION, TRAINING])
def test_the_group_layer_normalises_each_picture_alone(mode):
    maps = np.random.default_rng(0).normal(2, 3, (4, 3, 2, 8)).astype(np.float32)
    value, _ = run_layer(Normalization("group", groups=2), maps, mode)
    grouped = maps.reshape(4, 6, 2, 4)
    mean, variance = grouped.mean((1, 3), keepdims=True), grouped.var((1, 3), keepdims=True)
    assert_close(value, ((grouped - mean) / np.sqrt(variance + 1e-6)).reshape(maps.shape))


def test_groups_that_do_not_divide_the_units_are_refused():
    message = (
        "group normalisation divides the units of a layer into 4 groups, but normalization_0 has 6 "
        "units; choose a multiple of 4 in config.model.options, or another "
        "config.model.normalization"
    )
    with pytest.raises(ValueError, match=message):
        draw_initial(make_network("group", hidden=(6,)), draw_images("source"))


def test_joint_normalises_by_all_domains_together():
    network, images = make_network("joint"), draw_images(*SIZES)
    variables = draw_variables(network, images)
    outputs, batch_stats = train(network, variables, images)
    activations = {domain: dense(variables, images[domain]) for domain in images}
    together = np.concatenate(list(activations.values()))
    for domain in images:
        moments = together.mean(0), together.var(0)
        assert_outputs(outputs[domain], outputs_from(variables, activations[domain], *moments))
    assert_close(moments_in(batch_stats), updated(variables["batch_stats"], together))


def test_separate_normalises_by_the_own_batch_and_updates_once_by_the_average():
    network, images = make_network("separate"), draw_images("source", "target")
    variables = draw_variables(network, images)
    outputs, batch_stats = train(network, variables, images)
    updates = []
    for domain in images:
        own = dense(variables, images[domain])
        assert_outputs(outputs[domain], outputs_from(variables, own, own.mean(0), own.var(0)))
        updates.append(updated(variables["batch_stats"], own))
    assert_close(moments_in(batch_stats), np.mean(updates, 0))

    backwards = dict(reversed(images.items()))
    np.testing.assert_allclose(
        moments_in(train(network, variables, backwards)[1]), moments_in(batch_stats), rtol=1e-6
    )


def test_per_domain_keeps_a_statistic_for_each_and_predicts_by_it():
    network, images = make_network("per_domain"), draw_images("source", "target")
    variables = draw_variables(network, images)
    outputs, batch_stats = train(network, variables, images)
    assert set(batch_stats) == {"source", "target"}
    for domain in images:
        own, before = dense(variables, images[domain]), variables["batch_stats"][domain]
        assert_outputs(outputs[domain], outputs_from(variables, own, own.mean(0), own.var(0)))
        assert_close(moments_in(batch_stats[domain]), updated(before, own))
        predicted = evaluate(network, variables, images[domain], domain)
        assert_outputs(predicted, outputs_from(variables, own, *moments_in(before)))

    # The statistic of a domain that is not in the batch stays as it is.
    _, after = train(network, variables, {"source": images["source"]})
    assert_close(moments_in(after["source"]), moments_in(batch_stats["source"]))
    assert_equal(after["target"], variables["batch_stats"]["target"])


def test_frozen_trains_by_the_statistics_it_was_given_and_leaves_them_alone():
    network, images = make_network("frozen"), draw_images(*SIZES)
    variables = draw_variables(network, images)
    outputs, batch_stats = train(network, variables, images)
    for domain in images:
        own, moments = dense(variables, images[domain]), moments_in(variables["batch_stats"])
        assert_outputs(outputs[domain], outputs_from(variables, own, *moments))
    assert_equal(batch_stats, variables["batch_stats"])


def test_under_frozen_a_picture_trains_alone_as_in_a_batch():
    network, images = make_network("frozen"), draw_images("source", "target")
    variables = draw_variables(network, images)
    together, _ = train(network, variables, images)
    alone, _ = train(network, variables, {"target": images["target"][:1]})
    assert_close(alone["target"].logits, together["target"].logits[:1])
    # And as in evaluation, but for dropout.
    assert_outputs(together["target"], evaluate(network, variables, images["target"], "target"))
    dropping = make_network("frozen", dropout=0.5)
    dropped, batch_stats = train(dropping, variables, images)
    left = np.asarray(dropped["target"].features) != 0
    active = np.asarray(together["target"].features) != 0
    assert 0.2 < left[active].mean() < 0.8
    assert_close(dropped["target"].features[left], 2 * together["target"].features[left])
    assert_equal(batch_stats, variables["batch_stats"])


def test_labelled_target_pictures_share_the_statistic_of_the_target():
    network, images = make_network("per_domain"), draw_images(*SIZES)
    variables = draw_variables(network, images)
    _, batch_stats = train(network, variables, images)
    assert set(batch_stats) == {"source", "target"}
    before = variables["batch_stats"]["target"]
    updates = [
        updated(before, dense(variables, images[domain]))
        for domain in ("target", "target_labelled")
    ]
    assert_close(moments_in(batch_stats["target"]), np.mean(updates, 0))
    predicted = [
        evaluate(network, variables, images["target"], domain)
        for domain in ("target", "target_labelled", "source")
    ]
    assert_equal(predicted[0], predicted[1])
    assert not np.allclose(predicted[0].features, predicted[2].features)


@pytest.mark.parametrize(("seen", "unseen"), [("source", "target"), ("target_labelled", "source")])
def test_a_domain_without_a_statistic_is_evaluated_with_the_one_there_is(seen, unseen):
    network, images = make_network("per_domain"), draw_images(seen)
    variables = draw_variables(network, images)
    assert_equal(
        evaluate(network, variables, images[seen], unseen),
        evaluate(network, variables, images[seen], seen),
    )


@pytest.mark.parametrize("policy", ["joint", "separate", "frozen"])
def test_one_running_statistic_serves_every_domain(policy):
    network, images = make_network(policy), draw_images("source", "target")
    variables = draw_variables(network, images)
    own = dense(variables, images["target"])
    expected = outputs_from(variables, own, *moments_in(variables["batch_stats"]))
    for domain in SIZES:
        assert_outputs(evaluate(network, variables, images["target"], domain), expected)


@pytest.mark.parametrize("policy", POLICIES)
def test_only_joint_lets_a_domain_change_the_outputs_of_another(policy):
    network, images = make_network(policy, dropout=0.5), draw_images("source", "target")
    variables = draw_variables(network, images)
    others = {**images, "target": images["target"] * 3 + 1}
    first, second = (
        train(network, variables, pictures)[0]["source"] for pictures in (images, others)
    )
    same = np.array_equal(first.features, second.features)
    assert same == (policy != "joint")
    assert same == np.array_equal(first.logits, second.logits)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_picture_alone_is_predicted_as_in_a_batch(policy):
    """Fails for batch statistics or dropout left in training mode."""
    network, images = make_network(policy, dropout=0.5, head=(4,)), draw_images("source", "target")
    variables = draw_variables(network, images)
    pictures = images["target"]
    together = evaluate(network, variables, pictures, "target")
    alone = [evaluate(network, variables, picture[None], "target") for picture in pictures[:3]]
    assert_close([outputs.features[0] for outputs in alone], together.features[:3])
    assert_close([outputs.logits[0] for outputs in alone], together.logits[:3])
    # The same comparison does fail in training mode.
    trained, _ = train(network, variables, {"target": pictures})
    assert not np.allclose(trained["target"].logits, together.logits, rtol=1e-2)


def masks(network, images, key=KEY):
    """Which features dropout left; a sigmoid is never zero by itself."""
    variables = draw_variables(network, images)
    outputs, _ = train(network, variables, images, key)
    return {domain: np.asarray(outputs[domain].features != 0) for domain in images}


@pytest.mark.parametrize("policy", ["separate", "frozen", "none"])
def test_dropout_masks_belong_to_a_domain(policy):
    extractor = MLP((64,), "sigmoid", LAYER_OF_POLICY[policy], dropout=0.5)
    network = Network(extractor, TaskHead(3), policy)
    images = draw_images(*SIZES)
    alone = masks(network, {"target": images["target"]})["target"]
    backwards = masks(network, dict(reversed(images.items())))
    assert_equal(backwards["target"], alone)
    assert 0.4 < alone.mean() < 0.6
    assert not np.array_equal(backwards["source"][:4], backwards["target_labelled"])
    assert not np.array_equal(backwards["source"], alone[:6])
    others = masks(network, {"target": images["target"]}, jax.random.key(6))
    assert not np.array_equal(others["target"], alone)


def test_dropout_masks_of_the_pictures_of_a_joint_pass_differ():
    extractor = MLP((64,), "sigmoid", "batch", dropout=0.5)
    drawn = masks(Network(extractor, TaskHead(3), "joint"), draw_images("source", "target"))
    rows = np.concatenate(list(drawn.values()))
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize("policy", ["joint", "none"])
def test_layers_are_returned_when_asked_for(policy):
    network = make_network(policy, hidden=(8, 4), head=(5,))
    images = draw_images("source", "target")
    variables = draw_variables(network, images)
    plain, _ = train(network, variables, images)
    names = ("hidden/stage_0", "stage_1")
    asked, _ = train(network, variables, images, layers=names)
    for domain in images:
        assert plain[domain].layers == {}
        assert set(asked[domain].layers) == set(names)
        assert_outputs(asked[domain], plain[domain])
        assert_close(asked[domain].layers["stage_1"], plain[domain].features)
        assert asked[domain].layers["hidden/stage_0"].shape == (SIZES[domain], 5)

    assert evaluate(network, variables, images["source"], "source").layers == {}
    predicted = evaluate(network, variables, images["source"], "source", layers=("stage_1",))
    assert_equal(dict(predicted.layers), {"stage_1": predicted.features})


def test_an_unknown_layer_is_refused():
    network, images = make_network("none", head=(5,)), draw_images("source")
    variables = draw_variables(network, images)
    message = "no layer is named 'stage_7'; this network has hidden/stage_0, stage_0"
    with pytest.raises(ValueError, match=message):
        train(network, variables, images, layers=("stage_0", "stage_7"))
    with pytest.raises(ValueError, match=message):
        evaluate(network, variables, images["source"], "source", layers=("stage_7",))


def draw_initial(network, images):
    return jax.jit(lambda: initialize(network, KEY, images)[0])()


def test_the_initial_parameters_of_a_root_depend_on_that_root_alone():
    images = draw_images("source", "target")
    wide, flat, deep = (
        draw_initial(make_network("none", hidden=hidden, head=head), images)
        for hidden, head in (((8,), (4,)), ((8,), ()), ((16, 8), (4,)))
    )
    assert_equal(wide["feature_extractor"], flat["feature_extractor"])
    assert_equal(wide["task_head"], deep["task_head"])
    others = draw_images("target_labelled")
    assert_equal(draw_initial(make_network("none", head=(4,)), others), wide)
