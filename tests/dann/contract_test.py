"""What every row must keep to, none of them by name: a new row is tested by being in a table.

That target labels change no bit of what whole runs leave stands in run_test.py.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.data.stream import Stream
from common.experiment import checkpoint
from common.training import objective, parallel
from common.training.optimizer import paths_of
from configs.catalogue import METHODS, PLAIN, PRETRAINING, TERMS
from tests import tiny
from tests.tiny import comparable, to_state

ROWS = (*PLAIN, *TERMS, *METHODS, *PRETRAINING)
ADVERSARY = TERMS["dann"][0]
COMPOSED = tuple(row for row, (term, _) in TERMS.items() if term != ADVERSARY)
# What has no gradient but rounding's, such as a bias before a batch normalisation, must not step.
CHANGES = {
    "optimizer.name": "adamw",
    "optimizer.weight_decay": 0.1,
    "optimizer.epsilon": 1e-4,
    "optimizer.ema_decay": 0.9,
    "model.options": {"hidden": (8,)},
}
VALUES = {"seed": [5, 6], "optimizer.learning_rate": [0.01, 0.03]}
NUM_STEPS = 3


@pytest.fixture(autouse=True, scope="module")
def quick():
    # Bits are compared between runs of one program; where there are two, the test takes it back.
    with tiny.quick_compilation():
        yield


@functools.cache
def population_of(row):
    return tiny.make_run(tiny.make_row_config(row, CHANGES), num_members=2)


@functools.cache
def drawn(row):
    """The state as it is drawn and the tables, in double precision."""
    run = population_of(row)
    state = tiny.start(run, VALUES)
    with jax.enable_x64(True):
        state, tables = tiny.to_float64(state), tiny.to_float64(run.tables)
        return comparable(state), jax.tree.map(np.asarray, tables)


def refresh(run, state, tables):
    """Refreshes twice, where a method does: its first refresh may leave all as it was drawn."""
    for _ in range(2 if run.program.refresh_every else 0):
        state = run.program.refresh(state, tables)
    return state


def begin(row, tables):
    """The state before the steps, which a method may have refreshed from the tables."""
    run, (arrays, _) = population_of(row), drawn(row)
    with jax.enable_x64(True):
        tables = jax.tree.map(jnp.asarray, tables)
        return comparable(refresh(run, to_state(arrays), tables))


@functools.cache
def begun(row):
    """The state before the steps and the tables."""
    _, tables = drawn(row)
    return begin(row, tables), tables


def advance(run, arrays, tables, first_step=0):
    """Trains some steps from what `comparable` kept; returns a state and its metrics."""
    with jax.enable_x64(True):
        tables = jax.tree.map(jnp.asarray, tables)
        state, metrics = run.program.chunk(to_state(arrays), tables, first_step, NUM_STEPS)
        return comparable(state), jax.tree.map(np.asarray, metrics)


@functools.cache
def trained(row):
    arrays, tables = begun(row)
    return advance(population_of(row), arrays, tables)


def train_on(row, **target):
    """Trains a row on a target that is another in some arrays; returns the state."""
    _, tables = drawn(row)
    tables = {**tables, "target": {**tables["target"], **target}}
    return advance(population_of(row), begin(row, tables), tables)[0]


def are_equal(one, other):
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_close(one, other, tolerance=1e-7):
    jax.tree.map(
        lambda own, its: np.testing.assert_allclose(own, its, tolerance, tolerance), one, other
    )


@pytest.mark.parametrize("row", ROWS)
def test_a_row_trains_with_finite_values_and_moves_parameters(row):
    state, metrics = trained(row)
    assert {name: own.shape for name, own in metrics.items()} == {
        name: (2, NUM_STEPS) for name in metrics
    }
    assert all(np.isfinite(own).all() for own in metrics.values()), metrics
    assert all(np.isfinite(own).all() for own in jax.tree.leaves(state.params))
    before, after = (paths_of(own.params) for own in (begun(row)[0], state))
    assert set(before) == set(after)
    if not population_of(row).method.phases:
        # Such a method changes its own state, before the first step.
        assert all((before[path] == after[path]).all() for path in before)
        return
    # Biases do not decay: what moves them is a gradient.
    assert any((before[path] != after[path]).any() for path in before if path.endswith("bias"))
    # Every root learns, but what a method leaves alone by its phases.
    learning = {root for phase in population_of(row).method.phases for root in phase.update}
    for root in learning or set(state.params):
        own = [path for path in before if path.startswith(f"{root}/")]
        assert any((before[path] != after[path]).any() for path in own), root


@pytest.mark.parametrize("row", ROWS)
def test_target_labels_reach_no_row_that_does_not_name_them(row):
    labels = drawn(row)[1]["target"]["label"]
    after = train_on(row, label=(labels + 1) % tiny.NUM_CLASSES)
    names_them = "target_labelled" in population_of(row).method.needs
    assert are_equal(trained(row)[0], after) == (not names_them)


@pytest.mark.parametrize("row", ROWS)
def test_target_pictures_reach_no_row_without_a_term_or_target_labels(row):
    # Under `group` no domain influences another, so passing them through the network is no reading.
    images = drawn(row)[1]["target"]["image"]
    after = train_on(row, image=np.full_like(images, np.nan))
    # What a method knows of the target may be no parameter.
    states = [
        (own.params, own.frozen, own.method_state, own.health) for own in (trained(row)[0], after)
    ]
    reads_none = row in PLAIN and "target_labelled" not in population_of(row).method.needs
    assert are_equal(*states) == reads_none


def test_a_term_changes_the_first_weights_and_batches_of_no_other_part():
    plain = tiny.params_of(drawn("source_only")[0])
    for row in TERMS:
        with_term = tiny.params_of(drawn(row)[0])
        assert_equal({path: with_term[path] for path in plain}, plain)


@pytest.mark.parametrize(
    "row", [row if row in METHODS else pytest.param(row, marks=pytest.mark.matrix) for row in ROWS]
)
def test_a_member_is_close_to_the_same_run_alone(row):
    run, (arrays, tables) = population_of(row), begun(row)
    own = tiny.take_members(tables, [1])
    alone = tiny.make_run(run.config, tables=tiny.take_members(run.tables, [1]))
    start = jax.tree.map(lambda leaf: leaf[1:], arrays)
    state, metrics = advance(alone, start, own)
    together, recorded = trained(row)
    assert_close(
        (state.params, state.batch_stats, state.method_state, state.ema, metrics),
        jax.tree.map(
            lambda leaf: leaf[1:],
            (
                *(together.params, together.batch_stats, together.method_state, together.ema),
                recorded,
            ),
        ),
    )
    other = jax.tree.map(lambda leaf: leaf[:1], (together.params, together.frozen))
    assert_differ((state.params, state.frozen), other)


def assert_differ(one, other):
    gaps = jax.tree.map(lambda own, its: np.abs(own - its).max(), one, other)
    assert max(jax.tree.leaves(gaps)) > 1e-3


@pytest.mark.parametrize("row", ROWS)
def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(row, tmp_path):
    run, (arrays, tables) = population_of(row), begun(row)
    half, _ = trained(row)
    with jax.enable_x64(True):
        manager = checkpoint.open_population(tmp_path)
        checkpoint.save_population(manager, NUM_STEPS, to_state(half))
        fresh = jax.tree.map(lambda leaf: np.zeros_like(leaf), arrays)
        step, restored = checkpoint.restore_population(manager, to_state(fresh))
        manager.close()
    assert step == NUM_STEPS
    assert_equal(comparable(restored), half)
    (whole, _), (resumed, _) = (
        advance(run, own, tables, NUM_STEPS) for own in (half, comparable(restored))
    )
    assert_equal(resumed, whole)
    assert (whole.step == 2 * NUM_STEPS).all()


def make_batch(needs):
    draw = np.random.default_rng(0)
    fields = {
        "image": draw.random((8, 4, 4, 1)).astype(np.float32),
        "strong_image": draw.random((8, 4, 4, 1)).astype(np.float32),
        "label": draw.integers(0, tiny.NUM_CLASSES, 8).astype(np.int32),
        "index": np.arange(8, dtype=np.int32),
        "domain": np.zeros(8, np.int32),
    }
    return {
        domain: {field: jnp.asarray(fields[field]) for field in names}
        for domain, names in needs.items()
    }


def trace(config, see: Callable[[dict[str, Any]], Any] = lambda variables: variables):
    """Traces the initial state and each phase of a row; `see` may replace what a phase sees."""
    method = tiny.MAKERS[config["package"]](config, tiny.NUM_CLASSES)
    batch, key = make_batch(method.needs), jax.random.key(0)
    hparams = {name: jnp.asarray(own) for name, own in tiny.make_hparams(config).items()}

    def run():
        variables = method.init(key, batch)
        averages = {"params": variables["params"], "batch_stats": variables["batch_stats"]}
        seen = see({**variables, "ema": averages})
        return [
            phase.loss(seen, batch, key=key, progress=jnp.float32(0.5), hparams=hparams)
            for phase in method.phases
        ]

    return jax.eval_shape(run)


@pytest.mark.parametrize("row", COMPOSED)
def test_a_term_composes_with_an_adversary(row):
    config = tiny.make_row_config(f"{row}+dann", CHANGES)
    if shares_the_adversary(row):
        with pytest.raises(ValueError, match="which is taken"):
            trace(config)
        return
    ((value, aux),) = trace(config)
    assert value.shape == ()
    term = TERMS[row][0]
    assert {f"{name}/loss" for name in (term, ADVERSARY)} <= set(aux.metrics)


@functools.cache
def roots_of(row):
    """The parameter roots of a row."""
    config = tiny.make_row_config(row)
    method = tiny.MAKERS[config["package"]](config, tiny.NUM_CLASSES)
    shapes = jax.eval_shape(method.init, jax.random.key(0), make_batch(method.needs))
    return set(shapes["params"])


@functools.cache
def shares_the_adversary(row):
    """Whether a term has an adversary of its own in the place of DANN's."""
    return not roots_of("dann") - roots_of("source_only") - roots_of(row)


