"""Tests of partial adversarial training against a derivation by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs import digits, image_folder
from configs.catalogue import TERMS
from dann.alignment.partial_adversarial import class_weights, partial_adversarial
from dann.method import make_method
from tests import tiny
from tests.derivation import differences

STRENGTH, GAMMA, PROGRESS = 0.7, 10.0, 0.12
NOW = STRENGTH * (2 / (1 + np.exp(-GAMMA * PROGRESS)) - 1)
ROOT = "domain_discriminator"
DOMAINS = ("source", "target")
UNITS, HIDDEN, CLASSES = 3, 4, 3
DRAW = np.random.default_rng(0)
# The domains differ in size.
ROWS = {"source": 5, "target": 4}
FEATURES = {name: DRAW.normal(size=(rows, UNITS)) for name, rows in ROWS.items()}
LABELS = np.array([2, 0, 0, 1, 2], np.int32)
WEIGHTS = np.array([1.0, 0.1, 0.4])
PARAMS = {
    "dense_0": {"kernel": DRAW.normal(size=(UNITS, HIDDEN)), "bias": DRAW.normal(size=HIDDEN)},
    "logit": {"kernel": DRAW.normal(size=(HIDDEN, 1)), "bias": np.array([-0.3])},
}


def options(**changes):
    return {**TERMS["pada"][1], "hidden": (HIDDEN,), **changes}


def view_of(features):
    source, target = (
        Outputs(jnp.asarray(features[name]), jnp.full((ROWS[name], CLASSES), jnp.nan))
        for name in DOMAINS
    )
    return View(source, target, {"source": {"label": jnp.asarray(LABELS)}}, lambda *_: source)


def evaluate(params, features, weights, schedule="ramp"):
    """Returns the term's value and its metrics."""
    state = {"class_weights": weights, "refreshes": jnp.int32(3)}
    value, after, metrics = partial_adversarial(options(schedule=schedule)).loss(
        {ROOT: params},
        state,
        view_of(features),
        key=jax.random.key(0),
        progress=jnp.float32(PROGRESS),
        hparams={"strength": jnp.asarray(STRENGTH), "gamma": jnp.asarray(GAMMA)},
    )
    assert after is state
    return value, metrics


def by_hand(params, features, of_source=WEIGHTS[LABELS], of_target=1.0):
    """Example by example, without a reversal."""
    total = 0.0
    for name, weights in (("source", of_source), ("target", np.full(ROWS["target"], of_target))):
        for weight, feature in zip(weights, features[name], strict=True):
            layer, last = params["dense_0"], params["logit"]
            hidden = np.maximum(feature @ layer["kernel"] + layer["bias"], 0)
            is_source = 1 / (1 + np.exp(-(hidden @ last["kernel"] + last["bias"])[0]))
            own = is_source if name == "source" else 1 - is_source
            total -= weight * np.log(own) / ROWS[name] / 2
    return total


@pytest.mark.parametrize("schedule", ["ramp", "constant"])
def test_value_and_gradients_are_those_of_the_derivation(schedule):
    with jax.enable_x64(True):
        gradient_of = jax.value_and_grad(
            functools.partial(evaluate, schedule=schedule), argnums=(0, 1), has_aux=True
        )
        given = jax.tree.map(jnp.asarray, (PARAMS, FEATURES, WEIGHTS))
        (value, metrics), (to_params, to_features) = jax.tree.map(
            np.asarray, jax.jit(gradient_of)(*given)
        )
    now = NOW if schedule == "ramp" else STRENGTH
    assert value == pytest.approx(by_hand(PARAMS, FEATURES), rel=1e-9)
    assert metrics["reversal_strength"] == pytest.approx(now, rel=1e-6)
    assert metrics["mean_class_weight"] == pytest.approx(0.5)
    of_params = differences(lambda own: by_hand(own, FEATURES), PARAMS)
    of_features = differences(lambda own: by_hand(PARAMS, own), FEATURES)
    assert min(np.abs(own).max() for own in of_features.values()) > 1e-2
    # The discriminator learns at full weight; the features at minus the strength.
    for own, expected, factor in (
        (to_params, of_params, 1),
        (to_features, of_features, -now),
    ):
        jax.tree.map(
            lambda left, right, factor=factor: np.testing.assert_allclose(
                left, factor * right, 1e-5, 1e-8
            ),
            own,
            expected,
        )


def test_the_folk_weights_would_be_seen():
    right = by_hand(PARAMS, FEATURES)
    own = WEIGHTS[LABELS]
    for of_source, of_target in (
        # DANN; the target weighted as the batch's source is; weights of mean 1 within the batch.
        (np.ones(5), 1.0),
        (own, own.mean()),
        (own / own.mean(), 1.0),
    ):
        assert abs(by_hand(PARAMS, FEATURES, of_source, of_target) / right - 1) > 1e-3


LOGITS = 2 * DRAW.normal(size=(6, CLASSES)) + np.array([1.0, 0.0, -1.0])


def test_class_weights_are_the_mean_prediction_over_its_largest_value():
    weights = np.asarray(class_weights(jnp.asarray(LOGITS, jnp.float32)))
    shares = [np.exp(row) / np.exp(row).sum() for row in LOGITS]
    mean = sum(shares) / len(shares)
    np.testing.assert_allclose(weights, mean / np.max(mean), 1e-5)
    # Neither those of sharpened predictions nor those of counted ones.
    sharp = np.exp(LOGITS / 0.1) / np.exp(LOGITS / 0.1).sum(1, keepdims=True)
    counts = np.bincount(LOGITS.argmax(1), minlength=CLASSES)
    for folk in (sharp.mean(0), counts):
        assert np.abs(folk / folk.max() - weights).max() > 0.05


