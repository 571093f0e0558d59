"""Tests of the conditional domain-adversarial term against a derivation by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.conditional_adversarial import conditional_adversarial
from tests.derivation import assert_close, differences

STRENGTH, GAMMA, PROGRESS = 0.7, 10.0, 0.12
NOW = STRENGTH * (2 / (1 + np.exp(-GAMMA * PROGRESS)) - 1)
ROOT = "conditional_discriminator"
DOMAINS = ("source", "target")
UNITS, CLASSES, WIDTH = 3, 2, 4
DRAW = np.random.default_rng(0)
# The domains differ in size, and the target's predictions are less sure.
ROWS = {"source": 5, "target": 3}
FEATURES = {name: DRAW.normal(size=(rows, UNITS)) for name, rows in ROWS.items()}
LOGITS = {
    name: DRAW.normal(size=(rows, CLASSES)) * {"source": 3, "target": 0.3}[name]
    for name, rows in ROWS.items()
}
MATRICES = {
    "features": DRAW.normal(size=(UNITS, WIDTH)),
    "predictions": DRAW.normal(size=(CLASSES, WIDTH)),
}
KINDS = {
    "cdan": {},
    "cdane": {"entropy_conditioning": True},
    "authors": {"entropy_conditioning": True, "entropy_gradient": True},
}


def params_for(products):
    return {
        "dense_0": {"kernel": DRAW.normal(size=(products, 4)), "bias": DRAW.normal(size=4)},
        "logit": {"kernel": DRAW.normal(size=(4, 1)), "bias": DRAW.normal(size=1)},
    }


PARAMS = {"product": params_for(UNITS * CLASSES), "random": params_for(WIDTH)}
STATE = {"product": {}, "random": MATRICES}


def options(**changes):
    return {**TERMS["cdan"][1], "hidden": (4,), **changes}


def view_of(features, logits):
    source, target = (
        Outputs(jnp.asarray(features[name]), jnp.asarray(logits[name])) for name in DOMAINS
    )

    def forward(images, domain):
        raise AssertionError("the term needs no further pass")

    return View(source, target, {}, forward)


def evaluate(term, state, params, features, logits):
    """Returns the term's value and its metrics."""
    value, new_state, metrics = term.loss(
        {ROOT: params},
        state,
        view_of(features, logits),
        key=jax.random.key(0),
        progress=jnp.float32(PROGRESS),
        hparams={"strength": jnp.asarray(STRENGTH), "gamma": jnp.asarray(GAMMA)},
    )
    assert new_state is state
    return value, metrics


@functools.cache
def slopes(kind, form):
    """The term's value, metrics, and gradients by parameters, features and logits."""
    term = conditional_adversarial(options(**KINDS[kind]))
    with jax.enable_x64(True):
        state = jax.tree.map(jnp.asarray, STATE[form])
        (value, metrics), gradients = jax.jit(
            jax.value_and_grad(
                lambda params, *seen: evaluate(term, state, params, *seen),
                argnums=(0, 1, 2),
                has_aux=True,
            )
        )(*(jax.tree.map(jnp.asarray, tree) for tree in (PARAMS[form], FEATURES, LOGITS)))
        return float(value), metrics, jax.tree.map(np.asarray, gradients)