@pytest.mark.matrix
@pytest.mark.parametrize("rows", ["all", *COMPOSED])
def test_composed_terms_train(rows):
    if rows != "all" and shares_the_adversary(rows):
        pytest.skip("the term has an adversary of its own")
    of_term = {TERMS[row][0]: row for row in COMPOSED if not shares_the_adversary(row)}
    name = "+".join((*of_term.values(), "dann")) if rows == "all" else f"{rows}+dann"
    run = tiny.make_run(tiny.make_row_config(name, CHANGES))
    state = refresh(run, tiny.start(run), run.tables)
    before = tiny.params_of(state)
    state, metrics = run.program.chunk(state, run.tables, 0, NUM_STEPS)
    assert all(np.isfinite(own).all() for own in metrics.values())
    after = tiny.params_of(state)
    for path in before:
        if path.endswith("bias"):
            assert (before[path] != after[path]).any(), path


class Spy(dict):
    """Variables that note whether the averages are read; asking whether there are any is not."""

    def __init__(self, variables):
        super().__init__(variables)
        self.was_read = False

    def __getitem__(self, name):
        self.was_read |= name == "ema"
        return super().__getitem__(name)


@functools.cache
def method_of(row):
    config = tiny.make_row_config(row)
    return tiny.MAKERS[config["package"]](config, tiny.NUM_CLASSES)


