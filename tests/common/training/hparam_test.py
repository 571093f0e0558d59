"""Tests of the table of traced values."""

import re

import numpy as np
import pytest

from common.training.hparam import PATTERNS, flatten, make_hparams, structure
from configs.catalogue import ROWS
from tests.tiny import make_config

# Data and bookkeeping: runs that differ here can train in one program.
APART = (
    *("data.split_seed", "data.synthetic_digits.seed"),
    *("data.moons.seed", "data.rotated_moons.seed"),
    *("init_from.method", "init_from.overrides"),
)


def row(method):
    """A config with every kind of key that the table names."""
    group = {"pattern": "task_head/.*", "learning_rate_factor": 2.0}
    return make_config(method, {"optimizer.groups": {"head": group}})


def replace(config, path, value):
    """Returns a config with one value changed."""
    name, _, rest = path.partition(".")
    return config | {name: replace(config[name], rest, value) if rest else value}


def other(value):
    """Returns a different value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case list():
            return [*value, "x"]
    return {"x": 1}


@pytest.mark.parametrize("method", ROWS)
def test_traced_values_are_the_seed_and_floats(method):
    config = dict(flatten(row(method)))
    hparams = make_hparams(row(method))
    assert {"seed", "optimizer.learning_rate"} <= set(hparams) <= set(config)
    for path, value in hparams.items():
        assert isinstance(config[path], int if path == "seed" else float), path
        assert value.shape == () and value == np.asarray(config[path], value.dtype)
        assert value.dtype == (np.uint32 if path == "seed" else np.float32)


def test_no_entry_of_the_table_is_stale():
    paths = {path for method in ROWS for path, _ in flatten(row(method))}
    for pattern in PATTERNS:
        assert any(re.fullmatch(pattern, path) for path in paths), pattern


@pytest.mark.parametrize("method", ROWS)
def test_structure_is_all_that_is_not_traced(method):
    config = row(method)
    traced = make_hparams(config)
    for path, value in flatten(config):
        changed = structure(replace(config, path, other(value)))
        shared = path in traced or path.startswith("runtime.") or path in APART
        # Of the run to start from it matters only that there is one.
        shared = shared or (path == "init_from.run" and "method" in config["init_from"])
        assert (changed == structure(config)) == shared, path


def test_only_the_seeds_of_domains_are_data():
    config = row("source_only")
    for path in ("data.moons.noise", "data.moons.angle", "data.synthetic_digits.per_class"):
        assert path in structure(config)
    deeper = replace(config, "data", config["data"] | {"augment": {"noise": {"seed": 1}}})
    assert structure(deeper)["data.augment.noise.seed"] == 1


def test_runs_of_different_parents_share_a_program_but_not_with_runs_of_none():
    config = row("source_only")
    one, other = (replace(config, "init_from.run", parent) for parent in ("runs/a", "runs/b"))
    assert structure(one) == structure(other) != structure(config)


def test_runs_of_different_parents_to_come_share_a_program_with_those_of_finished_ones():
    config = row("source_only")
    finished = replace(config, "init_from.run", "runs/a")
    for options in (
        {"method": "source_only", "overrides": {}, "parent": "source_only-seed0-0"},
        {"method": "dann", "overrides": {"num_steps": 3}, "parent": "dann-seed0-1"},
    ):
        waiting = config | {"init_from": config["init_from"] | options}
        assert structure(waiting) == structure(finished)
        assert set(make_hparams(waiting)) == set(make_hparams(config))


def test_a_further_group_changes_the_structure():
    assert structure(row("source_only")) != structure(make_config("source_only"))


def test_flatten_keeps_empty_mappings():
    assert dict(flatten({"a": {"b": 1, "c": {}}, "d": {}})) == {"a.b": 1, "a.c": {}, "d": {}}
