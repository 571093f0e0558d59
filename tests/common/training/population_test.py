"""Tests of the members of a population: beside each other, alone, and on several devices."""

import jax
import numpy as np
import pytest

from common.training import parallel
from common.training.state import HEALTHY
from tests import tiny

# Bits of scans of different lengths are compared.
pytestmark = pytest.mark.usefixtures("optimized")

NUM_MEMBERS = 8
LARGEST = "optimizer.learning_rate"


@pytest.fixture(scope="module")
def together():
    """Eight members of a row with a term, averaged weights and momentum."""
    changes = {"optimizer.ema_decay": 0.9, "optimizer.schedule": "inverse_power"}
    return tiny.make_run(tiny.make_config("dann", changes), num_members=NUM_MEMBERS)


@pytest.fixture
def quick():
    with tiny.quick_compilation():
        yield


def assert_equal(tree, expected):
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


def comparable(state):
    """All of a state as arrays."""
    return state._replace(key=jax.random.key_data(state.key))


def member_of(state, member):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[member], comparable(state))


def test_seeds_and_splits_make_members_differ(together):
    params = tiny.params_of(tiny.start(together))
    kernels = params["feature_extractor/dense_0/kernel"]
    assert len({kernel.tobytes() for kernel in kernels}) == NUM_MEMBERS


def test_the_length_of_a_scan_changes_no_bit(together):
    whole, recorded = together.program.chunk(tiny.start(together), together.tables, 0, 5)
    for length in (1, 2):
        state, first_step, parts = tiny.start(together), 0, []
        while first_step < 5:
            taken = min(length, 5 - first_step)
            state, metrics = together.program.chunk(state, together.tables, first_step, taken)
            assert metrics["loss"].shape == (NUM_MEMBERS, taken)
            parts.append(metrics)
            first_step += taken
        assert_equal(comparable(state), comparable(whole))
        assert_equal(jax.tree.map(lambda *own: np.concatenate(own, 1), *parts), recorded)
    assert (np.asarray(whole.step) == 5).all()


def test_a_member_that_diverges_stops_at_its_last_good_state_and_disturbs_no_other(together):
    rates = np.full(NUM_MEMBERS, 0.03)
    calm = tiny.train(together, 5, {LARGEST: rates})
    rates[3] = 1e30
    before = tiny.start(together, {LARGEST: rates})
    start = member_of(before, 3)
    wild, _ = together.program.chunk(before, together.tables, 0, 5)
    assert np.asarray(wild.health).tolist() == [HEALTHY] * 3 + [1] + [HEALTHY] * 4
    for member in set(range(NUM_MEMBERS)) - {3}:
        assert_equal(member_of(wild, member), member_of(calm, member))
    assert_equal(member_of(wild, 3)._replace(health=start.health), start)
    later, _ = together.program.chunk(wild, together.tables, 5, 5)
    assert np.asarray(later.health).tolist() == [HEALTHY] * 3 + [1] + [HEALTHY] * 4
    assert_equal(member_of(later, 3)._replace(health=start.health), start)
    assert (np.asarray(later.step)[[0, 7]] == 10).all()


def test_members_spread_over_devices_stay_close_to_those_on_one(together):
    alone = tiny.params_of(tiny.train(together, 5))
    placement = parallel.make_placement(NUM_MEMBERS, 0)
    assert len(placement.kinds) == NUM_MEMBERS
    tables = {
        role: {
            name: parallel.place(
                array,
                placement.members if name in ("train", "val", "test") else placement.shared,
            )
            for name, array in table.items()
        }
        for role, table in together.tables.items()
    }
    state = parallel.place(tiny.start(together), placement.members)
    state, _ = together.program.chunk(state, tables, 0, 5)
    for leaf in jax.tree.leaves(state.params):
        assert len(leaf.sharding.device_set) == NUM_MEMBERS
    for path, value in tiny.params_of(state).items():
        np.testing.assert_allclose(value, alone[path], 1e-5, 1e-5, err_msg=path)


def test_a_member_is_close_to_the_same_run_alone_in_double_precision(quick):
    changes = {"optimizer.name": "adamw", "optimizer.weight_decay": 0.1}
    config = tiny.make_config("dann", changes)
    values = {"seed": [5, 6, 7], LARGEST: [0.01, 0.03, 0.02]}

    def train(run, hparams):
        state = tiny.start(run, hparams)
        with jax.enable_x64(True):
            state, _ = run.program.chunk(tiny.to_float64(state), tiny.to_float64(run.tables), 0, 3)
            return tiny.params_of(state)

    population = tiny.make_run(config, num_members=3)
    alone = tiny.make_run(config, tables=tiny.take_members(population.tables, [1]))
    members = train(population, values)
    for path, value in train(alone, {name: own[1:2] for name, own in values.items()}).items():
        assert value.dtype == np.float64
        np.testing.assert_allclose(value[0], members[path][1], 1e-7, 1e-7, err_msg=path)
        assert np.abs(value[0] - members[path][0]).max() > 1e-3, path
