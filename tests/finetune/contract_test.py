"""What every row of fine-tuning must keep to, none of them by name."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.data.stream import Stream
from common.experiment import checkpoint
from common.method import CACHE
from common.training import parallel
from common.training.optimizer import paths_of
from configs.catalogue import REGULARIZERS, TRANSFER
from finetune.method import REGULARIZERS as BUILDERS
from tests import tiny
from tests.tiny import comparable, to_state

ALL, PLAIN = "+".join(REGULARIZERS), next(iter(TRANSFER))
ROWS = (*TRANSFER, *REGULARIZERS)
# All regularisers at once; each row alone takes a program of its own.
EACH = (ALL, *(pytest.param(row, marks=pytest.mark.matrix) for row in ROWS))
CHANGES = {
    "optimizer.name": "adam",
    "optimizer.epsilon": 1e-4,
    "optimizer.ema_decay": 0.9,
    "model.options": {"hidden": (8,), "dropout": 0.25},
    "model.normalization": "separate",
}
VALUES = {"seed": [5, 6], "optimizer.learning_rate": [0.01, 0.03]}
NUM_STEPS = 3


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


@functools.cache
def population_of(row):
    return tiny.make_run(tiny.make_row_config(row, CHANGES), num_members=2)


def take_over(state):
    """Moves all weights, as a parent run would."""
    moved = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.cos(7 * leaf + 1), state.params)
    return state._replace(
        params=moved,
        ema={**state.ema, "params": jax.tree.map(jnp.copy, moved)} if state.ema else {},
    )


@functools.cache
def begun(row):
    """The state before step 0, with weights that were taken over; in double precision."""
    run = population_of(row)
    state = take_over(tiny.start(run, VALUES))
    with jax.enable_x64(True):
        state, tables = tiny.to_float64(state), tiny.to_float64(run.tables)
        if run.program.refresh_every:
            state = run.program.refresh(state, tables)
        return comparable(state), jax.tree.map(np.asarray, tables)


def advance(run, arrays, tables, first_step=0):
    with jax.enable_x64(True):
        tables = jax.tree.map(jnp.asarray, tables)
        state, metrics = run.program.chunk(to_state(arrays), tables, first_step, NUM_STEPS)
        return comparable(state), jax.tree.map(np.asarray, metrics)


@functools.cache
def trained(row):
    arrays, tables = begun(row)
    return advance(population_of(row), arrays, tables)


@pytest.mark.parametrize("row", EACH)
def test_a_row_trains_every_root_with_finite_values(row):
    state, metrics = trained(row)
    assert all(np.isfinite(own).all() for own in metrics.values()), metrics
    assert {own.shape for own in metrics.values()} == {(2, NUM_STEPS)}
    before, after = (paths_of(own.params) for own in (begun(row)[0], state))
    assert set(before) == set(after)
    for root in state.params:
        own = [path for path in before if path.startswith(f"{root}/")]
        assert any((before[path] != after[path]).any() for path in own), root
    names = row.split("+") if row not in TRANSFER else ()
    assert {f"{name}/loss" for name in names} <= set(metrics)


@pytest.mark.parametrize("row", EACH)
def test_the_start_is_what_was_taken_over_and_stays(row):
    before, after = begun(row)[0], trained(row)[0]
    jax.tree.map(np.testing.assert_array_equal, before.method_state, after.method_state)
    if CACHE not in before.method_state:
        return
    kept = before.method_state[CACHE]
    assert set(kept["params"]) == {"feature_extractor", "task_head"}
    for root, tree in kept["params"].items():
        jax.tree.map(np.testing.assert_array_equal, tree, before.params[root])
    jax.tree.map(np.testing.assert_array_equal, kept["batch_stats"], before.batch_stats)


@pytest.mark.parametrize("row", EACH)
def test_a_member_is_close_to_the_same_run_alone(row):
    run, (arrays, tables) = population_of(row), begun(row)
    alone = tiny.make_run(run.config, tables=tiny.take_members(run.tables, [1]))
    start = jax.tree.map(lambda leaf: leaf[1:], arrays)
    # The second member prepares alone what it starts from.
    with jax.enable_x64(True):
        own = jax.tree.map(jnp.asarray, tiny.take_members(tables, [1]))
        if run.program.refresh_every:
            start = comparable(alone.program.refresh(to_state(start), own))
    state, metrics = advance(alone, start, tiny.take_members(tables, [1]))
    together, recorded = jax.tree.map(lambda leaf: leaf[1:], trained(row))
    jax.tree.map(
        lambda own, its: np.testing.assert_allclose(own, its, 1e-7, 1e-7),
        (state.params, state.method_state, state.batch_stats, metrics),
        (together.params, together.method_state, together.batch_stats, recorded),
    )
    other = trained(row)[0].params
    gaps = [abs(leaf[0] - leaf[1]).max() for leaf in jax.tree.leaves(other)]
    assert max(gaps) > 1e-3


@pytest.mark.parametrize("row", EACH)
def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(row, tmp_path):
    run, (arrays, tables) = population_of(row), begun(row)
    half, _ = trained(row)
    with jax.enable_x64(True):
        manager = checkpoint.open_population(tmp_path)
        checkpoint.save_population(manager, NUM_STEPS, to_state(half))
        fresh = jax.tree.map(lambda leaf: np.zeros_like(leaf), arrays)
        _, restored = checkpoint.restore_population(manager, to_state(fresh))
        manager.close()
    whole, resumed = (
        advance(run, own, tables, NUM_STEPS)[0] for own in (half, comparable(restored))
    )
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)


def test_weights_are_traced_numbers_and_without_any_this_is_plain_fine_tuning():
    arrays, tables = begun(ALL)
    off = {
        name: value * (not re.fullmatch(r"regularization\.\w+\.weight", name))
        for name, value in arrays.hparams.items()
    }
    assert sum((value == 0).all() for value in off.values()) >= len(REGULARIZERS)
    state, metrics = advance(population_of(ALL), arrays._replace(hparams=off), tables)
    np.testing.assert_allclose(metrics["loss"], metrics["task_loss"], 1e-12)
    plain = trained(PLAIN)[0]
    for root in ("feature_extractor", "task_head"):
        jax.tree.map(
            lambda own, its: np.testing.assert_allclose(own, its, 1e-7, 1e-7),
            *(state.params[root], plain.params[root]),
        )


def test_without_a_regulariser_fine_tuning_is_plain_training_operation_by_operation():
    def trace(row):
        method = tiny.MAKERS["finetune"](tiny.make_row_config(row, CHANGES), tiny.NUM_CLASSES)
        images, labels = jnp.zeros((4, 4, 4, 1)), jnp.zeros(4, jnp.int32)
        batch, key = {"target_labelled": {"image": images, "label": labels}}, jax.random.key(0)
        variables = jax.eval_shape(method.init, key, batch)
        assert method.refresh is None and variables["method_state"] == {}

        def loss(variables):
            return method.phases[0].loss(variables, batch, key=key, progress=0.0, hparams={})

        return str(jax.make_jaxpr(method.init)(key, batch)), str(jax.make_jaxpr(loss)(variables))

    assert trace(PLAIN) == trace("train_on_target")


@pytest.mark.matrix
@pytest.mark.parametrize("row", ROWS)
def test_a_streamed_run_is_the_resident_one_bit_for_bit(row):
    tables, states = tiny.make_tables(), []
    images = {role: table["image"] for role, table in tables.items()}
    bare = {
        role: {name: own for name, own in table.items() if name != "image"}
        for role, table in tables.items()
    }
    jax.config.update("jax_disable_most_optimizations", False)
    config = tiny.make_row_config(row, CHANGES)
    try:
        for own, stream in ((tables, None), (bare, Stream(images, 2**20, 2))):
            run = tiny.make_run(config, tables=own, stream=stream)
            states.append(comparable(tiny.train(run, NUM_STEPS)).params)
            run.program.close()
    except ValueError as error:
        assert "set config.runtime.data_path to resident" in str(error)
        return
    finally:
        jax.config.update("jax_disable_most_optimizations", True)
    jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.mark.matrix
@pytest.mark.parametrize("mode", parallel.MODES)
def test_eight_devices_train_what_one_trains(mode):
    config, states = tiny.make_row_config(ALL, CHANGES), []
    for placement in (None, parallel.make_placement(1, 8, config["data"]["batch_size"], mode)):
        run = tiny.make_run(config, placement=placement)
        state = take_over(tiny.start(run))
        with jax.enable_x64(True):
            state, tables = tiny.to_float64(state), tiny.to_float64(run.tables)
            state = run.program.refresh(state, tables)
            state, metrics = run.program.chunk(state, tables, 0, NUM_STEPS)
            kept = state.params, state.batch_stats, state.method_state, metrics
            states.append(jax.tree.map(np.asarray, kept))
    jax.tree.map(lambda own, its: np.testing.assert_allclose(own, its, 1e-7, 1e-7), *states)


@pytest.mark.parametrize("row", REGULARIZERS)
def test_what_a_regulariser_starts_from_must_be_there(row):
    config = tiny.make_row_config(row)
    needs = BUILDERS[row](config["regularization"][row])
    cases = [
        (needs.needs_start, "init_from.method", "", "config.init_from.method, such as"),
        (needs.needs_head, "init_from.include", "feature_extractor/.*", "include task_head"),
        (needs.replaces_decay, "optimizer.weight_decay", 0.1, "weight_decay is 0.1"),
    ]
    for matters, key, value, sentence in cases:
        section, name = key.split(".")
        changed = {**config, section: {**config[section], name: value}}
        if matters:
            with pytest.raises(ValueError, match=sentence):
                tiny.MAKERS["finetune"](changed, tiny.NUM_CLASSES)
        else:
            tiny.MAKERS["finetune"](changed, tiny.NUM_CLASSES)
