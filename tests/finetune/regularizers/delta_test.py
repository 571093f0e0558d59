"""Tests of DELTA against sums by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Start
from common.training.task_loss import pixel_cross_entropy
from configs.catalogue import REGULARIZERS
from finetune.regularizers.delta import attend, delta
from tests.derivation import assert_close, differences
from tests.finetune.view import DOMAIN, numbers, outputs, see, slopes

FACTOR = 0.3
SHAPES = {"stage_0": (4, 2, 3, 5), "dense/stage_0": (4, 6)}
NOW = {name: numbers(*shape, seed=1) for name, shape in SHAPES.items()}
BEFORE = {name: numbers(*shape, seed=2) for name, shape in SHAPES.items()}
HEAD = {"task_head": {"logits": {"kernel": numbers(6, 3), "bias": numbers(3)}}}
WEIGHTS = {"stage_0": np.array([0.5, 1.5, 1, 0.2, 1.8]), "dense": {"stage_0": np.ones(6)}}


def options(**changes):
    return {**REGULARIZERS["delta"], **changes}


def evaluate(**changes):
    rows = numbers(4, 6), numbers(4, 3)
    return slopes(
        delta(options(**changes)),
        lambda given: see(outputs(*rows, given), before=outputs(*rows, BEFORE)),
        HEAD,
        NOW,
        state=jax.tree.map(jnp.asarray, WEIGHTS),
        head_factor=FACTOR,
    )


def by_hand(head, now, *, attention=True, names=tuple(SHAPES), over_positions=True):
    total = 0.0
    for name in names:
        for own, before in zip(now[name], BEFORE[name], strict=True):
            own, before = (maps.reshape(-1, maps.shape[-1]) for maps in (own, before))
            weights = (
                WEIGHTS["stage_0"] if attention and name == "stage_0" else np.ones(own.shape[1])
            )
            for channel, weight in enumerate(weights):
                norm = ((own[:, channel] - before[:, channel]) ** 2).sum()
                total += weight * norm / (len(own) if over_positions else 1) / 4
    squares = sum((leaf**2).sum() for leaf in jax.tree.leaves(head))
    return 0.5 * total + FACTOR * 0.5 * squares


@pytest.mark.parametrize("attention", [True, False])
def test_value_and_gradients_are_those_of_the_sums(attention):
    value, metrics, gradients = evaluate(attention=attention)
    assert value == pytest.approx(by_hand(HEAD, NOW, attention=attention), rel=1e-6)
    assert_close(
        gradients[0], differences(lambda own: by_hand(own, NOW, attention=attention), HEAD)
    )
    assert_close(
        gradients[1], differences(lambda own: by_hand(HEAD, own, attention=attention), NOW)
    )
    assert set(metrics) == {f"{name}_distance" for name in SHAPES}


def test_named_layers_alone_are_compared():
    value, metrics, _ = evaluate(layers=("stage_0",))
    assert value == pytest.approx(by_hand(HEAD, NOW, names=("stage_0",)), rel=1e-6)
    assert set(metrics) == {"stage_0_distance"}


def test_a_sum_over_the_positions_would_be_seen():
    assert by_hand(HEAD, NOW, over_positions=False) > 2 * evaluate()[0]


def attention_by_hand(increases):
    powers = np.exp((increases - np.mean(increases)) / np.std(increases) / 5)
    return len(powers) * powers / powers.sum()


def test_attention_is_the_softmax_of_standardised_increases_over_five():
    increases = np.array([0.1, 0.5, -0.2, 0.0], np.float32)
    weigh = jax.jit(attend)
    np.testing.assert_allclose(weigh(increases), attention_by_hand(increases), 1e-5)
    np.testing.assert_array_equal(weigh(np.full(4, 0.7, np.float32)), np.ones(4))


def test_increases_are_those_of_the_loss_with_each_channel_off():
    # A network of one layer of three channels, which its head adds up with signs.
    images, signs = numbers(6, 3), np.array([[1.0, -1.0], [0.1, 0.3], [-2.0, 1.0]])
    labels = (images @ signs).argmax(1)

    def predict(pictures, domain, *, layers=(), masks=None):
        assert domain == DOMAIN
        maps = pictures * (masks or {}).get("dense/stage_0", jnp.ones(3))[None]
        return outputs(maps, maps @ jnp.asarray(signs), {"dense/stage_0": maps})

    def loss(maps):
        logits = maps @ signs
        chosen = logits[np.arange(len(maps)), labels[: len(maps)]]
        return (np.log(np.exp(logits).sum(1)) - chosen).mean()

    for examples in (4, 6):
        regularizer = delta(options(examples=examples))
        assert regularizer.prepare is not None
        with jax.enable_x64(True):
            own = {"image": jnp.asarray(images), "label": jnp.asarray(labels)}
            prepare = jax.jit(partial(regularizer.prepare, Start({}, predict)))
            found = prepare({DOMAIN: own}, {})
        rows = images[:examples]
        off = [loss(rows * (np.arange(3) != channel)) - loss(rows) for channel in range(3)]
        np.testing.assert_allclose(found["dense"]["stage_0"], attention_by_hand(off), 1e-4)
    # A channel that matters weighs more than one that does not.
    assert found["dense"]["stage_0"][2] > found["dense"]["stage_0"][1]


def test_increases_of_pixels_are_those_of_the_pixels_with_a_label():
    maps, signs = numbers(3, 2, 2, 3), np.array([[1.0, -1.0], [0.1, 0.3], [-2.0, 1.0]])
    labels = np.where(numbers(3, 2, 2, seed=4) > 0, (maps @ signs).argmax(-1), -1)
    assert 0 < (labels < 0).sum() < labels.size

    def predict(pictures, domain, *, layers=(), masks=None):
        own = pictures * (masks or {}).get("stage_0", jnp.ones(3))[None, None, None]
        return outputs(own.mean((1, 2)), own @ jnp.asarray(signs), {"stage_0": own})

    def loss(channels):
        logits, known = (maps * channels) @ signs, labels >= 0
        chosen = np.take_along_axis(logits, labels[..., None], -1)[..., 0]
        return (np.log(np.exp(logits).sum(-1)) - chosen)[known].mean()

    regularizer = delta(options(), pixel_cross_entropy)
    assert regularizer.prepare is not None
    with jax.enable_x64(True):
        own = {"image": jnp.asarray(maps), "label": jnp.asarray(labels)}
        prepare = jax.jit(partial(regularizer.prepare, Start({}, predict)))
        found = prepare({DOMAIN: own}, {})["stage_0"]
    off = [loss(np.arange(3) != channel) - loss(np.ones(3)) for channel in range(3)]
    np.testing.assert_allclose(found, attention_by_hand(off), 1e-4)


def test_without_attention_nothing_is_computed_before_training():
    assert delta(options(attention=False)).prepare is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"alpha": 1.0}, "alpha is unknown; legal are weight, head_factor, layers, attention"),
        ({"head_factor": -1.0}, "head_factor is -1.0; it must be a finite number of at least 0"),
        ({"examples": 0}, "examples is 0; it must be a whole number of at least 1"),
        ({"attention": "yes"}, "attention is 'yes'; it must be True or False"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"config.regularization.delta.{sentence}"):
        delta(options(**changes))