@functools.cache
def takes_another_pass(row):
    """Whether a term passes pictures through the network once more, within its loss."""
    passes, original = [], objective.forward

    def count(*arguments, **named):
        passes.append(arguments)
        return original(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "forward", count)
        trace(tiny.make_row_config(row))
    # One pass draws the state, and one is that of every loss.
    return row in TERMS and len(passes) > 2


@functools.cache
def is_coupled(row):
    """Whether a term's loss of a batch is another than the mean over the batch's halves."""
    if row not in TERMS or takes_another_pass(row) or method_of(row).refresh is not None:
        return False
    config, method = tiny.make_row_config(row), method_of(row)
    batch, key, term = make_batch(method.needs), jax.random.key(0), TERMS[row][0]
    hparams = {name: jnp.asarray(own) for name, own in tiny.make_hparams(config).items()}

    @jax.jit
    def gap():
        variables = method.init(key, batch)

        def loss(part):
            _, aux = method.phases[0].loss(
                variables, part, key=key, progress=jnp.float32(1), hparams=hparams
            )
            return aux.metrics[f"{term}/loss"]

        halves = [jax.tree.map(lambda leaf, at=at: leaf[at : at + 4], batch) for at in (0, 4)]
        return loss(batch) - sum(map(loss, halves)) / 2

    return bool(abs(gap()) > 1e-4)


