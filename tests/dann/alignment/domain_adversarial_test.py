"""Tests of the domain-adversarial term against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.domain_adversarial import domain_adversarial

STRENGTH, GAMMA, PROGRESS = 0.7, 10.0, 0.12
DRAW = np.random.default_rng(0)
# The domains differ in size, so that the mean of two means is not the mean of all examples.
FEATURES = {"source": DRAW.normal(size=(6, 3)), "target": DRAW.normal(size=(4, 3))}
PARAMS = {
    "dense_0": {"kernel": DRAW.normal(size=(3, 5)), "bias": DRAW.normal(size=5)},
    "logit": {"kernel": DRAW.normal(size=(5, 1)), "bias": DRAW.normal(size=1)},
}
ROOT = "domain_discriminator"


def options(**changes):
    return {**TERMS["dann"][1], "hidden": (5,), **changes}


def view_of(features):
    source, target = (
        Outputs(jnp.asarray(features[name], jnp.float32), jnp.zeros((len(features[name]), 2)))
        for name in ("source", "target")
    )

    def forward(images, domain):
        raise AssertionError("the term needs no further pass")

    return View(source, target, {}, forward)


def evaluate(term, params, features, *, progress=PROGRESS, strength=STRENGTH):
    """Returns the term's value and its metrics."""
    value, method_state, metrics = term.loss(
        {ROOT: params},
        {},
        view_of(features),
        key=jax.random.key(0),
        progress=jnp.float32(progress),
        hparams={"strength": jnp.float32(strength), "gamma": jnp.float32(GAMMA)},
    )
    assert method_state == {}
    return value, metrics


def by_hand(reduction):
    """The unreversed loss and its gradients: forward and backward in NumPy, layer by layer."""
    share = {"mean": 0.5, "sum": 1.0}[reduction]
    total = 0.0
    feature_gradients = {}
    gradients = jax.tree.map(np.zeros_like, PARAMS)
    for domain, is_source in (("source", 1.0), ("target", 0.0)):
        features = FEATURES[domain]
        before = features @ PARAMS["dense_0"]["kernel"] + PARAMS["dense_0"]["bias"]
        hidden = np.maximum(before, 0)
        logits = hidden @ PARAMS["logit"]["kernel"] + PARAMS["logit"]["bias"]
        probability = 1 / (1 + np.exp(-logits))
        correct = probability if is_source else 1 - probability
        total += share * -np.mean(np.log(correct))

        to_logits = share * (probability - is_source) / len(features)
        to_hidden = (to_logits @ PARAMS["logit"]["kernel"].T) * (before > 0)
        gradients["logit"]["kernel"] += hidden.T @ to_logits
        gradients["logit"]["bias"] += to_logits.sum(0)
        gradients["dense_0"]["kernel"] += features.T @ to_hidden
        gradients["dense_0"]["bias"] += to_hidden.sum(0)
        feature_gradients[domain] = to_hidden @ PARAMS["dense_0"]["kernel"].T
    return total, gradients, feature_gradients


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("schedule", ["ramp", "constant"])
def test_value_and_gradients_are_those_derived_by_hand(schedule, scaled, reduction):
    term = domain_adversarial(
        options(schedule=schedule, scale_discriminator=scaled, domain_reduction=reduction)
    )
    gradient_of = jax.value_and_grad(
        lambda params, features: evaluate(term, params, features), argnums=(0, 1), has_aux=True
    )
    (value, metrics), (to_params, to_features) = gradient_of(
        jax.tree.map(jnp.float32, PARAMS), jax.tree.map(jnp.float32, FEATURES)
    )
    loss, expected_params, expected_features = by_hand(reduction)
    now = STRENGTH * {"ramp": 2 / (1 + np.exp(-GAMMA * PROGRESS)) - 1, "constant": 1}[schedule]
    # Algorithm 1 scales the discriminator too; the image experiments scale the features alone.
    factor = now if scaled else 1.0
    np.testing.assert_allclose(value, factor * loss, 1e-5)
    np.testing.assert_allclose(metrics["reversal_strength"], now, 1e-6)
    jax.tree.map(
        lambda own, expected: np.testing.assert_allclose(own, factor * expected, 1e-4, 1e-6),
        to_params,
        expected_params,
    )
    jax.tree.map(
        lambda own, expected: np.testing.assert_allclose(own, -now * expected, 1e-4, 1e-6),
        to_features,
        expected_features,
    )


