"""Tests of virtual adversarial training against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View, fold_in_name
from configs.catalogue import TERMS
from dann.alignment.virtual_adversarial import unit_length, virtual_adversarial
from dann.method import make_method
from tests import tiny

RADIUS, FACTOR = 0.5, 3.0
DRAW = np.random.default_rng(0)
# The domains differ in size. Pictures of 3x2 pixels, three classes.
IMAGES = {"source": DRAW.random((4, 3, 2)), "target": DRAW.random((3, 3, 2))}
KERNEL = DRAW.normal(size=(6, 3))
NAN = Outputs(jnp.full((3, 2), jnp.nan), jnp.full((3, 3), jnp.nan))


def network(kernel, images, numbers=np):
    """Logits that are not linear in the picture, from many ways in which it may change."""
    return numbers.tanh(images.reshape(len(images), -1)) @ kernel


def evaluate(kernel, images, forward=None):
    """Returns the term's value; outputs of the batch itself must not matter."""
    seen = forward or (
        lambda pictures, domain: Outputs(jnp.zeros(0), network(kernel, pictures, jnp))
    )
    batch = {name: {"image": jnp.asarray(own)} for name, own in images.items()}
    value, method_state, metrics = virtual_adversarial(TERMS["virtual_adversarial"][1]).loss(
        {},
        {},
        View(NAN, NAN, batch, seen),
        key=jax.random.key(0),
        progress=jnp.float32(0),
        hparams={"radius": jnp.asarray(RADIUS), "source_factor": jnp.asarray(FACTOR)},
    )
    assert (method_state, metrics) == ({}, {})
    return value


slope = jax.jit(jax.value_and_grad(evaluate))


def last_changes(images, kernel):
    """Returns by how much the target's pictures of the last pass differ from those of the batch."""

    @jax.jit
    def last(images):
        asked = []

        def forward(pictures, domain):
            asked.append((domain, pictures))
            return Outputs(jnp.zeros(0), network(kernel, pictures, jnp))

        evaluate(kernel, images, forward=forward)
        return [own for name, own in asked if name == "target"][-1]

    return np.asarray(last(images)) - images["target"]


def softmax(rows):
    powers = np.exp(rows - rows.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def divergence(kernel, image, change, reference=KERNEL):
    before = softmax(network(reference, image[None]))[0]
    after = softmax(network(kernel, (image + change)[None]))[0]
    return (before * np.log(before / after)).sum()


def worst_changes(images, noises):
    """Follows random directions by the exact power step, example by example.

    Near the picture the divergence is half of r' J' F J r, of the logits' Jacobian J by pixels and
    F = diag(p) - p p'. One power step of the direction d is therefore J' F J d.
    """
    found = []
    for image, noise in zip(images, noises, strict=True):
        prediction = softmax(network(KERNEL, image[None]))[0]
        jacobian = KERNEL * (1 - np.tanh(image.ravel()) ** 2)[:, None]
        fisher = np.diag(prediction) - np.outer(prediction, prediction)
        step = jacobian @ fisher @ jacobian.T @ noise.ravel()
        found.append(RADIUS * (step / np.linalg.norm(step)).reshape(image.shape))
    return np.array(found)


def directions(name):
    """The random directions from which the term starts, of any length."""
    key = fold_in_name(jax.random.key(0), name)
    return np.asarray(jax.random.normal(key, IMAGES[name].shape, float))


def by_hand(kernel, *, through_all=False):
    """The gradient is that of the second prediction alone, unless `through_all`."""
    total = 0.0
    for name, factor in (("source", FACTOR), ("target", 1.0)):
        changes = worst_changes(IMAGES[name], directions(name))
        reference = kernel if through_all else KERNEL
        own = [
            divergence(kernel, image, change, reference)
            for image, change in zip(IMAGES[name], changes, strict=True)
        ]
        total += factor * np.mean(own)
    return total


def differences(function, value, step=1e-6):
    """The gradient of a function of an array, by central differences."""
    found = np.zeros_like(value)
    for place in np.ndindex(value.shape):
        ends = []
        for sign in (1, -1):
            moved = np.array(value)
            moved[place] += sign * step
            ends.append(function(moved))
        found[place] = (ends[0] - ends[1]) / (2 * step)
    return found


def test_value_and_gradient_are_those_of_the_derivation():
    with jax.enable_x64(True):
        value, gradient = (np.asarray(own) for own in slope(jnp.asarray(KERNEL), IMAGES))
        # The term takes its slope at a hundredth of the radius instead of at the picture.
        assert value == pytest.approx(by_hand(KERNEL), rel=5e-3)
        expected = differences(by_hand, KERNEL)
        folk = differences(lambda kernel: by_hand(kernel, through_all=True), KERNEL)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=0.02 * largest)
    assert np.abs(folk - expected).max() > 0.1 * largest


