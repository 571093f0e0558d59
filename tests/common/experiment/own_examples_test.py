"""Tests of runs of one population whose seeds draw other examples: files, report and resumption."""

import json

import numpy as np
import pytest

from common.data.fingerprint import fingerprint
from common.data.task import load_task
from common.experiment import folder, json_file, report, sweep
from common.experiment.outcome import Stopped, StopRequest, UsageError
from common.experiment.run import train_population
from configs import moons
from tests.tiny_run import make_method

SEEDS = (0, 1, 2)
# The same points from the second seed on.
DATA_SEEDS = (None, 7, 7)
SPLITS = {"source": "val", "target": "test"}


def make_config(workdir, seed, data_seed=None, **changes):
    config = moons.get_config("method=dann")
    # So much noise that draws reach differently far.
    options = {"train": 20, "val": 10, "test": 12, "noise": 0.5, "seed": data_seed}
    for name in (config.source, config.target):
        config.data[name].update(options)
    config.update_from_flattened_dict(
        {
            "seed": seed,
            "num_steps": 10,
            "evaluation.every": 5,
            "runtime.log_every": 5,
            "runtime.workdir": str(workdir),
            "runtime.devices": 1,
            "runtime.tensorboard": False,
            "runtime.progress": False,
            **changes,
        }
    )
    return folder.resolve(config)


def train(configs):
    assert not sweep.run_sweep(configs, make_method, StopRequest(), [], lambda text: None)
    return configs


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """A population of which two members share their points."""
    workdir = tmp_path_factory.mktemp("together")
    pairs = zip(SEEDS, DATA_SEEDS, strict=True)
    return train([make_config(workdir, seed, data_seed) for seed, data_seed in pairs])


def read(config, name):
    path = folder.run_folder(config) / name
    if name.endswith(".npz"):
        with np.load(path) as arrays:
            return dict(arrays)
    return json.loads(path.read_text())


def test_seeds_that_draw_their_points_share_a_program(together):
    assert [read(config, "result.json")["population"]["size"] for config in together] == [3, 3, 3]


def test_files_hold_the_examples_of_their_own_run(together):
    for config in together:
        task, outputs = load_task(config), read(config, "outputs.npz")
        result, about = (read(config, name) for name in ("result.json", "config.json"))
        for role, split in SPLITS.items():
            domain = task[role]
            rows = domain.splits[split]
            label = "source_val/label" if role == "source" else "oracle/target_test_label"
            expected = domain.examples.images[rows]
            np.testing.assert_array_equal(outputs[f"{role}_{split}/image"], expected)
            np.testing.assert_array_equal(outputs[label], domain.examples.labels[rows])
            images = fingerprint(domain.examples.images)
            assert result["fingerprints"][f"{domain.name}/images"] == images
            assert about["data"][f"{domain.name}/images"] == images
        assert result["target_test_shared_with"] == {"source_train": 0, "target_train": 0}
        assert result["target_chosen_by_label"] is False
        labels = fingerprint(task["target"].examples.labels)
        assert result["oracle"]["rotated_moons/labels"] == labels
        assert about["data"]["oracle/rotated_moons/labels"] == labels
        predicted, true = (
            outputs[name] for name in ("target_test/prediction", "oracle/target_test_label")
        )
        accuracy = result["selections"]["last"]["oracle/target_test_accuracy"]
        assert np.mean(predicted == true) == pytest.approx(accuracy)


def test_the_plane_holds_the_points_of_all_members(together):
    grids = [read(config, "outputs.npz")["grid/image"] for config in together]
    for config, grid in zip(together, grids, strict=True):
        np.testing.assert_array_equal(grid, grids[0])
        for domain in load_task(config).values():
            assert np.all(domain.examples.images > grid.min(axis=(0, 1)))
            assert np.all(domain.examples.images < grid.max(axis=(0, 1)))


@pytest.mark.parametrize("path", ["resident", "streamed"])
def test_a_member_ends_as_it_does_alone(together, path, tmp_path):
    changes = {"runtime.data_path": path}
    (alone,) = train([make_config(tmp_path, SEEDS[1], DATA_SEEDS[1], **changes)])
    own, lone = (read(config, "outputs.npz") for config in (together[1], alone))
    for name in ("source_val/features", "target_test/features"):
        np.testing.assert_allclose(own[name], lone[name], 1e-5, 1e-6)


def test_streamed_members_end_as_resident_ones(together, tmp_path):
    pairs = zip(SEEDS, DATA_SEEDS, strict=True)
    changes = {"runtime.data_path": "streamed"}
    streamed = train([make_config(tmp_path, seed, own, **changes) for seed, own in pairs])
    for config, other in zip(together, streamed, strict=True):
        own, lone = (read(each, "outputs.npz") for each in (config, other))
        np.testing.assert_allclose(
            own["target_test/features"], lone["target_test/features"], 1e-5, 1e-6
        )


def test_a_stopped_population_goes_on_with_the_examples_of_each(together, tmp_path):
    pairs = zip(SEEDS, DATA_SEEDS, strict=True)
    configs = [make_config(tmp_path, seed, own) for seed, own in pairs]
    request = StopRequest()
    request.received = "SIGTERM"
    with pytest.raises(Stopped):
        train_population(configs, make_method, request)
    for config, whole in zip(train(configs), together, strict=True):
        names = ("params_sha256", "fingerprints", "oracle")
        own, undisturbed = (read(each, "result.json") for each in (config, whole))
        assert {name: own[name] for name in names} == {name: undisturbed[name] for name in names}


def test_other_examples_of_one_member_are_refused(tmp_path):
    configs = [make_config(tmp_path, seed) for seed in SEEDS]
    request = StopRequest()
    request.received = "SIGTERM"
    with pytest.raises(Stopped):
        train_population(configs, make_method, request)
    path = folder.run_folder(configs[2]) / "config.json"
    about = json_file.read_json(path)
    about["data"]["moons/images"] = "another"
    json_file.write_json(path, about)
    with pytest.raises(
        UsageError, match="seed2-.* began with other data: moons/images was another"
    ):
        train_population(configs, make_method, StopRequest())


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_data_seed_outside_32_bits_is_refused(tmp_path, seed):
    config = make_config(tmp_path, 0, **{"data.rotated_moons.seed": seed})
    with pytest.raises(UsageError, match=f"config.data.rotated_moons.seed is {seed}; it must lie"):
        train_population([config], make_method, StopRequest())


def test_the_report_has_one_row_and_says_that_seeds_draw_the_examples(together):
    made = report.write_report([folder.experiment_folder(together[0])])
    rows = [row for row in made.summary["rows"] if row["selection"] == "last"]
    assert [(row["name"], row["n"]) for row in rows] == [("dann", 3)]
    assert made.summary["tasks"][0]["drawn_domains"] == ["moons", "rotated_moons"]
    text = made.path.read_text()
    said = "a seed changes the initial weights, the batches, the examples of moons and the examples"
    assert said in text and "share one data set" not in text and "split of the target" not in text
