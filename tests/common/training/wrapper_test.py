"""One device, a mesh, copies under pmap, pictures on the device or on the host: the same run."""

import functools

import jax
import numpy as np
import pytest

from common.data.stream import StepReader, Stream
from common.training import parallel
from tests import coupled, tiny

NAMES = ("source_only", "dann", "covariance_gap", "perturbation", "phases", "teacher")
NAMES += ("multi_source_dann",)
MODEL = {"model.options": {"hidden": (8,), "dropout": 0.25}}
# The bias before a batch normalisation has no gradient; a larger epsilon keeps what rounding makes
# of it from becoming a step.
ADAMW = {
    "optimizer.name": "adamw",
    "optimizer.weight_decay": 0.1,
    "optimizer.epsilon": 1e-4,
}


def make_stream(tables, num_bytes=2**20):
    return Stream({role: table["image"] for role, table in tables.items()}, num_bytes, 2)


def make_run(name, changes, *, mode=None, streamed=False, num_bytes=2**20):
    """Returns a run; without a mode on one device, else on eight."""
    config = coupled.make_config(name, {**MODEL, **changes})
    method, tables, where = coupled.make_method(name, config), tiny.make_tables(), {}
    if name == "multi_source_dann":
        tables["source"]["origin"] = np.repeat(np.arange(2, dtype=np.int32), (8, 12))
    if streamed:
        where["stream"] = make_stream(tables, num_bytes)
        tables = {
            role: {key: own for key, own in table.items() if key != "image"}
            for role, table in tables.items()
        }
    if mode:
        where["placement"] = parallel.make_placement(1, 8, config["data"]["batch_size"], mode)
        assert len(where["placement"].devices) == 8
    return tiny.make_run(config, method=method, tables=tables, **where)


def train(run, num_steps=3, double=False):
    """Returns parameters and metrics after some steps, in double precision where asked."""
    state = tiny.start(run)
    with jax.enable_x64(double):
        tables = run.tables
        if double:
            state, tables = tiny.to_float64(state), tiny.to_float64(run.tables)
        state, metrics = run.program.chunk(state, tables, 0, num_steps)
        run.program.close()
        return jax.tree.map(np.asarray, (tiny.params_of(state), metrics, state.batch_stats))


@functools.cache
def alone(name, policy):
    with tiny.quick_compilation():
        return train(make_run(name, {**ADAMW, "model.normalization": policy}), double=True)


def assert_close(tree, expected, tolerance):
    jax.tree.map(
        lambda own, other: np.testing.assert_allclose(own, other, tolerance, tolerance),
        tree,
        expected,
    )


@pytest.mark.parametrize("mode", parallel.MODES)
@pytest.mark.parametrize(
    ("name", "policy"),
    [
        *((name, "separate") for name in NAMES),
        *(
            pytest.param("dann", policy, marks=pytest.mark.matrix)
            for policy in ("joint", "group", "per_domain", "none")
        ),
    ],
)
def test_eight_devices_compute_what_one_computes(name, policy, mode):
    run = make_run(name, {**ADAMW, "model.normalization": policy}, mode=mode)
    with tiny.quick_compilation():
        assert_close(train(run, double=True), alone(name, policy), 1e-7)


def flops(run):
    """Floating-point operations of each device in a chunk of two steps."""
    state = jax.eval_shape(lambda: tiny.start(run))
    chunk = jax.jit(lambda state, tables: run.program.chunk(state, tables, 0, 2))
    analysis = chunk.lower(state, run.tables).compile().cost_analysis()
    assert analysis is not None
    return analysis["flops"]


def test_eight_devices_share_the_work():
    wide = {"model.options": {"hidden": (256, 256)}, "data.batch_size": 16}
    config = coupled.make_config("dann", wide)
    method, tables = coupled.make_method("dann", config), tiny.make_tables()

    def cost(placement):
        return flops(tiny.make_run(config, method=method, tables=tables, placement=placement))

    whole = cost(None)
    for mode in parallel.MODES:
        placement = parallel.make_placement(1, 8, 16, mode)
        assert cost(placement) < whole / 4, mode
    # The control: on a mesh alone, without the constraint on the batch, nothing is shared.
    placement = parallel.make_placement(1, 8, 16, "jit")
    assert cost(placement._replace(batch=None)) > whole * 0.9


# From here on bits of streamed and of resident programs are compared.
@pytest.mark.usefixtures("optimized")
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, None) for name in ("covariance_gap", "teacher")),
        pytest.param("multi_source_dann", None, marks=pytest.mark.matrix),
        *(("dann", mode) for mode in (None, *parallel.MODES)),
        *(
            pytest.param(name, mode, marks=pytest.mark.matrix)
            for name in ("source_only", "covariance_gap", "teacher", "perturbation", "phases")
            for mode in parallel.MODES
        ),
    ],
)
def test_a_streamed_run_is_the_resident_one_bit_for_bit(name, mode):
    changes = {"model.normalization": "separate"}
    resident, streamed = (
        train(make_run(name, changes, mode=mode, streamed=streamed), 5)
        for streamed in (False, True)
    )
    jax.tree.map(np.testing.assert_array_equal, streamed, resident)