def softmax(rows):
    powers = np.exp(rows - rows.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def weights_by_hand(logits):
    return np.array([1 + np.exp((row * np.log(row)).sum()) for row in softmax(logits)])


def by_hand(kind, form, params, features, logits, *, of_predictions=LOGITS, over="domain"):
    """The discriminator's loss, example by example, without a reversal.

    Gradients by `logits` are those through the weights; predictions that are joined with features
    and the means that divide the weights come from `of_predictions`. `over="both"` divides by the
    mean over both domains.
    """
    total = 0.0
    constant = {name: weights_by_hand(of_predictions[name]) for name in DOMAINS}
    everything = np.concatenate([constant[name] for name in DOMAINS]).mean()
    for name in DOMAINS:
        weights = weights_by_hand(logits[name]) if kind != "cdan" else np.ones(ROWS[name])
        mean = 1.0 if kind == "cdan" else constant[name].mean()
        losses = []
        predictions = softmax(of_predictions[name])
        for feature, prediction, weight in zip(features[name], predictions, weights, strict=True):
            if form == "product":
                joined = np.array([p * f for p in prediction for f in feature])
            else:
                joined = (feature @ MATRICES["features"]) * (prediction @ MATRICES["predictions"])
                joined = joined / np.sqrt(WIDTH)
            hidden = np.maximum(joined @ params["dense_0"]["kernel"] + params["dense_0"]["bias"], 0)
            logit = (hidden @ params["logit"]["kernel"] + params["logit"]["bias"])[0]
            share = weight / (mean if over == "domain" else everything)
            losses.append(share * np.log1p(np.exp(-logit if name == "source" else logit)))
        total += np.mean(losses) / 2
    return total


@pytest.mark.parametrize("form", ["product", "random"])
@pytest.mark.parametrize("kind", KINDS)
def test_value_and_gradients_are_those_of_the_derivation(kind, form):
    params = PARAMS[form]
    value, metrics, (to_params, to_features, to_logits) = slopes(kind, form)
    assert value == pytest.approx(by_hand(kind, form, params, FEATURES, LOGITS), rel=1e-9)
    assert metrics["reversal_strength"] == pytest.approx(NOW, rel=1e-6)
    # The discriminator learns at full weight; the features at minus the strength.
    assert_close(
        to_params, differences(lambda own: by_hand(kind, form, own, FEATURES, LOGITS), params)
    )
    of_features = differences(lambda own: by_hand(kind, form, params, own, LOGITS), FEATURES)
    assert min(np.abs(own).max() for own in of_features.values()) > 1e-3
    assert_close(to_features, {name: -NOW * own for name, own in of_features.items()})
    # Predictions have no gradient, but in the authors' form, through the weights alone.
    of_logits = differences(lambda own: by_hand(kind, form, params, FEATURES, own), LOGITS)
    rate = NOW if kind == "authors" else 0.0
    assert_close(to_logits, {name: -rate * own for name, own in of_logits.items()})
    if kind != "authors":
        assert all((own == 0).all() for own in to_logits.values())
    else:
        assert min(np.abs(own).max() for own in to_logits.values()) > 1e-4


def test_what_the_folk_versions_would_give_is_something_else():
    params = PARAMS["product"]
    through_softmax = differences(
        lambda own: by_hand("cdan", "product", params, FEATURES, LOGITS, of_predictions=own), LOGITS
    )
    through_weights = differences(
        lambda own: by_hand("cdane", "product", params, FEATURES, own), LOGITS
    )
    for folk in (through_softmax, through_weights):
        assert max(np.abs(own).max() for own in folk.values()) > 1e-2
    over_both = by_hand("cdane", "product", params, FEATURES, LOGITS, over="both")
    assert abs(over_both - slopes("cdane", "product")[0]) > 1e-2
    assert abs(slopes("cdan", "product")[0] - slopes("cdane", "product")[0]) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_values_are_finite(kind):
    logits = {
        "source": np.array([[1e30, -1e30], [0, 0], [-1e4, 1e4], [200, -200], [0, 1]], float),
        "target": np.array([[0, -1e30], [1e30, 1e30], [88, -88]], float),
    }
    features = {name: 1e3 * own for name, own in FEATURES.items()}
    term = conditional_adversarial(options(**KINDS[kind]))
    single = [jax.tree.map(jnp.float32, own) for own in (PARAMS["product"], features, logits)]
    (value, _), gradients = jax.jit(
        jax.value_and_grad(
            lambda params, *seen: evaluate(term, {}, params, *seen), argnums=(0, 1, 2), has_aux=True
        )
    )(*single)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, gradients)))


@pytest.mark.parametrize(("units", "is_random"), [(2048, False), (2049, True)])
def test_above_4096_products_fixed_random_matrices_are_in_the_state(units, is_random):
    outputs = Outputs(jnp.ones((2, units)), jnp.zeros((2, CLASSES)))
    term = conditional_adversarial(options(width=7))
    params, state = term.init(jax.random.key(0), {"source": outputs, "target": outputs})
    assert set(params) == {ROOT}
    products = params[ROOT]["dense_0"]["kernel"].shape[0]
    if not is_random:
        assert (state, products) == ({}, 4096)
        return
    assert products == 7
    assert {name: own.shape for name, own in state.items()} == {
        "features": (units, 7),
        "predictions": (CLASSES, 7),
    }
    assert np.std(state["features"]) == pytest.approx(1, abs=0.05)
    _, other = term.init(jax.random.key(1), {"source": outputs})
    assert np.abs(other["features"] - state["features"]).max() > 0.1


def test_the_random_map_keeps_inner_products_on_average(monkeypatch):
    monkeypatch.setattr("dann.alignment.conditional_adversarial.MOST_PRODUCTS", 0)
    term = conditional_adversarial(options(width=40_000))
    draw = np.random.default_rng(1)
    features, logits = draw.normal(size=(2, UNITS)), draw.normal(size=(2, CLASSES))
    outputs = Outputs(jnp.float32(features), jnp.float32(logits))
    _, state = term.init(jax.random.key(0), {"source": outputs})
    mapped = features @ state["features"] * (softmax(logits) @ state["predictions"]) / 200
    expected = (features @ features.T) * (softmax(logits) @ softmax(logits).T)
    np.testing.assert_allclose(mapped @ mapped.T, expected, atol=0.05 * expected.max())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"strenght": 1.0}, "strenght is unknown; did you mean 'strength'?"),
        ({"strength": -0.1}, "strength is -0.1; it must be a finite number of at least 0"),
        ({"gamma": float("inf")}, "gamma is inf; it must be"),
        ({"schedule": "rmp"}, r"schedule is 'rmp'; did you mean 'ramp'\?"),
        ({"hidden": (4, 0)}, r"hidden\[1\] is 0; it must be a whole number of at least 1"),
        ({"width": 0}, "width is 0; it must be a whole number of at least 1"),
        ({"entropy_conditioning": "yes"}, "entropy_conditioning is 'yes'; it must be True or"),
        ({"entropy_gradient": True}, "entropy_gradient is True; it takes entropy_conditioning"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.alignment.conditional_adversarial.{sentence}"):
        conditional_adversarial(options(**changes))
