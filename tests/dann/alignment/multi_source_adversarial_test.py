"""Tests of the adversary of several sources against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.multi_source_adversarial import ROOT, check_sources, multi_source_adversarial
from tests.derivation import assert_close, differences

STRENGTH, GAMMA, PROGRESS = 0.7, 10.0, 0.12
NOW = STRENGTH * (2 / (1 + np.exp(-GAMMA * PROGRESS)) - 1)
UNITS, HIDDEN, SOURCES = 2, 5, 2
DRAW = np.random.default_rng(0)
# The domains differ in size, and the sources take no turns.
ORIGIN = np.array([1, 0, 1, 1])
FEATURES = DRAW.normal(size=(7, UNITS))
NUMBERS = np.array([*ORIGIN, 2, 2, 2])
PARAMS = {
    "hidden": {
        "dense_0": {"kernel": DRAW.normal(size=(UNITS, HIDDEN)), "bias": DRAW.normal(size=HIDDEN)}
    },
    "logits": {
        "kernel": DRAW.normal(size=(HIDDEN, SOURCES + 1)),
        "bias": DRAW.normal(size=SOURCES + 1),
    },
}


def options(**changes):
    return {**TERMS["multi_source_dann"][1], "hidden": (HIDDEN,), "num_sources": SOURCES, **changes}


def slopes(params=PARAMS, features=FEATURES, origin=ORIGIN, **changes):
    """The term's value, metrics, and gradients by parameters and features."""
    term = multi_source_adversarial(options(**changes))
    count = len(origin)

    def evaluate(params, features):
        source, target = (
            Outputs(own, jnp.zeros((len(own), 3))) for own in (features[:count], features[count:])
        )
        batch = {"source": {"domain": jnp.asarray(origin)}}
        value, state, metrics = term.loss(
            {ROOT: params},
            {},
            View(source, target, batch, lambda *_: source),
            key=jax.random.key(0),
            progress=jnp.float32(PROGRESS),
            hparams={"strength": jnp.asarray(STRENGTH), "gamma": jnp.asarray(GAMMA)},
        )
        assert state == {}
        return value, metrics

    given = jax.tree.map(jnp.asarray, (params, features))
    (value, metrics), gradients = jax.jit(
        jax.value_and_grad(evaluate, argnums=(0, 1), has_aux=True)
    )(*given)
    return float(value), metrics, jax.tree.map(np.asarray, gradients)


def logits_of(params, feature):
    layer = params["hidden"]["dense_0"]
    hidden = np.maximum(feature @ layer["kernel"] + layer["bias"], 0)
    return hidden @ params["logits"]["kernel"] + params["logits"]["bias"]


def by_hand(params, features, numbers=NUMBERS):
    """Domain by domain and example by example, without a reversal."""
    means = []
    for domain in range(SOURCES + 1):
        losses = []
        for feature, number in zip(features, numbers, strict=True):
            if number == domain:
                logits = logits_of(params, feature)
                losses.append(np.log(np.exp(logits).sum()) - logits[domain])
        means.append(np.sum(losses) / max(len(losses), 1))
    return np.sum(means) / (SOURCES + 1)


@pytest.mark.parametrize("schedule", ["ramp", "constant"])
def test_value_and_gradients_are_those_of_the_derivation(schedule):
    with jax.enable_x64(True):
        value, metrics, (to_params, to_features) = slopes(schedule=schedule)
    now = NOW if schedule == "ramp" else STRENGTH
    assert value == pytest.approx(by_hand(PARAMS, FEATURES), rel=1e-9)
    assert metrics["reversal_strength"] == pytest.approx(now, rel=1e-6)
    # The discriminator learns at full weight; the features at minus the strength.
    assert_close(to_params, differences(lambda own: by_hand(own, FEATURES), PARAMS))
    of_features = differences(lambda own: by_hand(PARAMS, own), FEATURES)
    assert np.abs(of_features).max() > 1e-2
    assert_close(to_features, -now * of_features)


def test_pooled_labels_and_a_mean_over_examples_would_be_seen():
    value, _, (_, to_features) = slopes()
    pooled = np.minimum(NUMBERS // SOURCES * SOURCES, SOURCES)
    folk = differences(lambda own: by_hand(PARAMS, own, pooled), FEATURES)
    assert abs(by_hand(PARAMS, FEATURES, pooled) - value) > 0.01
    assert np.abs(-NOW * folk - to_features).max() > 1e-2
    rows = [logits_of(PARAMS, own) for own in FEATURES]
    losses = [np.log(np.exp(row).sum()) - row[own] for row, own in zip(rows, NUMBERS, strict=True)]
    assert abs(np.mean(losses) - value) > 0.01


def test_accuracy_is_the_mean_over_the_domains():
    params = {"hidden": {}, "logits": {"kernel": np.eye(3), "bias": np.zeros(3)}}
    features = np.eye(3)[[1, 0, 1, 0, 2, 2, 0]]
    metrics = slopes(params, features, hidden=())[1]
    assert metrics["accuracy_over_domains"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


def test_domains_that_no_one_can_tell_apart_cost_the_logarithm_of_their_number():
    params = jax.tree.map(np.zeros_like, PARAMS)
    assert slopes(params)[0] == pytest.approx(np.log(SOURCES + 1), rel=1e-6)


def test_the_discriminator_is_a_root_of_its_own():
    outputs = Outputs(jnp.ones((2, UNITS)), jnp.ones((2, 3)))
    params, state = multi_source_adversarial(options()).init(jax.random.key(0), {"source": outputs})
    assert state == {} and set(params) == {ROOT}
    assert jax.tree.map(np.shape, params[ROOT]) == jax.tree.map(np.shape, PARAMS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_source": 2}, "num_source is unknown; did you mean 'num_sources'?"),
        ({"num_sources": 0}, "num_sources is 0; it must be a whole number of at least 1"),
        ({"strength": float("nan")}, "strength is nan; it must be"),
        ({"schedule": "cosine"}, "schedule is 'cosine'; legal are ramp, constant"),
        ({"hidden": (0,)}, r"hidden\[0\] is 0; it must be a whole number of at least 1"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.alignment.multi_source_adversarial.{sentence}"):
        multi_source_adversarial(options(**changes))


def test_another_number_of_sources_is_refused():
    config = {"source": "moons+digits", "alignment": {"multi_source_adversarial": options()}}
    check_sources(config)
    with pytest.raises(ValueError, match="num_sources is 2, and config.source 'moons' names 1"):
        check_sources(config | {"source": "moons"})