@pytest.mark.usefixtures("optimized")
def test_members_of_a_streamed_population_are_the_resident_ones_bit_for_bit():
    config = tiny.make_config("dann", {"runtime.evaluation_batch_size": 5})
    tables = tiny.make_tables(3)
    bare = {
        role: {key: own for key, own in table.items() if key != "image"}
        for role, table in tables.items()
    }
    # So little memory that a block holds two steps, or two batches of an evaluation.
    stream = make_stream(tables, num_bytes=4 * 3 * 16 * 16 * 4)
    runs = (
        tiny.make_run(config, num_members=3, tables=tables),
        tiny.make_run(config, num_members=3, tables=bare, stream=stream),
    )
    results = []
    for run in runs:
        state = tiny.start(run)
        state, first = run.program.chunk(state, run.tables, 0, 5)
        state, second = run.program.chunk(state, run.tables, 5, 2)
        evaluation = run.program.evaluate(state, run.tables)
        outputs = run.program.outputs(state, run.tables, "target", "test")
        run.program.close()
        state = state._replace(key=jax.random.key_data(state.key))
        results.append((state, first, second, evaluation, outputs))
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_a_streamed_run_goes_on_from_any_step():
    run = make_run("dann", {}, streamed=True)
    whole, _ = run.program.chunk(tiny.start(run), run.tables, 0, 4)
    state, _ = run.program.chunk(tiny.start(run), run.tables, 0, 2)
    run.program.close()
    state, _ = run.program.chunk(state, run.tables, 2, 2)
    run.program.close()
    jax.tree.map(np.testing.assert_array_equal, tiny.params_of(state), tiny.params_of(whole))


def test_a_member_that_fails_goes_back_to_the_same_state_when_streamed():
    config = tiny.make_config("source_only")
    tables = tiny.make_tables(3)
    bare = {
        role: {key: own for key, own in table.items() if key != "image"}
        for role, table in tables.items()
    }
    states = []
    for own, stream in ((tables, None), (bare, make_stream(tables, 64))):
        run = tiny.make_run(config, num_members=3, tables=own, stream=stream)
        state = tiny.start(run, {"optimizer.learning_rate": [0.03, 1e18, 0.03]})
        state, _ = run.program.chunk(state, run.tables, 0, 5)
        run.program.close()
        states.append(state._replace(key=jax.random.key_data(state.key)))
    assert np.asarray(states[0].health)[1] >= 0
    assert np.asarray(states[0].step).tolist() == [5, 0, 5]
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_an_evaluation_does_not_throw_away_what_was_read_ahead(monkeypatch):
    opened, original = [], StepReader._open
    monkeypatch.setattr(
        StepReader,
        "_open",
        lambda reader, keys, step: (opened.append(step), original(reader, keys, step)),
    )
    run = make_run("source_only", {}, streamed=True)
    state = tiny.start(run)
    for first_step in range(0, 8, 2):
        state, _ = run.program.chunk(state, run.tables, first_step, 2)
        run.program.evaluate(state, run.tables)
        state = run.program.keep(state, {"source_val": np.asarray([True])})
    run.program.close()
    assert opened == [0]


@pytest.mark.parametrize("mode", parallel.MODES)
def test_passes_whose_rows_cannot_be_shared_out_and_dropout_behind_the_network(mode):
    def train_odd(mode):
        placement = parallel.make_placement(1, 8, 8, mode) if mode else None
        config = coupled.make_config("dann", {**MODEL, **ADAMW})
        config["alignment"] = {"odd_pass": {"weight": 1.0}}
        method = coupled.make_method("odd_pass", config)
        return train(tiny.make_run(config, method=method, placement=placement), double=True)

    with tiny.quick_compilation():
        assert_close(train_odd(mode), train_odd(None), 1e-7)


def test_a_refresh_that_reads_pictures_is_refused_before_anything_is_streamed():
    config = coupled.make_config("source_only", {})
    method = coupled.make_method("source_only", config)._replace(
        refresh=lambda variables, outputs, hparams: {"mean": outputs["source"]["image"].mean()}
    )
    tables = tiny.make_tables()
    stream = make_stream(tables)
    for table in tables.values():
        del table["image"]
    with pytest.raises(ValueError, match="set config.runtime.data_path to resident"):
        tiny.make_run(config, method=method, tables=tables, stream=stream)