@pytest.mark.parametrize("scaled", [False, True])
def test_at_strength_zero_no_gradient_reaches_the_features(scaled):
    term = domain_adversarial(options(scale_discriminator=scaled))
    params = jax.tree.map(jnp.float32, PARAMS)
    gradient = jax.grad(
        lambda features: evaluate(term, params, features, strength=0.0, progress=1.0)[0]
    )(jax.tree.map(jnp.float32, FEATURES))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_domain_accuracy_averages_the_domains():
    term = domain_adversarial(options(hidden=()))
    params = {"logit": {"kernel": jnp.array([[1.0]]), "bias": jnp.array([0.0])}}
    features = {
        "source": np.array([[2.0], [1.0], [-1.0]]),
        "target": np.array([[-3.0], [-2.0], [-1.0], [1.0]]),
    }
    _, metrics = evaluate(term, params, features)
    np.testing.assert_allclose(metrics["domain_accuracy"], (2 / 3 + 3 / 4) / 2, 1e-6)


@pytest.mark.parametrize(
    "changes", [{"hidden": ()}, {"hidden": (), "kernel_init": "zeros"}, {"hidden": (8,)}]
)
def test_the_discriminator_learns_to_separate_the_domains(changes):
    term = domain_adversarial(options(**changes))
    features = {
        "source": FEATURES["source"] * 0.3 - [1.0, 0.0, 0.0],
        "target": FEATURES["target"] * 0.3 + [1.0, 0.0, 0.0],
    }
    params, method_state = term.init(jax.random.key(0), {"source": view_of(features).source})
    assert set(params) == {ROOT} and method_state == {}
    gradient_of = jax.jit(
        jax.value_and_grad(lambda params: evaluate(term, params, features), has_aux=True)
    )
    params, losses = params[ROOT], []
    for _ in range(30):
        (value, metrics), gradient = gradient_of(params)
        losses.append(float(value))
        params = jax.tree.map(lambda value, slope: value - slope, params, gradient)
    assert losses[-1] < 0.25 < losses[0]
    assert metrics["domain_accuracy"] == 1


@pytest.mark.parametrize(
    ("key", "value", "legal"),
    [("schedule", "cosine", "ramp, constant"), ("domain_reduction", "median", "mean, sum")],
)
def test_unknown_options_are_refused(key, value, legal):
    with pytest.raises(ValueError, match=f"domain_adversarial.{key} is '{value}'.*{legal}"):
        domain_adversarial(options(**{key: value}))


@pytest.mark.parametrize("key", sorted(options()))
def test_a_missing_option_is_refused(key):
    given = {name: value for name, value in options().items() if name != key}
    with pytest.raises(ValueError, match=f"config.alignment.domain_adversarial.{key} is missing"):
        domain_adversarial(given)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"strenght": 1.0}, "strenght is unknown; did you mean 'strength'?"),
        ({"strength": float("nan")}, "strength is nan; it must be a finite number of at least 0"),
        ({"weight": -1.0}, "weight is -1.0; it must be"),
        ({"hidden": (4, 0)}, r"hidden\[1\] is 0; it must be a whole number of at least 1"),
        ({"kernel_init": "zero"}, r"kernel_init is 'zero'; did you mean 'zeros'\?"),
    ],
)
def test_options_that_cannot_be_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.alignment.domain_adversarial.{sentence}"):
        domain_adversarial(options(**changes))


def test_zeros_below_hidden_layers_are_refused():
    term = domain_adversarial(options(hidden=(4,), kernel_init="zeros"))
    with pytest.raises(ValueError, match="kernel_init='zeros'"):
        term.init(jax.random.key(0), {"source": view_of(FEATURES).source})