def reads_averages(row):
    spies = []

    def see(variables):
        spies.append(Spy(variables))
        return spies[-1]

    trace(tiny.make_row_config(row, {"optimizer.ema_decay": 0.9}), see)
    return any(spy.was_read for spy in spies)


# What a wrapper may get wrong, and how a row of that kind is known.
KINDS = {
    "coupled": is_coupled,
    "another pass": takes_another_pass,
    "phased": lambda row: len(method_of(row).phases) > 1,
    "averages": reads_averages,
    "refreshed": lambda row: method_of(row).refresh is not None,
}


@functools.cache
def row_of(kind):
    """Returns the first row of a kind, if any."""
    return next((row for row in ROWS if KINDS[kind](row)), None)


def train_wrapped(row, mode=None, *, streamed=False, double=True):
    """Returns what was trained on one device, or on eight in a mode."""
    changes = {"model.normalization": "separate", "model.options.dropout": 0.25}
    config, where = tiny.make_row_config(row, {**CHANGES, **changes}), {}
    tables = tiny.make_tables()
    if streamed:
        images = {role: table["image"] for role, table in tables.items()}
        where["stream"] = Stream(images, 2**20, 2)
        tables = {
            role: {name: own for name, own in table.items() if name != "image"}
            for role, table in tables.items()
        }
    if mode:
        where["placement"] = parallel.make_placement(1, 8, config["data"]["batch_size"], mode)
        assert len(where["placement"].devices) == 8
    run = tiny.make_run(config, tables=tables, **where)
    state = tiny.start(run)
    with jax.enable_x64(double):
        tables = run.tables
        if double:
            state, tables = tiny.to_float64(state), tiny.to_float64(tables)
        state = refresh(run, state, tables)
        state, metrics = run.program.chunk(state, tables, 0, NUM_STEPS)
        run.program.close()
        kept = state.params, state.batch_stats, state.method_state, state.ema, metrics
        return jax.tree.map(np.asarray, kept)


def row_or_skip(kind):
    row = row_of(kind)
    if row is None:
        pytest.skip(f"no row is of the kind {kind!r}")
    return row


@pytest.mark.matrix
@pytest.mark.parametrize("mode", parallel.MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_eight_devices_train_what_one_trains(kind, mode):
    row = row_or_skip(kind)
    assert_close(train_wrapped(row, mode), alone_on_one_device(row))


@functools.cache
def alone_on_one_device(row):
    return train_wrapped(row)


@pytest.mark.matrix
@pytest.mark.parametrize("kind", KINDS)
def test_a_streamed_run_is_the_resident_one_bit_for_bit(kind):
    row = row_or_skip(kind)
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        streamed, resident = (
            train_wrapped(row, streamed=streamed, double=False) for streamed in (True, False)
        )
    except ValueError as error:
        # A refresh that reads whole splits of pictures cannot be streamed.
        assert "set config.runtime.data_path to resident" in str(error)
        return
    finally:
        jax.config.update("jax_disable_most_optimizations", True)
    assert_equal(streamed, resident)


def test_kinds_are_known_by_what_rows_do():
    # `mmd` adds up over pairs, `entropy` over examples; the others are the first of their kind.
    assert is_coupled("mmd") and not is_coupled("entropy")
    assert row_of("another pass") == "virtual_adversarial"
    assert KINDS["phased"](row_of("phased")) and not KINDS["phased"]("mmd")
    assert not reads_averages("mmd")


def test_the_refresh_of_its_kind_changes_what_is_learned():
    row = row_or_skip("refreshed")
    arrays, tables = drawn(row)
    unrefreshed, _ = advance(population_of(row), arrays, tables)
    assert not are_equal(unrefreshed.params, trained(row)[0].params)
