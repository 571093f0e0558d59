"""Tests of the term that agrees with the averaged weights, against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.mean_teacher import mean_teacher
from tests import tiny

NAME, OPTIONS = TERMS["mean_teacher"]
THRESHOLD = 0.8
DRAW = np.random.default_rng(0)
CLASSES, INPUTS, ROWS = 3, 4, 7
WEAK, STRONG = (DRAW.normal(size=(ROWS, INPUTS)) for _ in range(2))
STUDENT, TEACHER = (2 * DRAW.normal(size=(INPUTS, CLASSES)) for _ in range(2))


def evaluate(student, teacher, threshold):
    """Returns the term's value and its metrics; both networks are linear."""
    asked = []

    def forward(images, domain):
        asked.append(("student", domain))
        return Outputs(images, images @ student)

    def average(images, domain):
        asked.append(("teacher", domain))
        # What the objective promises of it.
        return jax.lax.stop_gradient(Outputs(images, images @ teacher))

    nothing = Outputs(jnp.full((ROWS, INPUTS), jnp.nan), jnp.full((ROWS, CLASSES), jnp.nan))
    batch = {"target": {"image": jnp.asarray(WEAK), "strong_image": jnp.asarray(STRONG)}}
    value, method_state, metrics = mean_teacher(OPTIONS).loss(
        {},
        {},
        View(nothing, nothing, batch, forward, average),
        key=jax.random.key(0),
        progress=jnp.float32(0.5),
        hparams={"threshold": threshold},
    )
    assert method_state == {} and sorted(asked) == [("student", "target"), ("teacher", "target")]
    return value, metrics


slopes = jax.jit(jax.value_and_grad(evaluate, argnums=(0, 1), has_aux=True))


def run(threshold=THRESHOLD):
    with jax.enable_x64(True):
        given = [jnp.asarray(own) for own in (STUDENT, TEACHER, threshold)]
        (value, metrics), gradients = slopes(*given)
        return float(value), metrics, jax.tree.map(np.asarray, gradients)


def softmax(row):
    powers = np.exp(row - row.max())
    return powers / powers.sum()


def by_hand(student, teacher=TEACHER, threshold=THRESHOLD, *, swap=False, over_sure=False):
    """Picture by picture; `swap` shows the views the other way round."""
    weak, strong = (STRONG, WEAK) if swap else (WEAK, STRONG)
    total, sure = 0.0, 0
    for row in range(ROWS):
        taught = softmax(weak[row] @ teacher)
        if taught.max() > threshold:
            sure += 1
            total += ((softmax(strong[row] @ student) - taught) ** 2).sum() / CLASSES
    return total / (sure if over_sure else ROWS), sure


def differences(function, kernel):
    """The gradient of a function of a matrix, by central differences."""
    gradient = np.zeros_like(kernel)
    for place in np.ndindex(kernel.shape):
        step = np.zeros_like(kernel)
        step[place] = 1e-6
        gradient[place] = (function(kernel + step) - function(kernel - step)) / 2e-6
    return gradient


@pytest.mark.parametrize("threshold", [THRESHOLD, 0.0])
def test_value_and_gradients_are_those_of_the_derivation(threshold):
    value, metrics, (to_student, to_teacher) = run(threshold)
    expected, sure = by_hand(STUDENT, threshold=threshold)
    assert value == pytest.approx(expected, rel=1e-9)
    slope = differences(lambda own: by_hand(own, threshold=threshold)[0], STUDENT)
    np.testing.assert_allclose(to_student, slope, 1e-5, 1e-8)
    assert np.abs(slope).max() > 1e-2
    assert (to_teacher == 0).all()
    assert 0 < sure < ROWS or (threshold == 0 and sure == ROWS)
    assert float(metrics["sure"]) == pytest.approx(sure / ROWS)
    same = (STRONG @ STUDENT).argmax(1) == (WEAK @ TEACHER).argmax(1)
    assert float(metrics["agreement"]) == pytest.approx(same.mean())


def test_folk_versions_would_be_seen():
    value, _ = by_hand(STUDENT)
    # Without the mask, divided by the pictures that it leaves, and with the views exchanged.
    for folk in (
        by_hand(STUDENT, threshold=0.0),
        by_hand(STUDENT, over_sure=True),
        by_hand(STUDENT, swap=True),
    ):
        assert abs(folk[0] - value) > 5e-3


def test_at_a_threshold_of_one_nothing_is_learnt():
    value, _, (to_student, _) = run(1.0)
    assert value == 0 and (to_student == 0).all()


def test_the_teacher_of_a_run_is_the_average_and_not_the_weights():
    config = tiny.make_config("mean_teacher", {"alignment.mean_teacher.threshold": 0.0})
    method = tiny.MAKERS["dann"](config, tiny.NUM_CLASSES)
    draw = np.random.default_rng(0)
    images = {name: jnp.asarray(draw.random((8, 4, 4, 1)), jnp.float32) for name in "swt"}
    batch = {
        "source": {"image": images["s"], "label": jnp.zeros(8, jnp.int32)},
        "target": {"image": images["w"], "strong_image": images["t"]},
    }

    @jax.jit
    def value(key, scale):
        variables = method.init(jax.random.key(key), batch)
        params = jax.tree.map(lambda leaf: leaf * scale, variables["params"])
        average = {"params": params, "batch_stats": variables["batch_stats"]}
        hparams = {f"alignment.mean_teacher.{name}": jnp.float32(0) for name in OPTIONS}
        aux = method.phases[0].loss(
            {**variables, "ema": average},
            batch,
            key=jax.random.key(0),
            progress=jnp.float32(0.5),
            hparams=hparams,
        )[1]
        student = jax.nn.softmax(method.predict(variables, images["t"], "target").logits)
        teacher = jax.nn.softmax(method.predict(average, images["w"], "target").logits)
        return aux.metrics["mean_teacher/loss"], jnp.mean((student - teacher) ** 2)

    # The embedded policy has no batch statistics: student and evaluation are the same function.
    for scale in (1.0, 3.0):
        own, expected = value(0, scale)
        np.testing.assert_allclose(own, expected, 1e-5)
    assert value(0, 1.0)[0] != value(0, 3.0)[0]


def test_it_asks_for_a_strong_view_and_for_an_average():
    term = mean_teacher(OPTIONS)
    assert term.needs == {"target": ("strong_image",)} and term.needs_average
    assert term.init(jax.random.key(0), {}) == ({}, {})


def test_the_default_threshold_is_the_authors():
    assert OPTIONS["threshold"] == pytest.approx(1 - 10**-1.5, abs=5e-4)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"treshold": 0.5}, "treshold is unknown; did you mean 'threshold'?"),
        ({"threshold": -0.5}, r"threshold is -0.5; it must lie in \[0, 1\]"),
        ({"weight": float("inf")}, "weight is inf; it must be a finite number of at least 0"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.alignment.{NAME}.{sentence}"):
        mean_teacher({**OPTIONS, **changes})