def test_single_precision_finds_the_direction_that_a_probe_of_a_millionth_loses(monkeypatch):
    exact = worst_changes(IMAGES["target"], directions("target"))
    single = {name: own.astype(np.float32) for name, own in IMAGES.items()}

    def least_cosine():
        changes = last_changes(single, KERNEL.astype(np.float32))
        lengths = np.sqrt((changes**2).sum((1, 2)))
        # The radius is one of all of a picture, and every picture has its own change.
        np.testing.assert_allclose(lengths, RADIUS, 1e-5)
        return ((changes * exact).sum((1, 2)) / RADIUS / lengths).min()

    assert least_cosine() > 0.999
    monkeypatch.setattr("dann.alignment.virtual_adversarial.PROBE", 1e-6 / RADIUS)
    assert least_cosine() < 0.98


@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_predictions_that_no_change_reaches_are_left_alone(scale):
    with jax.enable_x64(False):
        value, gradient = slope(jnp.float32(KERNEL) * scale, jax.tree.map(jnp.float32, IMAGES))
    assert np.isfinite(value) and value >= 0
    assert np.isfinite(gradient).all()


def test_changes_of_any_size_have_length_one_and_none_stays_none():
    changes = np.array([[[3e-30, 4e-30]], [[0, 0]], [[-6e30, 8e30]]], np.float32)
    expected = np.array([[[0.6, 0.8]], [[0, 0]], [[-0.6, 0.8]]])
    np.testing.assert_allclose(unit_length(jnp.asarray(changes)), expected, 1e-6)


@pytest.mark.parametrize("policy", ["joint", "separate"])
def test_nothing_but_the_change_tells_the_passes_apart(policy):
    # Other dropout masks, or other batch statistics, would look like a change of the prediction.
    config = tiny.make_config(
        "virtual_adversarial",
        {"model.normalization": policy, "model.options.dropout": 0.5},
    )
    method = make_method(config, tiny.NUM_CLASSES)
    batch = {
        "source": {"image": jnp.float32(DRAW.random((8, 4, 4, 1))), "label": jnp.zeros(8, int)},
        "target": {"image": jnp.float32(DRAW.random((8, 4, 4, 1)))},
    }
    variables = method.init(jax.random.key(0), batch)

    @jax.jit
    def loss(radius):
        values = {"weight": 1.0, "source_factor": 1.0, "radius": radius}
        hparams = {
            f"alignment.virtual_adversarial.{name}": jnp.asarray(own)
            for name, own in values.items()
        }
        _, aux = method.phases[0].loss(
            variables, batch, key=jax.random.key(1), progress=jnp.float32(0), hparams=hparams
        )
        return aux.metrics["virtual_adversarial/loss"]

    assert loss(1e-3) < 1e-5
    assert loss(1.0) > 1e-2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epsilon": 1.0}, "epsilon is unknown; legal are weight, source_factor, radius"),
        ({"radius": -1.0}, "radius is -1.0; it must be a finite number of at least 0"),
        ({"source_factor": float("nan")}, "source_factor is nan; it must be"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.alignment.virtual_adversarial.{sentence}"):
        virtual_adversarial({**TERMS["virtual_adversarial"][1], **changes})
