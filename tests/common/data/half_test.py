"""Tests of halves: the source from even rows, the target from odd ones, no row in both."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from common.data.task import load_task
from tests.common.data import tiny_dataset_builder as tiny
from tests.common.data.tiny_task import LETTERS, examples_of, make_config


@pytest.fixture(scope="module")
def tiny_sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.txt").touch()
    for config in ("grey", "colour"):
        tiny.build(config, folder / "data", folder)
    return folder / "data"


@pytest.fixture
def prepared(tiny_sets, tmp_path):
    """Two prepared domains, their halves disjoint: `tfds:tiny/grey` and `tfds:tiny/colour`."""
    shutil.copytree(tiny_sets, tmp_path / "data")
    return {
        "source": "tfds:tiny/grey",
        "target": "tfds:tiny/colour",
        "data.channels": 3,
        "data.test_share": 0.2,
        "data.disjoint_halves": True,
        "runtime.data_dir": str(tmp_path / "data"),
    }


def test_halves_share_no_row_where_a_class_is_left_out_of_one_domain(files):
    files["left"] = examples_of((*LETTERS, "d"), np.arange(60) * 7 // 3 % 4)
    files["right"] = examples_of((*LETTERS, "d"), np.arange(60) * 5 // 3 % 4)
    changes = {"data.disjoint_halves": True, "data.classes": LETTERS}
    loaded = load_task(make_config(**changes))
    for half, role in enumerate(("source", "target")):
        assert set(loaded[role].splits["train"] % 2) == {half}


@pytest.mark.parametrize("role", ["source", "target"])
@pytest.mark.parametrize(
    ("part", "written"), [("train", "train[1:]"), ("val", "validation[1:]"), ("test", "test[1:]")]
)
def test_halves_of_chosen_rows_are_refused(prepared, role, part, written):
    key = f"data.{role}_splits.{part}"
    config = make_config(**prepared, **{key: written})
    with pytest.raises(ValueError) as caught:
        load_task(config)
    assert f"published splits, and config.{key} is {written!r}" in str(caught.value)


def test_halves_of_prepared_domains_share_no_row(prepared):
    loaded = load_task(make_config(**prepared, **{"data.source_splits.test": "none"}))
    for half, role in enumerate(("source", "target")):
        assert set(loaded[role].splits["train"] % 2) == {half}


def test_halves_of_shuffled_records_are_refused(prepared):
    path = Path(prepared["runtime.data_dir"]) / "tiny/colour/1.2.3/dataset_info.json"
    info = json.loads(path.read_text())
    del info["disableShuffling"]
    path.write_text(json.dumps(info))
    with pytest.raises(ValueError) as caught:
        load_task(make_config(**prepared))
    assert "config.target 'tfds:tiny/colour' (version 1.2.3) was shuffled" in str(caught.value)


def test_halves_are_those_of_source_and_target(files):
    loaded = load_task(make_config(**{"data.disjoint_halves": True}))
    assert set(loaded["source"].splits["train"] % 2) == {0}
    assert set(loaded["target"].splits["train"] % 2) == {1}


def test_halves_of_a_drawn_domain_are_refused(files):
    config = make_config(source="digits", target="digits", **{"data.disjoint_halves": True})
    with pytest.raises(ValueError, match="config.data.disjoint_halves needs domains in their pub"):
        load_task(config)