def test_weights_are_one_until_the_second_refresh_and_from_target_predictions_then():
    term = partial_adversarial(options())
    outputs = {
        "source": {"logits": jnp.full((7, CLASSES), jnp.nan)},
        "target": {"logits": jnp.asarray(LOGITS, jnp.float32)},
    }
    first = {name: Outputs(jnp.ones((2, UNITS)), jnp.ones((2, CLASSES))) for name in DOMAINS}
    params, state = jax.jit(term.init)(jax.random.key(0), first)
    assert set(params) == {ROOT}
    assert term.refresh is not None and term.source_weight is not None
    assert term.refresh_every == 500
    seen = []
    for _ in range(3):
        state = term.refresh(state, outputs, {})
        seen.append(np.asarray(term.source_weight(state, view_of(FEATURES))))
    np.testing.assert_array_equal(seen[0], 1)
    expected = class_weights(outputs["target"]["logits"])
    for own in seen[1:]:
        np.testing.assert_array_equal(own, np.asarray(expected)[LABELS])


@functools.cache
def after(row, steps, **changes):
    """Parameters and the weights of the classes, after refreshes before steps 0 and 5."""
    term = TERMS[row][0]
    config = tiny.make_config(row, {f"alignment.{term}.{key}": own for key, own in changes.items()})
    run = tiny.make_run(config, method=make_method(config, tiny.NUM_CLASSES))
    with tiny.quick_compilation():
        state = tiny.start(run)
        for step in range(0, steps, 5):
            if run.program.refresh_every and step % run.program.refresh_every == 0:
                state = run.program.refresh(state, run.tables)
            state = run.program.chunk(state, run.tables, step, 5)[0]
    return tiny.params_of(state), state.method_state.get(term, {}).get("class_weights")


def test_until_the_second_refresh_the_run_is_that_of_dann():
    dann, _ = after("dann", 10)
    late, weights = after("pada", 10)
    np.testing.assert_array_equal(weights, 1)
    for path, value in dann.items():
        np.testing.assert_allclose(late[path], value, 1e-5, 1e-6, err_msg=path)
    early, weights = after("pada", 10, refresh_every=5)
    assert np.asarray(weights).max() == 1 and np.asarray(weights).min() < 0.9
    for root in ("feature_extractor", "task_head", ROOT):
        paths = [path for path in dann if path.startswith(root)]
        assert max(np.abs(early[path] - dann[path]).max() for path in paths) > 1e-4


def test_weights_scale_the_sources_cross_entropy():
    config = tiny.make_config("pada")
    method = make_method(config, tiny.NUM_CLASSES)
    batch = {
        "source": {
            "image": jnp.asarray(DRAW.random((8, 4, 4, 1)), jnp.float32),
            "label": jnp.arange(8, dtype=jnp.int32) % 3,
        },
        "target": {"image": jnp.asarray(DRAW.random((8, 4, 4, 1)), jnp.float32)},
    }
    variables = jax.jit(method.init)(jax.random.key(0), batch)
    values = {"weight": 1.0, "strength": 1.0, "gamma": 10.0}
    hparams = {
        f"alignment.partial_adversarial.{key}": jnp.float32(own) for key, own in values.items()
    }

    @jax.jit
    def task_loss(weights):
        state = {"class_weights": weights, "refreshes": jnp.int32(2)}
        _, aux = method.phases[0].loss(
            variables | {"method_state": {"partial_adversarial": state}},
            batch,
            key=jax.random.key(0),
            progress=jnp.float32(0.5),
            hparams=hparams,
        )
        return aux.metrics["task_loss"]

    by_class = [float(task_loss(jnp.eye(3, dtype=jnp.float32)[k])) for k in range(3)]
    weights = np.array([1.0, 0.5, 0.25], np.float32)
    # A mean over examples, whatever their weights sum to.
    assert float(task_loss(jnp.asarray(weights))) == pytest.approx(weights @ by_class, rel=1e-5)
    assert float(task_loss(jnp.ones(3))) == pytest.approx(sum(by_class), rel=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda row: digits.get_config(f"method={row}"),
        lambda row: digits.get_config(f"source=svhn,target=mnist,method={row}"),
        lambda row: digits.get_config(f"source=mnist,target=mnist_m,protocol=modern,method={row}"),
        lambda row: image_folder.get_config(f"source=a,target=b,method={row}"),
    ],
)
def test_presets_are_those_of_dann(make):
    dann, pada = make("dann").to_dict(), make("pada").to_dict()
    assert pada["optimizer"] == dann["optimizer"]
    theirs, own = dann["alignment"]["domain_adversarial"], pada["alignment"]["partial_adversarial"]
    assert all(own[key] == theirs[key] for key in set(own) & set(theirs))


def test_beside_dann_it_is_refused():
    config = tiny.make_config("dann+pada")
    with pytest.raises(ValueError, match="owns the root domain_discriminator, which is taken"):
        tiny.make_run(config, method=make_method(config, tiny.NUM_CLASSES))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"class_weights": 1.0}, "class_weights is unknown"),
        ({"strength": float("nan")}, "strength is nan; it must be"),
        ({"schedule": "cosine"}, "schedule is 'cosine'; legal are ramp, constant"),
        ({"refresh_every": 0}, "refresh_every is 0; it must be a whole number of at least 1"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.alignment.partial_adversarial.{sentence}"):
        partial_adversarial(options(**changes))
