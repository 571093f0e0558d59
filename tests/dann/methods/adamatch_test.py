"""Tests of AdaMatch against a derivation in NumPy, batch normalisation included."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import fold_in_name
from configs.catalogue import METHODS
from tests import tiny

OPTIONS = METHODS["adamatch"][1]
SOURCE, TARGET, CLASSES, HIDDEN, PIXELS = 6, 8, 3, 5, 4
KEY, PROGRESS = jax.random.key(3), 0.2
THRESHOLD, WEIGHT = 0.9, 2.0
HPARAMS = {"adaptation.threshold": THRESHOLD, "adaptation.weight": WEIGHT}
DRAW = np.random.default_rng(0)
LABELS = DRAW.integers(0, CLASSES, SOURCE)
# The target is far away, so that the two passes of the source differ.
PICTURES = {
    domain: {view: DRAW.normal(shift, size=(rows, 2, 2, 1)) for view in ("image", "strong_image")}
    for domain, rows, shift in (("source", SOURCE, 0.0), ("target", TARGET, 2.0))
}
PARAMS = {
    "feature_extractor": {
        "dense_0": {"kernel": DRAW.normal(size=(PIXELS, HIDDEN)), "bias": np.zeros(HIDDEN)},
        "normalization_0": {
            "BatchNorm_0": {"scale": DRAW.uniform(0.5, 2, HIDDEN), "bias": DRAW.normal(size=HIDDEN)}
        },
    },
    "task_head": {
        "hidden": {},
        "logits": {"kernel": 0.3 * DRAW.normal(size=(HIDDEN, CLASSES)), "bias": np.zeros(CLASSES)},
    },
}
# As if the target's predictions favoured the first class so far.
STATE = {
    "source_share": np.array([0.3, 0.3, 0.4]),
    "target_shares": np.tile([0.6, 0.3, 0.1], (128, 1)),
}


@functools.cache
def method_of(policy="joint"):
    changes = {"model.normalization": policy, "model.options": {"hidden": (HIDDEN,)}}
    if policy == "group":
        changes["model.options"] = {"hidden": (8,)}
    return tiny.MAKERS["dann"](tiny.make_config("adamatch", changes), CLASSES)


def batch_of(pictures=PICTURES):
    batch = {domain: dict(views) for domain, views in pictures.items()}
    batch["source"]["label"] = LABELS.astype(np.int32)
    return jax.tree.map(jnp.asarray, batch)


def variables_of(params=PARAMS, state=STATE):
    stats = {"mean": np.zeros(HIDDEN), "var": np.ones(HIDDEN)}
    stats = {"feature_extractor": {"normalization_0": {"BatchNorm_0": stats}}}
    variables = {"params": params, "batch_stats": stats, "method_state": state}
    return jax.tree.map(jnp.asarray, variables)


@jax.jit
def slopes(params, variables, batch, progress, hparams, key):
    """The loss, what it returns beside it, and its gradient by the parameters."""

    def loss(params):
        return (
            method_of()
            .phases[0]
            .loss(
                {**variables, "params": params}, batch, key=key, progress=progress, hparams=hparams
            )
        )

    return jax.value_and_grad(loss, has_aux=True)(params)


def run(params=PARAMS, state=STATE, progress=PROGRESS, **hparams):
    with jax.enable_x64(True):
        own = {**HPARAMS, **{f"adaptation.{name}": value for name, value in hparams.items()}}
        variables = variables_of(params, state)
        given = (jnp.asarray(progress), jax.tree.map(jnp.asarray, own))
        (value, aux), gradient = slopes(variables["params"], variables, batch_of(), *given, KEY)
        return jax.tree.map(np.asarray, (value, aux, gradient))


@functools.cache
def interpolation():
    with jax.enable_x64(True):
        key = fold_in_name(KEY, "interpolation")
        return np.asarray(jax.random.uniform(key, (2 * SOURCE, CLASSES), jnp.float64))


def network(params, images):
    """Logits of one pass, and the moments of its hidden units."""
    extractor = params["feature_extractor"]
    norm = extractor["normalization_0"]["BatchNorm_0"]
    units = images.reshape(len(images), -1) @ extractor["dense_0"]["kernel"]
    units = units + extractor["dense_0"]["bias"]
    mean, variance = units.mean(0), units.var(0)
    units = (units - mean) / np.sqrt(variance + 1e-5) * norm["scale"] + norm["bias"]
    head = params["task_head"]["logits"]
    return np.maximum(units, 0) @ head["kernel"] + head["bias"], (mean, variance)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def losses_of(logits, labels):
    return -np.log(softmax(logits))[np.arange(len(labels)), labels]


def by_hand(
    params=PARAMS,
    state=STATE,
    progress=PROGRESS,
    *,
    share=None,
    source_share=None,
    relative=True,
    aligned=True,
    over_sure=False,
):
    """The loss, the share of sure pictures and the state; the options are folk versions of it."""
    (weak_s, strong_s), (weak_t, strong_t) = (own.values() for own in PICTURES.values())
    alone, _ = network(params, np.concatenate([weak_s, strong_s]))
    together, moments = network(params, np.concatenate([weak_s, strong_s, weak_t, strong_t]))
    share = interpolation() if share is None else share
    mixed = share * alone + (1 - share) * together[: 2 * SOURCE]
    task = (losses_of(mixed[:SOURCE], LABELS) + losses_of(mixed[SOURCE:], LABELS)).mean() / 2
    known = softmax(mixed[:SOURCE])
    predicted = softmax(together[2 * SOURCE : 2 * SOURCE + TARGET])
    new = {
        "source_share": 0.999 * state["source_share"] + 0.001 * known.mean(0),
        "target_shares": np.vstack([state["target_shares"][1:], predicted.mean(0)]),
    }
    q = predicted
    if aligned:
        shares = new["source_share"] if source_share is None else source_share
        q = q * (shares + 1e-6) / (new["target_shares"].mean(0) + 1e-6)
    q = q / q.sum(1, keepdims=True)
    sure = q.max(1) >= THRESHOLD * (known.max(1).mean() if relative else 1)
    lost = sure * losses_of(together[2 * SOURCE + TARGET :], q.argmax(1))
    target = lost.sum() / (sure.sum() if over_sure else TARGET)
    ramp = 0.5 - 0.5 * np.cos(np.pi * progress / 0.5) if progress < 0.5 else 1.0
    return task + WEIGHT * ramp * target, sure.mean(), new, moments


def test_the_loss_is_that_of_the_derivation():
    value, aux, _ = run()
    expected, sure, state, (mean, variance) = by_hand()
    assert 0 < sure < 1
    assert value == pytest.approx(expected, rel=1e-8)
    assert aux.metrics["adamatch/sure"] == pytest.approx(sure)
    for name, own in state.items():
        np.testing.assert_allclose(aux.method_state[name], own, 1e-9)
    # The statistics are those of the pass over both domains; the source's own pass leaves none.
    kept = aux.batch_stats["feature_extractor"]["normalization_0"]["BatchNorm_0"]
    np.testing.assert_allclose(kept["mean"], 0.1 * mean, 1e-6)
    np.testing.assert_allclose(kept["var"], 0.9 + 0.1 * variance, 1e-6)


def test_the_gradient_is_that_of_the_derivation():
    _, _, gradient = run()
    # Through both passes of the source, and through no label, mask or running mean.
    leaves, structure = jax.tree.flatten(PARAMS)
    for number, found in enumerate(jax.tree.leaves(gradient)):
        for place in np.ndindex(found.shape):
            ends = []
            for sign in (1, -1):
                moved = [np.array(leaf) for leaf in leaves]
                moved[number][place] += sign * 1e-6
                ends.append(by_hand(jax.tree.unflatten(structure, moved))[0])
            expected = (ends[0] - ends[1]) / 2e-6
            np.testing.assert_allclose(found[place], expected, 1e-4, 1e-7)


@pytest.mark.parametrize(
    ("progress", "strength"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 1.0), (1.0, 1.0)]
)
def test_the_target_counts_fully_from_half_of_the_run_on(progress, strength):
    value, aux, _ = run(progress=progress)
    assert aux.metrics["adamatch/strength"] == pytest.approx(WEIGHT * strength, abs=1e-12)
    assert value == pytest.approx(by_hand(progress=progress)[0], rel=1e-8)


@pytest.mark.parametrize(
    "folk",
    [
        {"share": np.ones((2 * SOURCE, CLASSES))},
        {"share": np.zeros((2 * SOURCE, CLASSES))},
        {"share": interpolation()[:, :1]},
        {"share": interpolation()[:1, :1]},
        {"source_share": np.bincount(LABELS, minlength=CLASSES) / SOURCE},
        {"relative": False},
        {"aligned": False},
        {"over_sure": True},
    ],
    ids=[
        *("only alone", "only together", "one draw a picture", "one draw a batch"),
        *("shares of labels", "fixed threshold", "not aligned", "mean over sure pictures"),
    ],
)
def test_folk_versions_would_be_seen(folk):
    assert abs(by_hand(**folk)[0] - run()[0]) > 1e-3


def test_the_running_means_are_remembered_from_step_to_step():
    state = STATE
    for _ in range(3):
        _, aux, _ = run(state=state)
        state, before = aux.method_state, state
        expected = by_hand(state=before)[2]
        np.testing.assert_allclose(state["source_share"], expected["source_share"], 1e-9)
        np.testing.assert_allclose(state["target_shares"], expected["target_shares"], 1e-9)
    np.testing.assert_array_equal(state["target_shares"][:-3], STATE["target_shares"][3:])


def test_without_shared_statistics_the_two_passes_of_the_source_are_one():
    method, batch = method_of("group"), batch_of()
    variables = jax.jit(method.init)(KEY, batch)
    assert {name: own.shape for name, own in variables["method_state"].items()} == {
        "source_share": (CLASSES,),
        "target_shares": (128, CLASSES),
    }
    hparams = {name: jnp.float32(value) for name, value in HPARAMS.items()}

    @jax.jit
    def loss(key):
        return method.phases[0].loss(
            variables, batch, key=key, progress=jnp.float32(0.5), hparams=hparams
        )[0]

    # Whatever is drawn, nothing lies between equal logits.
    assert loss(jax.random.key(0)) == loss(jax.random.key(1))


def test_members_of_a_population_keep_running_means_of_their_own():
    config, tables = tiny.make_config("adamatch"), tiny.make_tables(2)
    with tiny.quick_compilation():
        both = tiny.train(tiny.make_run(config, num_members=2, tables=tables), 4)
        alone = tiny.train(tiny.make_run(config, tables=tiny.take_members(tables, [0])), 4)
    for name, together in both.method_state.items():
        np.testing.assert_allclose(together[0], alone.method_state[name][0], 1e-5)
        assert np.abs(together[0] - together[1]).max() > 1e-6


def test_a_batch_holds_both_views_of_both_domains_and_no_target_label():
    assert method_of().needs == {
        "source": ("image", "strong_image", "label"),
        "target": ("image", "strong_image"),
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"treshold": 0.5}, "treshold is unknown; did you mean 'threshold'?"),
        ({"threshold": 2.0}, r"threshold is 2.0; it must lie in \[0, 1\]"),
        ({"weight": -1.0}, "weight is -1.0; it must be a finite number of at least 0"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    config = tiny.make_config("adamatch")
    config["adaptation"] |= changes
    with pytest.raises(ValueError, match=f"config.adaptation.{sentence}"):
        tiny.MAKERS["dann"](config, CLASSES)
