"""Fine-tuning on several devices: the same run as on one."""

import jax
import numpy as np
import pytest

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
    """Trains all steps in double precision, on eight devices where a mode is named."""
    config, where = tiny.make_config(row, CHANGES), {}
    if mode:
        where["placement"] = parallel.make_placement(1, 8, 8, mode)
        assert len(where["placement"].devices) == 8
    run = tiny.make_run(config, **where)
    state = tiny.start(run)
    with jax.enable_x64(True):
        state, tables = tiny.to_float64(state), tiny.to_float64(run.tables)
        if run.program.refresh_every:
            state = run.program.refresh(state, tables)
        state, metrics = run.program.chunk(state, tables, 0, 4)
        return jax.tree.map(np.asarray, (tiny.params_of(state), metrics, state.batch_stats))


@pytest.mark.matrix
@pytest.mark.parametrize("mode", parallel.MODES)
@pytest.mark.parametrize("row", ["gradual_unfreezing", "linear_probe"])
def test_eight_devices_compute_what_one_computes(row, mode):
    with tiny.quick_compilation():
        jax.tree.map(
            lambda own, other: np.testing.assert_allclose(own, other, 1e-7, 1e-7),
            *(train(row, mode), train(row, None)),
        )
