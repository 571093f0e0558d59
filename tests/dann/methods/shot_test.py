"""Tests of source hypothesis transfer, against a derivation by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dann.method import make_method
from dann.methods.shot import pseudo_labels
from tests import tiny

WEIGHT = "adaptation.pseudo_label_weight"
DRAW = np.random.default_rng(3)
FEATURES, LOGITS = np.abs(DRAW.normal(size=(30, 5))), 2 * DRAW.normal(size=(30, 4))
LOGITS[:, 3] = -1.0  # some weight, and nobody's first choice


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def labels_by_hand(features, logits, *, one=1.0, unit=True, skip=True, rounds=2, weighted=True):
    """Example by example and class by class; what is not the default is a folk version."""
    count, classes = logits.shape
    rows = np.hstack([features, np.full((count, 1), one)])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit else rows
    taken = logits.argmax(1)
    shares = softmax(logits) if weighted else np.eye(classes)[taken]
    for _ in range(rounds):
        present = [k for k in range(classes) if not skip or (taken == k).any()]
        centroids = {k: shares[:, k] @ rows / (1e-8 + shares[:, k].sum()) for k in present}
        distances = [
            [1 - row @ c / np.linalg.norm(row) / np.linalg.norm(c) for c in centroids.values()]
            for row in rows
        ]
        taken = np.array([present[int(np.argmin(own))] for own in distances])
        shares = np.eye(classes)[taken]
    return taken


def test_pseudo_labels_are_those_of_the_derivation():
    found = np.asarray(jax.jit(pseudo_labels)(jnp.asarray(FEATURES), jnp.asarray(LOGITS)))
    np.testing.assert_array_equal(found, labels_by_hand(FEATURES, LOGITS))
    assert set(found) < set(range(4)) and 3 not in found


@pytest.mark.parametrize(
    "folk",
    [{"skip": False, "rounds": 1}, {"rounds": 1}, {"one": 0.0}, {"unit": False}, {"rounds": 0}],
    ids=str,
)
def test_folk_versions_of_the_labels_would_be_seen(folk):
    assert (labels_by_hand(FEATURES, LOGITS, **folk) != labels_by_hand(FEATURES, LOGITS)).any()


@functools.cache
def run_of(num_members=1):
    changes = {"adaptation.refresh_every": 5, "optimizer.weight_decay": 0.1}
    return tiny.make_run(tiny.make_config("shot", changes), num_members=num_members)


def test_the_head_stays_and_all_features_change():
    before, after = (tiny.params_of(own) for own in (tiny.start(run_of()), tiny.train(run_of(), 5)))
    for path, value in before.items():
        assert np.array_equal(value, after[path]) == path.startswith("task_head/"), path


@pytest.mark.parametrize("num_members", [1, 2])
def test_labels_are_of_the_training_split_and_read_by_index(num_members):
    run = run_of(num_members)
    start = tiny.start(run)
    assert start.method_state["labels"].shape == (num_members, 20)
    assert not np.any(start.method_state["labels"])
    state = run.program.refresh(start, run.tables)
    outputs = run.program.outputs(state, run.tables, "target", "train")
    for member, labels in enumerate(np.asarray(state.method_state["labels"])):
        features, logits = (np.asarray(own[member], float) for own in outputs[:2])
        np.testing.assert_array_equal(labels, labels_by_hand(features, logits))


def test_value_and_gradient_are_those_of_the_derivation():
    method = make_method(tiny.make_config("shot"), tiny.NUM_CLASSES)
    images, index = DRAW.normal(size=(6, 4, 4, 1)), np.array([7, 0, 3, 3, 9, 1])
    labels = DRAW.integers(0, tiny.NUM_CLASSES, 10)
    with jax.enable_x64(True):
        batch = {"target": {"image": jnp.asarray(images), "index": jnp.asarray(index)}}
        variables = tiny.to_float64(jax.jit(method.init)(jax.random.key(0), batch))
        state = {"labels": jnp.asarray(labels)}

        def loss(params, weight=0.3):
            return method.phases[0].loss(
                {**variables, "params": params, "method_state": state},
                batch,
                key=jax.random.key(0),
                progress=jnp.asarray(0.0),
                hparams={WEIGHT: jnp.asarray(weight)},
            )

        def by_hand(params):
            # Under group normalisation evaluation and training mode are the same.
            outputs = predict({**variables, "params": params}, batch["target"]["image"])
            p = softmax(np.asarray(outputs.logits))
            m = p.mean(0)
            pseudo = -np.log(p[np.arange(6), labels[index]]).mean()
            return -(p * np.log(p)).sum(1).mean() + (m * np.log(m)).sum() + 0.3 * pseudo

        predict = jax.jit(lambda own, images: method.predict(own, images, "target"))
        params = variables["params"]
        (value, _), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
        assert float(value) == pytest.approx(by_hand(params), rel=1e-9)
        direction = jax.tree.map(lambda leaf: jnp.asarray(DRAW.normal(size=leaf.shape)), params)
        ends = [
            by_hand(jax.tree.map(lambda leaf, d, s=sign: leaf + s * 1e-6 * d, params, direction))
            for sign in (1, -1)
        ]
        slope = sum(
            float((own * d).sum())
            for own, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True)
        )
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({WEIGHT: -1.0}, "config.adaptation.pseudo_label_weight is -1.0; it must be a finite"),
        ({"adaptation.refresh_every": 0}, "refresh_every is 0; it must be a whole number"),
        ({"adaptation": {"pseudo_label_weight": 0.3}}, "config.adaptation.refresh_every is miss"),
        ({"domains": ("source", "target")}, "shot sees target pictures alone, so it must be"),
        ({"init_from.method": ""}, "shot adapts a trained network; name its row by config.init"),
    ],
)
def test_what_does_not_fit_is_refused(changes, sentence):
    config = tiny.make_config("shot")
    for path, value in changes.items():
        *above, last = path.split(".")
        part = config
        for name in above:
            part = part[name]
        part[last] = value
    with pytest.raises(ValueError, match=sentence):
        make_method(config, tiny.NUM_CLASSES)
