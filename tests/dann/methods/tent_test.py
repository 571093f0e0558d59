"""Tests of entropy minimisation over scales and biases, against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dann.method import make_method
from tests import tiny

CHANGES = {"model.options": {"hidden": (8,)}, "optimizer.weight_decay": 0.1}
LAYER = {"separate": "BatchNorm_0", "group": "GroupNorm_0"}


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


def config_of(policy, **changes):
    return tiny.make_config("tent", {**CHANGES, "model.normalization": policy, **changes})


def entropy_by_hand(params, images, policy, statistics=None):
    """Mean entropy of the predictions; moments of the batch, or of the groups of a picture."""
    extractor = params["feature_extractor"]
    value = images @ extractor["dense_0"]["kernel"] + extractor["dense_0"]["bias"]
    if policy == "group":
        groups = value.reshape(len(value), 4, -1)
        centred = groups - groups.mean(2, keepdims=True)
        value = (centred / np.sqrt(groups.var(2, keepdims=True) + 1e-6)).reshape(value.shape)
    else:
        mean, var = statistics or (value.mean(0), value.var(0))
        value = (value - mean) / np.sqrt(var + 1e-5)
    own = extractor["normalization_0"][LAYER[policy]]
    value = np.maximum(value * own["scale"] + own["bias"], 0)
    logits = value @ params["task_head"]["logits"]["kernel"] + params["task_head"]["logits"]["bias"]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return -(p * np.log(p)).sum(1).mean()


@pytest.mark.parametrize("policy", LAYER)
def test_value_and_gradient_are_those_of_the_derivation(policy):
    draw = np.random.default_rng(0)
    images = draw.normal(size=(6, 4, 4, 1))
    flat = images.reshape(6, 16)
    with jax.enable_x64(True):
        method = make_method(config_of(policy), tiny.NUM_CLASSES)
        batch = {"target": {"image": jnp.asarray(images)}}
        variables = tiny.to_float64(jax.jit(method.init)(jax.random.key(0), batch))
        own = variables["params"]["feature_extractor"]["normalization_0"][LAYER[policy]]
        own |= {name: jnp.asarray(draw.normal(size=8)) + 1 for name in ("scale", "bias")}

        def loss(params):
            return method.phases[0].loss(
                {**variables, "params": params},
                batch,
                key=jax.random.key(0),
                progress=jnp.asarray(0.0),
                hparams={},
            )[0]

        value, gradient = jax.jit(jax.value_and_grad(loss))(variables["params"])
        params = jax.tree.map(lambda leaf: np.array(leaf), variables["params"])
    assert float(value) == pytest.approx(entropy_by_hand(params, flat, policy), rel=1e-6)
    layer = params["feature_extractor"]["normalization_0"][LAYER[policy]]
    found = gradient["feature_extractor"]["normalization_0"][LAYER[policy]]
    for name in ("scale", "bias"):
        for unit in range(8):
            ends, before = [], layer[name][unit]
            for sign in (1, -1):
                layer[name][unit] = before + sign * 1e-6
                ends.append(entropy_by_hand(params, flat, policy))
            layer[name][unit] = before
            expected = (ends[0] - ends[1]) / 2e-6
            assert float(found[name][unit]) == pytest.approx(expected, rel=1e-4, abs=1e-8)
    if policy == "separate":
        # With the running statistics instead of the batch's it would be another loss.
        folk = entropy_by_hand(params, flat, policy, (np.zeros(8), np.ones(8)))
        assert abs(folk - float(value)) > 1e-2


@pytest.mark.parametrize("policy", LAYER)
def test_scales_and_biases_change_and_nothing_else_does(policy):
    run = tiny.make_run(config_of(policy), num_members=2)
    before, after = tiny.params_of(tiny.start(run)), tiny.params_of(tiny.train(run, 5))
    prefix = f"feature_extractor/normalization_0/{LAYER[policy]}/"
    for path, value in before.items():
        same = np.array_equal(value, after[path])
        assert same == (path not in (f"{prefix}scale", f"{prefix}bias")), path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model.normalization": "none"}, "is 'none', but tent trains scales and biases"),
        ({"model.normalization": "frozen"}, "is 'frozen', but tent .* the batch's own statistics"),
        ({"domains": ("source",)}, "tent sees target pictures alone"),
        ({"init_from.method": ""}, "tent adapts a trained network"),
    ],
)
def test_what_does_not_fit_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_method(tiny.make_config("tent", changes), tiny.NUM_CLASSES)


def test_freezing_what_it_trains_leaves_nothing():
    changes = {"optimizer.freeze": (".*/(scale|bias)",)}
    with pytest.raises(ValueError, match="every parameter that the method trains"):
        tiny.make_run(config_of("group", **changes))
