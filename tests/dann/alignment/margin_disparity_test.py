"""Tests of the margin disparity discrepancy against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.margin_disparity import margin_disparity
from tests.derivation import assert_close, differences

STRENGTH, GAMMA, PROGRESS, MARGIN_FACTOR = 0.1, 10.0, 0.12, 4.0
NOW = STRENGTH * (2 / (1 + np.exp(-GAMMA * PROGRESS)) - 1)
ROOT = "adversarial_head"
DOMAINS = ("source", "target")
UNITS, HIDDEN, CLASSES = 2, 5, 3
DRAW = np.random.default_rng(0)
# The domains differ in size.
ROWS = {"source": 5, "target": 4}
FEATURES = {name: DRAW.normal(size=(rows, UNITS)) for name, rows in ROWS.items()}
LOGITS = {name: DRAW.normal(size=(rows, CLASSES)) for name, rows in ROWS.items()}
PARAMS = {
    "hidden": {
        "dense_0": {"kernel": DRAW.normal(size=(UNITS, HIDDEN)), "bias": DRAW.normal(size=HIDDEN)}
    },
    "logits": {"kernel": DRAW.normal(size=(HIDDEN, CLASSES)), "bias": DRAW.normal(size=CLASSES)},
}


def options(**changes):
    return {**TERMS["mdd"][1], "hidden": (HIDDEN,), **changes}


def evaluate(params, features, logits, *, changes=None, factor=MARGIN_FACTOR):
    """Returns the term's value and its metrics."""
    source, target = (
        Outputs(jnp.asarray(features[name]), jnp.asarray(logits[name])) for name in DOMAINS
    )
    value, method_state, metrics = margin_disparity(options(**(changes or {}))).loss(
        {ROOT: params},
        {},
        View(source, target, {}, lambda *_: source),
        key=jax.random.key(0),
        progress=jnp.float32(PROGRESS),
        hparams={
            "strength": jnp.asarray(STRENGTH),
            "gamma": jnp.asarray(GAMMA),
            "margin_factor": jnp.asarray(factor),
        },
    )
    assert method_state == {}
    return value, metrics


def slopes(params=PARAMS, features=FEATURES, logits=LOGITS, **changes):
    """The term's value, metrics, and gradients by parameters, features and logits."""
    (value, metrics), gradients = jax.jit(
        jax.value_and_grad(
            lambda *given: evaluate(*given, **changes), argnums=(0, 1, 2), has_aux=True
        )
    )(*(jax.tree.map(jnp.asarray, tree) for tree in (params, features, logits)))
    return float(value), metrics, jax.tree.map(np.asarray, gradients)


def softmax(row):
    powers = np.exp(row - row.max())
    return powers / powers.sum()


def by_hand(params, features, logits=LOGITS, *, soft=False):
    """Example by example, without a reversal; `soft` takes predictions instead of their argmax."""
    total = 0.0
    for name, factor in (("source", MARGIN_FACTOR), ("target", 1.0)):
        for feature, main in zip(features[name], logits[name], strict=True):
            layer = params["hidden"]["dense_0"]
            hidden = np.maximum(feature @ layer["kernel"] + layer["bias"], 0)
            own = softmax(hidden @ params["logits"]["kernel"] + params["logits"]["bias"])
            label = softmax(main) if soft else np.eye(CLASSES)[main.argmax()]
            losses = -np.log(own) if name == "source" else -np.log(1 - own)
            total += factor * (label * losses).sum() / ROWS[name]
    return total


@pytest.mark.parametrize("schedule", ["ramp", "constant"])
def test_value_and_gradients_are_those_of_the_derivation(schedule):
    with jax.enable_x64(True):
        value, metrics, gradients = slopes(changes={"schedule": schedule})
    to_params, to_features, to_logits = gradients
    now = NOW if schedule == "ramp" else STRENGTH
    assert value == pytest.approx(by_hand(PARAMS, FEATURES), rel=1e-9)
    assert metrics["reversal_strength"] == pytest.approx(now, rel=1e-6)
    # The adversarial head learns at full weight; the features at minus the strength.
    assert_close(to_params, differences(lambda own: by_hand(own, FEATURES), PARAMS))
    of_features = differences(lambda own: by_hand(PARAMS, own), FEATURES)
    assert min(np.abs(own).max() for own in of_features.values()) > 1e-2
    assert_close(to_features, {name: -now * own for name, own in of_features.items()})
    # The classes that the task head takes have no gradient.
    assert all((own == 0).all() for own in to_logits.values())


