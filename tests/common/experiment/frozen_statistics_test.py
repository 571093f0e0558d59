"""Starting from a finished run under the policy that keeps its statistics."""

import jax
import numpy as np
import pytest

from common.experiment import checkpoint, folder
from common.experiment.outcome import StopRequest, UsageError
from common.experiment.single_run import train_alone
from tests.tiny_run import make_method, tiny

SHORT = {"num_steps": 20, "runtime.devices": 1}


def train(workdir, policy, **changes):
    config = tiny(workdir, "statistics_only", **{"model.normalization": policy, **SHORT, **changes})
    train_alone(config, make_method, StopRequest())
    return folder.run_folder(config)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return train(tmp_path_factory.mktemp("parent"), "separate")


def test_the_statistics_of_the_parent_are_kept_bit_for_bit(parent, tmp_path):
    child = train(tmp_path, "frozen", **{"init_from.run": str(parent), "optimizer.ema_decay": 0.9})
    mine, parents = (checkpoint.load_run(own, "last") for own in (child, parent))
    jax.tree.map(np.testing.assert_array_equal, mine["batch_stats"], parents["batch_stats"])
    moved = jax.tree.map(np.array_equal, mine["params"], parents["params"])
    assert not any(jax.tree.leaves(moved))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(mine["batch_stats"]))


def test_statistics_that_would_stay_fresh_are_refused(parent, tmp_path):
    changes = {"init_from.run": str(parent), "init_from.include": ".*(kernel|bias|scale)"}
    with pytest.raises(UsageError, match="normalization is 'frozen', but the statistic .*/mean is"):
        train(tmp_path, "frozen", **changes)
    assert not any(tmp_path.iterdir())


def test_a_parent_without_these_statistics_is_refused(tmp_path):
    parent = train(tmp_path / "parent", "per_domain")
    with pytest.raises(UsageError, match="that has source/feature_extractor"):
        train(tmp_path / "child", "frozen", **{"init_from.run": str(parent)})


def test_without_a_parent_there_are_no_statistics_to_keep(tmp_path):
    with pytest.raises(UsageError, match="'frozen', which keeps the statistics of the run that"):
        train(tmp_path, "frozen")
