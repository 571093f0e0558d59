import json

import pytest

from common.experiment import fitting, sweep
from common.training import parallel
from tests.tiny_run import make_method, tiny

SEEDS = range(6)


@pytest.mark.parametrize(
    ("members", "most", "devices", "sizes"),
    [
        (12, 12, 2, [12]),
        (12, 11, 2, [6, 6]),
        (10, 4, 1, [4, 4, 2]),
        # 10 in three parts are 4 each, on whole rounds of the devices.
        (10, 5, 4, [4, 4, 2]),
        (10, 7, 2, [6, 4]),
        (9, 5, 2, [4, 4, 1]),
        # Fewer than there are devices.
        (9, 3, 8, [3, 3, 3]),
        (3, 1, 2, [1, 1, 1]),
    ],
)
def test_parts_are_even_and_fill_the_devices(members, most, devices, sizes):
    assert fitting.sizes_of(members, most, devices) == sizes
    assert sum(sizes) == members and max(sizes) <= most


@pytest.fixture(scope="module")
def need():
    member, shared = fitting.need_of(tiny("unused", "source_only"), make_method)
    assert member > 0 and shared > 0
    return member, shared


def packed(workdir, need, runs_that_fit, monkeypatch):
    """Plans six runs where the memory is that of some; returns the populations' sizes and words."""
    monkeypatch.setattr(fitting, "need_of", lambda config, make_method: need)
    _, devices, _ = parallel.free_memory(2)
    free = int(need[1] * devices + (runs_that_fit + 0.5) * need[0])
    runtime = {"runtime.memory_bytes": free, "runtime.devices": 2}
    configs = [tiny(workdir, "source_only", seed=seed, **runtime) for seed in SEEDS]
    said = []
    plan = sweep.plan(configs, lambda group: fitting.fit(group, make_method, said.append))
    return plan, said


def test_population_that_does_not_fit_is_parted_and_stays_so(tmp_path, need, monkeypatch):
    plan, (said,) = packed(tmp_path, need, 5, monkeypatch)
    assert list(map(len, plan)) == [4, 2]
    assert "6 runs of about" in said and said.endswith("2 populations of 4, 2")
    assert [config["seed"] for group in plan for config in group] == list(SEEDS)
    written = json.loads((tmp_path / "tiny" / "sweep.json").read_text())["populations"]
    assert list(map(len, written)) == [4, 2]
    # With more memory, what was begun goes on as it was packed.
    again, silence = packed(tmp_path, need, 100, monkeypatch)
    assert list(map(len, again)) == [4, 2] and not silence


def test_population_that_fits_stays_whole(tmp_path, need, monkeypatch):
    plan, said = packed(tmp_path, need, 6, monkeypatch)
    assert list(map(len, plan)) == [6] and not said


def test_single_run_that_may_not_fit_is_told_and_trained(tmp_path, need, monkeypatch):
    plan, (warning, parted) = packed(tmp_path, need, 0, monkeypatch)
    assert list(map(len, plan)) == [1] * 6
    assert "one run may need" in warning and "\n" not in warning + parted


def test_free_memory_is_known_here():
    free, devices, shares_memory = parallel.free_memory(2)
    assert free > 2**20 and devices == 2 and shares_memory