def test_a_gradient_through_the_predicted_class_would_be_seen():
    folk = differences(lambda own: by_hand(PARAMS, FEATURES, own, soft=True), LOGITS)
    assert min(np.abs(own).max() for own in folk.values()) > 1e-2
    folk = by_hand(PARAMS, FEATURES, soft=True)
    assert abs(folk - slopes()[0]) > 0.1


def test_the_strength_is_that_of_the_authors_at_every_step():
    # gamma = steps / 1000; step 1200 of 10,000.
    assert slopes()[1]["reversal_strength"] == pytest.approx(
        0.1 * (2 / (1 + np.exp(-1200 / 1000)) - 1), rel=1e-5
    )


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4, 1e30])
def test_sure_heads_have_finite_values_and_gradients(scale):
    # Features pass straight through to the logits of the adversarial head.
    params = {
        "hidden": {},
        "logits": {"kernel": np.eye(CLASSES, dtype=np.float32), "bias": np.zeros(3, np.float32)},
    }
    rows = scale * np.array([[1, -1, 0], [0, 1, 1], [-1, -1, 1]], np.float32)
    both = {"source": rows, "target": rows}
    value, _, gradients = slopes(params, both, both, changes={"hidden": ()}, factor=0.0)
    largest = rows.astype(float)[np.arange(3), rows.argmax(1)]
    others = np.where(np.eye(CLASSES)[rows.argmax(1)] > 0, -np.inf, rows.astype(float))
    gap = largest - np.logaddexp.reduce(others, axis=1)
    assert value == pytest.approx(np.logaddexp(0, gap).mean(), rel=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    if scale > 1:
        # log(1 - softmax), taken literally, is not finite for the same logits.
        shares = jax.nn.softmax(jnp.asarray(rows))
        assert not np.isfinite(np.asarray(jnp.log(1 - shares))).all()
        # And the gradient does not vanish where the head is sure of the task head's class.
        assert np.abs(gradients[1]["target"]).max() == pytest.approx(NOW / 3, rel=1e-3)


def test_agreement_is_the_share_of_examples_on_which_the_heads_take_one_class():
    params = {"hidden": {}, "logits": {"kernel": np.eye(2), "bias": np.zeros(2)}}
    one, other = [1.0, 0.0], [0.0, 1.0]
    features = {"source": np.array([one, one, other, one]), "target": np.array([one, other])}
    logits = {"source": np.array([one, other, other, one]), "target": np.array([other, one])}
    metrics = slopes(params, features, logits, changes={"hidden": ()})[1]
    assert (metrics["source_agreement"], metrics["target_agreement"]) == (0.75, 0)


def test_the_head_is_a_root_of_its_own():
    outputs = Outputs(jnp.ones((2, UNITS)), jnp.ones((2, CLASSES)))
    params, state = margin_disparity(options()).init(jax.random.key(0), {"source": outputs})
    assert state == {} and set(params) == {ROOT}
    assert jax.tree.map(np.shape, params[ROOT]) == jax.tree.map(np.shape, PARAMS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"margin": 2.0}, "margin is unknown; did you mean 'margin_factor'?"),
        ({"margin_factor": -1.0}, "margin_factor is -1.0; it must be a finite number of at least"),
        ({"strength": float("nan")}, "strength is nan; it must be"),
        ({"schedule": "cosine"}, "schedule is 'cosine'; legal are ramp, constant"),
        ({"hidden": (0,)}, r"hidden\[0\] is 0; it must be a whole number of at least 1"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.alignment.margin_disparity.{sentence}"):
        margin_disparity(options(**changes))


def test_a_task_of_one_class_is_refused():
    outputs = Outputs(jnp.zeros((2, UNITS)), jnp.zeros((2, 1)))
    with pytest.raises(ValueError, match="needs a task of at least 2 classes; this one has 1"):
        margin_disparity(options()).init(jax.random.key(0), {"source": outputs})
