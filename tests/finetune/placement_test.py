"""Fine-tuning on several devices: the same run as on one."""

import jax
import numpy as np
import pytest

from common.data.stream import Stream
from common.training import parallel
from tests import tiny

CHANGES = {
    "model.options": {"hidden": (8, 6), "dropout": 0.25},
    "model.normalization": "joint",
    "optimizer.name": "adamw",
    "optimizer.epsilon": 1e-4,
    "optimizer.weight_decay": 0.1,
    "num_steps": 4,
}


def train(row, mode):
    """Trains all steps in double precision, streamed or on eight devices where a mode says so."""
    config, tables, where = tiny.make_config(row, CHANGES), tiny.make_tables(), {}
    if mode == "streamed":
        images = {role: table.pop("image") for role, table in tables.items()}
        where["stream"] = Stream(images, 2**20, 2)
    elif mode:
        where["placement"] = parallel.make_placement(1, 8, 8, mode)
        assert len(where["placement"].devices) == 8
    run = tiny.make_run(config, tables=tables, **where)
    state = tiny.start(run)
    with jax.enable_x64(True):
        state, tables = tiny.to_float64(state), tiny.to_float64(run.tables)
        if run.program.refresh_every:
            state = run.program.refresh(state, tables)
        state, metrics = run.program.chunk(state, tables, 0, 4)
        run.program.close()
        return jax.tree.map(np.asarray, (tiny.params_of(state), metrics, state.batch_stats))


@pytest.mark.matrix
@pytest.mark.parametrize("mode", [*parallel.MODES, "streamed"])
@pytest.mark.parametrize("row", ["gradual_unfreezing", "linear_probe"])
def test_a_run_is_the_same_on_eight_devices_and_with_pictures_that_are_read(row, mode):
    with tiny.quick_compilation():
        jax.tree.map(
            lambda own, other: np.testing.assert_allclose(own, other, 1e-7, 1e-7),
            *(train(row, mode), train(row, None)),
        )
