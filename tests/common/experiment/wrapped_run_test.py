"""Whole runs on other wrappers and data paths, by what they leave in their folders."""

import json

import numpy as np
import pytest

from common.experiment import folder, sweep
from common.experiment.outcome import StopRequest, UsageError
from common.experiment.run import train_population
from common.experiment.single_run import train_alone
from tests.tiny_run import make_method, tiny

# Bits of a streamed and of a resident run are compared.
pytestmark = pytest.mark.usefixtures("optimized")

ALONE = {"runtime.devices": 1, "data.center": "source"}


def train(workdir, **changes):
    config = tiny(workdir, **(ALONE | changes))
    train_alone(config, make_method, StopRequest())
    return folder.run_folder(config)


@pytest.fixture(scope="module")
def resident(tmp_path_factory):
    return train(tmp_path_factory.mktemp("resident"))


def test_a_streamed_run_leaves_the_files_of_the_resident_one(resident, tmp_path):
    # So little memory that a block holds some steps only.
    changes = {"runtime.data_path": "streamed", "runtime.stream_bytes": 2 * 7 * 32 * 64}
    streamed = train(tmp_path, **changes)
    for name in ("metrics.jsonl", "result.json"):
        assert (streamed / name).read_text() == (resident / name).read_text()
    mine, other = (np.load(run / "outputs.npz") for run in (streamed, resident))
    assert mine.files == other.files
    for name in mine.files:
        np.testing.assert_array_equal(mine[name], other[name])


@pytest.mark.parametrize("mode", ["jit", pytest.param("pmap", marks=pytest.mark.matrix)])
def test_a_run_on_eight_devices_begins_like_the_one_on_one(mode, tmp_path):
    # Adam would turn the rounding of a zero gradient into a full step, and group normalisation
    # over the two or four units of this network divides by variances near zero.
    changes = {"optimizer.name": "sgd", "model.normalization": "none"}
    changes |= {"num_steps": 2, "runtime.log_every": 1}
    runs = [
        train(
            tmp_path / str(devices),
            **changes,
            **{"runtime.devices": devices, "runtime.parallel": mode},
        )
        for devices in (1, 8)
    ]
    one, eight = (
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in runs
    )
    for own, other in zip(one, eight, strict=True):
        for name in ("train/loss", "train/gradient_norm", "source_val/loss"):
            if name in own:
                assert other[name] == pytest.approx(own[name], rel=1e-5)
    starts = json.loads((runs[1] / "config.json").read_text())["starts"]
    assert len(starts[0]["devices"]) == 8


def test_pmap_trains_one_run_at_a_time(tmp_path):
    configs = [
        tiny(tmp_path, "source_only", seed=seed, **{"runtime.parallel": "pmap"})
        for seed in range(2)
    ]
    assert sweep.pack(configs) == [[configs[0]], [configs[1]]]
    with pytest.raises(UsageError, match="'pmap', which trains one run at a time"):
        train_population(configs, make_method, StopRequest())
    assert not any(tmp_path.iterdir())
