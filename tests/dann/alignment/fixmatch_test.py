"""Tests of the FixMatch term against a derivation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.fixmatch import fixmatch

NAME, OPTIONS = TERMS["fixmatch"]
THRESHOLD = 0.6
DRAW = np.random.default_rng(0)
CLASSES, INPUTS = 3, 4
WEAK = DRAW.normal(size=(7, CLASSES))
# Three pictures are sure, of different classes; one of them lies exactly at the threshold.
WEAK[[0, 2]] = [[3.0, 0.0, -1.0], [-2.0, 0.5, 4.0]]
WEAK[4] = np.log([0.2, THRESHOLD, 0.2])
SURE = [0, 2, 4]
IMAGES = DRAW.normal(size=(7, INPUTS))
KERNEL = -DRAW.normal(size=(INPUTS, CLASSES))


def evaluate(weak, kernel, threshold):
    """Returns the term's value and its metrics; a linear network sees the strong views."""
    term = fixmatch(OPTIONS)

    def forward(images, domain):
        assert domain == "target"
        return Outputs(images, images @ kernel)

    target = Outputs(jnp.zeros((len(weak), INPUTS)), weak)
    batch = {"target": {"image": jnp.full((7, INPUTS), jnp.nan), "strong_image": IMAGES}}
    value, method_state, metrics = term.loss(
        {},
        {},
        View(target, target, jax.tree.map(jnp.asarray, batch), forward),
        key=jax.random.key(0),
        progress=jnp.float32(0.5),
        hparams={"threshold": threshold},
    )
    assert method_state == {}
    return value, metrics


@jax.jit
def slopes(weak, kernel, threshold):
    """The term's value, metrics and gradients by the weak logits and by the kernel."""
    (value, metrics), gradients = jax.value_and_grad(evaluate, argnums=(0, 1), has_aux=True)(
        weak, kernel, threshold
    )
    return value, metrics, gradients


def run(threshold=THRESHOLD):
    with jax.enable_x64(True):
        # A hair below, so that rounding does not decide about the picture that lies there.
        given = [jnp.asarray(own) for own in (WEAK, KERNEL, threshold - 1e-12)]
        value, metrics, gradients = slopes(*given)
        return float(value), metrics, jax.tree.map(np.asarray, gradients)


def softmax(row):
    powers = np.exp(row - row.max())
    return powers / powers.sum()


def by_hand(threshold=THRESHOLD, *, labels=WEAK, divisor=len):
    """The sum, picture by picture, and its gradient by the kernel."""
    losses, gradient = [], np.zeros_like(KERNEL)
    is_sure = [int(softmax(own).max() >= threshold - 1e-12) for own in WEAK]
    for sure, image, row in zip(is_sure, IMAGES, labels, strict=True):
        strong, label = softmax(image @ KERNEL), row.argmax()
        losses.append(-sure * np.log(strong[label]))
        gradient += sure * np.outer(image, strong - np.eye(CLASSES)[label])
    count = divisor(is_sure)
    return sum(losses) / count, gradient / count


@pytest.mark.parametrize("threshold", [THRESHOLD, 0.0, 0.99])
def test_value_and_gradients_are_those_of_the_derivation(threshold):
    value, metrics, (to_weak, to_kernel) = run(threshold)
    expected, gradient = by_hand(threshold)
    assert value == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(to_kernel, gradient, 1e-9, 1e-12)
    # The view that gives the label is not pulled towards anything.
    assert (to_weak == 0).all()
    sure = {0.0: 7, THRESHOLD: len(SURE), 0.99: 0}[threshold]
    assert float(metrics["sure"]) == pytest.approx(sure / 7)


def test_folk_versions_would_be_seen():
    value, gradient = by_hand()
    # Divided by the number of sure pictures instead of that of all.
    folk, _ = by_hand(divisor=sum)
    assert folk == pytest.approx(value * 7 / len(SURE)) and abs(folk - value) > 0.1
    # The strong view labels itself.
    own, own_gradient = by_hand(labels=IMAGES @ KERNEL)
    assert abs(own - value) > 0.1 and np.abs(own_gradient - gradient).max() > 0.01


def test_where_none_is_sure_nothing_is_learnt():
    value, _, (_, to_kernel) = run(0.999)
    assert value == 0 and (to_kernel == 0).all()


def test_only_a_strong_view_of_the_target_is_asked_for():
    assert fixmatch(OPTIONS).needs == {"target": ("strong_image",)}
    assert fixmatch(OPTIONS).init(jax.random.key(0), {}) == ({}, {})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"treshold": 0.5}, "treshold is unknown; did you mean 'threshold'?"),
        ({"threshold": 1.5}, r"threshold is 1.5; it must lie in \[0, 1\]"),
        ({"weight": -1.0}, "weight is -1.0; it must be a finite number of at least 0"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.alignment.{NAME}.{sentence}"):
        fixmatch({**OPTIONS, **changes})
