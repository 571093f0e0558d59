"""Tests of the two moons: the rows share everything but their loss, and DANN turns the boundary."""

import json

import numpy as np
import pytest

from common.experiment import folder, sweep
from common.experiment.outcome import StopRequest
from configs import catalogue, method_row, moons
from tests.tiny_run import make_method


def every_run(**changes):
    runs = []

    def add(argument="", own=None):
        config = moons.get_config(argument)
        config.update_from_flattened_dict({**(own or {}), **changes})
        method_row.check_method(config)
        runs.append(folder.resolve(config))

    moons.sweep(add)
    return runs


def test_each_row_is_one_program():
    groups = sweep.pack(every_run())
    assert [{run["method"] for run in group} for group in groups] == [{row} for row in moons.ROWS]
    for group in groups:
        assert [run["seed"] for run in group] == list(moons.SEEDS)
        for name in ("moons", "rotated_moons"):
            assert [run["data"][name]["seed"] for run in group] == list(moons.SEEDS)


def test_the_preset_is_the_papers_but_for_the_discriminators_weight():
    (run,) = (own for own in every_run() if (own["method"], own["seed"]) == ("dann", 100))
    assert len(moons.SEEDS) == 30
    for name, angle in (("moons", 0.0), ("rotated_moons", 35.0)):
        sizes = {"train": 300, "val": 200, "test": 1000}
        assert run["data"][name] == {**sizes, "noise": 0.05, "angle": angle, "seed": 100}
    assert run["alignment"]["domain_adversarial"] == {
        **catalogue.TERMS["dann"][1],
        **catalogue.OF_EVERY_TERM,
        "weight": 1.0,
        "strength": 6.0,
        "schedule": "constant",
        "scale_discriminator": False,
        "domain_reduction": "sum",
        "hidden": [],
        "kernel_init": "zeros",
    }
    assert (run["num_steps"], run["data"]["batch_size"]) == (150_000, 1)
    assert run["model"]["options"]["hidden"] == [15]
    optimizer = run["optimizer"]
    assert (optimizer["name"], optimizer["learning_rate"]) == ("sgd", 0.05)
    for name in ("momentum", "weight_decay", "ema_decay"):
        assert optimizer[name] == 0.0
    assert optimizer["schedule"] == "constant"


def test_rows_differ_in_their_loss_alone():
    by_method = {run["method"]: run for run in every_run() if run["seed"] == moons.SEEDS[0]}
    own = ("method", "package", "domains", "alignment")
    first, *others = [
        {key: value for key, value in run.items() if key not in own} for run in by_method.values()
    ]
    assert all(other == first for other in others)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The first four draws of two rows, a fifth of the way."""
    changes = {
        "num_steps": 30_000,
        "evaluation.every": 30_000,
        "runtime.workdir": str(tmp_path_factory.mktemp("moons")),
        "runtime.devices": 1,
        "runtime.tensorboard": False,
        "runtime.progress": False,
    }
    runs = [
        run
        for run in every_run(**changes)
        if run["method"] != "train_on_target" and run["seed"] in moons.SEEDS[:4]
    ]
    assert not sweep.run_sweep(runs, make_method, StopRequest(), [], lambda text: None)
    return runs


def accuracies(runs, method):
    return [
        json.loads((folder.run_folder(run) / "result.json").read_text())["selections"]["last"][
            "oracle/target_test_accuracy"
        ]
        for run in runs
        if run["method"] == method
    ]


def test_dann_follows_the_turned_moons(finished):
    source_only, dann = (np.asarray(accuracies(finished, row)) for row in ("source_only", "dann"))
    assert np.mean(source_only) < 0.88
    assert np.mean(dann - source_only) > 0.04


def test_predictions_on_the_plane_are_those_of_the_points(finished):
    for run in finished[:1] + finished[-1:]:
        with np.load(folder.run_folder(run) / "outputs.npz") as arrays:
            grid, predicted = arrays["grid/image"], arrays["grid/prediction"]
            points, own = arrays["target_test/image"], arrays["target_test/prediction"]
        assert grid.shape == (*predicted.shape, 2)
        distance = np.abs(points[:, None, None] - grid).sum(axis=-1).reshape(len(points), -1)
        nearest = predicted.ravel()[distance.argmin(axis=1)]
        # Only points beside the boundary may lie with a neighbour of the other class.
        assert np.mean(nearest == own) > 0.97
        assert distance.min(axis=1).max() < 0.1
