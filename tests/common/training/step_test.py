"""Tests of the step, each on a method that uses one feature of the protocol."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Aux, Method, Outputs, Phase
from common.training.hparam import make_hparams
from common.training.optimizer import make_optimizer, paths_of
from common.training.state import HEALTHY, create, evaluated_variables_of
from common.training.step import make_train_step
from configs import base
from tests.tiny import MAKERS, NUM_CLASSES, make_config, quick_compilation

NUM_STEPS = 8
RATE, MOMENTUM = 0.1, 0.5


def quadratic(params, batch):
    """A loss of two coupled roots, so that the order of their updates matters."""
    a, b = params["a"]["w"], params["b"]["w"]
    images = batch["source"]["image"]
    return 0.5 * jnp.sum((a - images.mean(0)) ** 2) + 0.5 * jnp.sum((b + 2) ** 2) + jnp.sum(a * b)


def gradients(a, b, image):
    return a - image + b, b + 2 + a


def make_phase(value=quadratic, record=lambda **_: {}, **fields):
    """A phase that adds up how often it was taken in `method_state` and in `batch_stats`."""

    def loss(variables, batch, *, key, progress, hparams):
        def count(state):
            return {"count": state["count"] + 1}

        metrics = record(variables=variables, batch=batch, key=key, progress=progress)
        counted = count(variables["batch_stats"]), count(variables["method_state"])
        return value(variables["params"], batch), Aux(*counted, metrics)

    return Phase(loss, **fields)


def make_step(*phases, ema_decay=0.0, **optimizer_changes):
    """Returns the compiled step and the state before it."""

    def init(key, batch):
        return {
            "params": {"a": {"w": jnp.array([1.0, 2.0])}, "b": {"w": jnp.array([0.5, -1.0])}},
            "batch_stats": {"count": jnp.zeros(())},
            "method_state": {"count": jnp.zeros(())},
        }

    method = Method(
        init=init,
        phases=phases or (make_phase(),),
        predict=lambda variables, images, domain: Outputs(images, images),
        needs={"source": ("image",)},
    )
    config = base.get_config().optimizer.to_dict() | {
        "name": "sgd", "learning_rate": RATE, "momentum": MOMENTUM, "decay": "", **optimizer_changes
    }  # fmt: skip
    hparams = {
        name: jnp.asarray(value) for name, value in make_hparams({"optimizer": config}).items()
    }
    optimizer = make_optimizer(config, init(None, None)["params"])
    state = create(
        method,
        optimizer,
        jnp.uint32(0),
        batch_of(0.0),
        hparams,
        average=bool(ema_decay),
        rules=(),
    )
    return jax.jit(make_train_step(method, optimizer, NUM_STEPS, ema_decay)), state


def batch_of(value):
    return {"source": {"image": jnp.full((3, 2), value, jnp.float32)}}


def run(step, state, values):
    """Returns the states after each step and the metrics of each step."""
    states, metrics = [], []
    for value in values:
        state, recorded = step(state, batch_of(value))
        states.append(state)
        metrics.append(jax.tree.map(np.asarray, recorded))
    return states, metrics


def arrays_of(params):
    return np.asarray(params["a"]["w"]), np.asarray(params["b"]["w"])


def test_phases_update_their_roots_in_order_and_repeat():
    step, state = make_step(
        make_phase(update=("a",)), make_phase(update=("b",), repeat=2), make_phase(repeat=3)
    )
    (a, b), trace = arrays_of(state.params), {"a": 0.0, "b": 0.0}
    states, metrics = run(step, state, [0.3, -0.7, 1.1])
    for value, after in zip([0.3, -0.7, 1.1], states, strict=True):
        for roots in ("a", "b", "b", "ab", "ab", "ab"):
            slopes = dict(zip("ab", gradients(a, b, value), strict=True))
            trace |= {root: slopes[root] + MOMENTUM * trace[root] for root in roots}
            a = a - RATE * trace["a"] if "a" in roots else a
            b = b - RATE * trace["b"] if "b" in roots else b
        np.testing.assert_allclose(arrays_of(after.params), (a, b), 1e-5, 1e-6)
    assert {f"phase_{index}/loss" for index in range(3)} <= set(metrics[0])
    assert int(states[-1].step) == 3


def test_a_single_phase_records_its_metrics_without_prefix():
    step, state = make_step(make_phase(record=lambda **_: {"own": jnp.float32(7)}))
    _, (metrics,) = run(step, state, [0.0])
    assert set(metrics) == {"loss", "gradient_norm", "own", "learning_rate"}
    assert metrics["own"] == 7
    np.testing.assert_allclose(metrics["learning_rate"], RATE, 1e-6)
    a, b = arrays_of(state.params)
    expected = np.linalg.norm(np.concatenate(gradients(a, b, 0.0)))
    np.testing.assert_allclose(metrics["gradient_norm"], expected, 1e-5)


def test_method_state_and_statistics_are_carried_and_never_trained():
    seen = make_phase(
        record=lambda variables, **_: {"seen": variables["method_state"]["count"]},
        repeat=2,
    )
    step, state = make_step(make_phase(), seen)
    states, metrics = run(step, state, [0.0] * 3)
    assert [float(after.method_state["count"]) for after in states] == [3, 6, 9]
    assert [float(after.batch_stats["count"]) for after in states] == [3, 6, 9]
    # The last of the two repetitions is recorded; it sees what those before it left.
    assert [float(recorded["phase_1/seen"]) for recorded in metrics] == [2, 5, 8]
    assert set(state.optimizer) == {"a", "b"}


def test_averages_follow_their_recursion_and_are_seen_and_evaluated():
    largest = 0.15
    step, state = make_step(
        make_phase(record=lambda variables, **_: {"seen": variables["ema"]["params"]["a"]["w"]}),
        ema_decay=largest,
    )
    average, count = arrays_of(state.params)[0], 0.0
    states, metrics = run(step, state, [0.5] * 3)
    for number, (after, recorded) in enumerate(zip(states, metrics, strict=True), start=1):
        np.testing.assert_allclose(recorded["seen"], average, 1e-6)
        decay = min(largest, number / (9 + number))
        average = decay * average + (1 - decay) * np.asarray(after.params["a"]["w"])
        count = decay * count + (1 - decay) * number
        np.testing.assert_allclose(after.ema["params"]["a"]["w"], average, 1e-6)
        evaluated = evaluated_variables_of(after)
        np.testing.assert_allclose(evaluated["params"]["a"]["w"], average, 1e-6)
        np.testing.assert_allclose(evaluated["batch_stats"]["count"], count, 1e-6)
        assert evaluated["method_state"]["count"] == number


def test_without_averaging_there_is_none():
    names = []
    step, state = make_step(make_phase(record=lambda variables, **_: names.extend(variables) or {}))
    (after,), _ = run(step, state, [0.0])
    assert set(names) == {"params", "batch_stats", "method_state"} and after.ema == {}
    assert evaluated_variables_of(after)["params"] is not None
    np.testing.assert_array_equal(
        evaluated_variables_of(after)["params"]["a"]["w"], after.params["a"]["w"]
    )


def test_no_two_keys_are_the_same():
    keys = make_phase(record=lambda key, **_: {"key": jax.random.key_data(key)})
    step, state = make_step(keys, keys._replace(repeat=2), keys)
    _, metrics = run(step, state, [0.0] * 4)
    drawn = {recorded[f"phase_{phase}/key"].tobytes() for recorded in metrics for phase in range(3)}
    assert len(drawn) == 12
    _, again = run(step, state, [0.0])
    jax.tree.map(np.testing.assert_array_equal, again[0], metrics[0])


def test_repetitions_have_keys_of_their_own():
    # Only the last repetition is recorded; with one key for both it would be the first one's.
    single = make_phase(record=lambda key, **_: {"key": jax.random.key_data(key)})
    _, (once,) = run(*make_step(single), [0.0])
    _, (twice,) = run(*make_step(single._replace(repeat=2)), [0.0])
    assert (once["key"] != twice["key"]).any()


def test_progress_is_the_share_of_the_run():
    step, state = make_step(
        make_phase(record=lambda progress, **_: {"progress": progress}, repeat=2),
        schedule="cosine",
    )
    _, metrics = run(step, state, [0.0] * NUM_STEPS)
    expected = np.arange(NUM_STEPS) / NUM_STEPS
    np.testing.assert_allclose([recorded["progress"] for recorded in metrics], expected, 1e-6)
    rates = RATE * (1 + np.cos(np.pi * expected)) / 2
    np.testing.assert_allclose([recorded["learning_rate"] for recorded in metrics], rates, 1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_health_is_the_first_step_that_is_not_finite(value):
    step, state = make_step()
    states, _ = run(step, state, [0.0, 0.0, value, 0.0, value])
    assert [int(after.health) for after in states] == [HEALTHY, HEALTHY, 2, 2, 2]
    assert int(states[-1].step) == 5


def test_a_gradient_that_is_not_finite_counts_though_the_loss_is():
    # The square root is 0 at 0, and its slope there is infinite.
    step, state = make_step(make_phase(lambda params, batch: jnp.sum(jnp.sqrt(params["a"]["w"]))))
    zeros = {**state.params, "a": {"w": jnp.zeros(2)}}
    (after,), (metrics,) = run(step, state._replace(params=zeros), [0.0])
    assert np.isfinite(metrics["loss"]) and int(after.health) == 0


def test_an_early_phase_counts_though_the_last_one_is_finite():
    sick = make_phase(lambda params, batch: jnp.float32(np.nan) + 0 * jnp.sum(params["a"]["w"]))
    step, state = make_step(sick._replace(update=("b",)), make_phase(update=("a",)))
    (after,), _ = run(step, state, [0.0])
    assert int(after.health) == 0


def test_no_gradient_is_taken_of_frozen_parameters():
    def value(params, batch):
        # At 0 the slope towards `b` is infinite: it would show in the norm and in the health.
        return 0.5 * jnp.sum(params["a"]["w"] ** 2) + jnp.sum(jnp.sqrt(params["b"]["w"]))

    step, state = make_step(make_phase(value), freeze=("b/.*",), ema_decay=0.5)
    assert set(state.params) == {"a"} and set(state.frozen) == {"b"}
    assert set(state.optimizer) == {"a"}
    frozen = {"b": {"w": jnp.zeros(2)}}
    states, metrics = run(step, state._replace(frozen=frozen), [0.0] * 2)
    assert int(states[-1].health) == HEALTHY
    np.testing.assert_allclose(metrics[0]["gradient_norm"], np.linalg.norm([1.0, 2.0]), 1e-6)
    np.testing.assert_array_equal(states[-1].frozen["b"]["w"], np.zeros(2))
    assert set(evaluated_variables_of(states[-1])["params"]) == {"a", "b"}


def test_averaged_weights_that_a_loss_sees_include_the_frozen_ones():
    seen = {}
    step, state = make_step(
        make_phase(record=lambda variables, **_: seen.update(variables["ema"]) or {}),
        freeze=("b/.*",),
        ema_decay=0.5,
    )
    (after,), _ = run(step, state, [0.0])
    assert set(seen["params"]) == {"a", "b"} and set(seen["batch_stats"]) == {"count"}
    assert set(after.ema["params"]) == {"a"}


@pytest.mark.parametrize("policy", ["joint", "frozen"])
def test_the_svhn_network_trains_under_dann_with_dropout_and_a_largest_norm(policy):
    limit = 0.5
    changes = {
        "model.name": "svhn_net",
        "model.normalization": policy,
        "model.options": {"channels": (2, 2, 4), "dropout": (0.1, 0.25, 0.25, 0.25)},
        "model.task_head": {"hidden": (6, 5), "dropout": 0.25},
        "optimizer.max_norm": limit,
    }
    config = make_config("dann", changes)
    method = MAKERS["dann"](config, NUM_CLASSES)
    draw = np.random.default_rng(0)
    image = lambda: jnp.asarray(draw.normal(size=(8, 8, 8, 1)), jnp.float32)  # noqa: E731
    labels = jnp.asarray(draw.integers(0, NUM_CLASSES, 8), jnp.int32)
    batch = {"source": {"image": image(), "label": labels}, "target": {"image": image()}}
    hparams = {name: jnp.asarray(value) for name, value in make_hparams(config).items()}
    shapes = jax.eval_shape(method.init, jax.random.key(0), batch)["params"]
    optimizer = make_optimizer(config["optimizer"], shapes)
    with quick_compilation():
        before = jax.jit(
            lambda: create(
                method, optimizer, jnp.uint32(0), batch, hparams, average=False, rules=()
            )
        )()
        step = jax.jit(make_train_step(method, optimizer, NUM_STEPS, 0.0))
        state = before
        for _ in range(3):
            state, metrics = step(state, batch)

    assert int(state.health) == HEALTHY and int(state.step) == 3
    assert all(np.isfinite(value).all() for value in metrics.values())
    flat = {path: np.asarray(leaf) for path, leaf in paths_of(state.params).items()}
    old = paths_of(before.params)
    for path, leaf in flat.items():
        assert np.isfinite(leaf).all(), path
        norms = np.sqrt((leaf**2).sum(tuple(range(leaf.ndim - 1))))
        limited = path.endswith("kernel") and not path.startswith("domain_discriminator")
        if limited:
            assert norms.max() <= limit * (1 + 1e-5), path
        elif path.endswith("kernel"):
            assert norms.max() > limit, path
        # Behind batch statistics a bias has no gradient but rounding.
        if not (policy == "joint" and "convolution" in path and path.endswith("bias")):
            assert not np.array_equal(leaf, old[path]), path
    same = jax.tree.map(np.array_equal, state.batch_stats, before.batch_stats)
    assert set(jax.tree.leaves(same)) == {policy == "frozen"}
