"""Tests of run folders: their names and what is read of them."""

import json

import numpy as np
import pytest

from common.experiment import folder, json_file
from tests.tiny_run import tiny


def test_runtime_does_not_change_what_a_run_is(tmp_path):
    one = tiny(tmp_path, **{"runtime.log_every": 5})
    other = tiny(tmp_path / "elsewhere", **{"runtime.devices": 1})
    assert folder.run_id(one) == folder.run_id(other)
    for changes in ({"seed": 1}, {"num_steps": 61}, {"evaluation.every": 10}):
        assert folder.run_id(tiny(tmp_path, **changes)) != folder.run_id(one)


def test_split_follows_the_seed_unless_it_is_set(tmp_path):
    assert tiny(tmp_path, seed=3)["data"]["split_seed"] == 3
    assert tiny(tmp_path, seed=3, **{"data.split_seed": 0})["data"]["split_seed"] == 0


def test_drawn_examples_follow_the_seed_of_the_split_unless_theirs_is_set(tmp_path):
    def seeds(**changes):
        data = tiny(tmp_path, seed=3, **changes)["data"]
        return [data[name]["seed"] for name in ("moons", "rotated_moons", "synthetic_digits")]

    assert seeds() == [3, 3, 0]
    assert seeds(**{"data.split_seed": 5}) == [5, 5, 0]
    assert seeds(**{"data.moons.seed": 0}) == [0, 3, 0]


def test_folder_name_has_no_character_that_needs_quoting(tmp_path):
    config = {**tiny(tmp_path), "method": "../dann + mcc|$x"}
    assert set(folder.run_id(config)) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-"
    )
    assert "/" not in folder.run_id(config)


def test_records_are_cut_back_to_a_step_and_half_a_line_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    records = [{"step": step, "value": step / 3} for step in (10, 20, 30)]
    json_file.append_records(path, records)
    with path.open("a") as file:
        file.write('{"step": 40, "val')
    assert json_file.cut_records(path, 20) == records[:2]
    assert [json.loads(line) for line in path.read_text().splitlines()] == records[:2]
    assert json_file.cut_records(tmp_path / "missing.jsonl", 20) == []


def test_numbers_that_are_not_finite_become_null(tmp_path):
    json_file.write_json(
        tmp_path / "x.json", {"a": [np.float32("nan"), np.inf, 1.5], "b": np.arange(2)}
    )
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, None, 1.5], "b": [0, 1]}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def single(*values):
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    "other",
    [
        {"a": single(1, 2), "b": single(3).reshape(1, 1)},
        {"a": single(1, 2), "c": single(3)},
        {"a": single(1, 2).astype(np.float64), "b": single(3)},
        {"a": np.nextafter(single(1, 2), single(1, 3)), "b": single(3)},
    ],
)
def test_hash_of_parameters_sees_values_types_shapes_and_paths(other):
    params = {"a": single(1, 2), "b": single(3)}
    assert folder.params_sha256(params) == folder.params_sha256(dict(reversed(params.items())))
    assert folder.params_sha256(params) != folder.params_sha256(other)
