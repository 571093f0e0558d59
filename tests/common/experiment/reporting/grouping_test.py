"""What tells rows apart that start from files of weights."""

from typing import Any

from common.experiment.reporting.grouping import (
    OWN_SETTINGS,
    differing_keys,
    flatten_settings,
    rounded,
    settings_of,
    short_settings,
)
from common.experiment.reporting.run_record import Run


def settings(**init_from: Any):
    about: dict[str, Any] = dict.fromkeys(Run._fields)
    about["config"] = {"init_from": init_from}
    return settings_of({0: Run(**about)})


def is_own(one, other):
    return all(key.startswith(OWN_SETTINGS) for key in differing_keys([one, other]))


def test_a_file_is_known_by_its_name_and_what_it_holds_and_is_no_rows_own():
    plain = settings(run="", include=".*")
    here = settings(run="", include=".*", weights="a/w.npz", sha256="12" * 32)
    there = settings(run="", include=".*", weights="b/w.npz", sha256="12" * 32)
    changed = settings(run="", include=".*", weights="b/w.npz", sha256="34" * 32)
    assert here == there and here["init_from.weights"] == "w.npz 12121212"
    assert differing_keys([here, changed]) == ["init_from.weights"]
    for other in (plain, changed):
        assert not is_own(here, other)


def test_what_is_trained_before_is_a_rows_own():
    plain = settings(run="", include=".*", weights="w.npz", sha256="12" * 32)
    after = settings(
        run="",
        method="source_only",
        overrides={"seed": 3},
        include="x",
        weights="w.npz",
        sha256="12" * 32,
    )
    assert is_own(plain, after)


def test_what_measures_a_run_makes_no_other_row():
    measures = {"keep": ("mixval",), "scores": (), "score_examples": 9, "guard": {"loss_factor": 1}}
    trains = {"every": 100, "patience": 2, "stop_by": "mixval"}
    found = flatten_settings({"evaluation": {**measures, **trains}})
    assert found == {f"evaluation.{name}": value for name, value in trains.items()}


def test_numbers_are_rounded_where_they_stay_apart():
    third = [{"a.weight": 1 / 3, "b": 2, "c": True}, {"a.weight": 3 * 0.1}]
    assert [short_settings(own) for own in rounded(third)] == [
        ["weight=0.3333", "b=2", "c=true"],
        ["weight=0.3"],
    ]
    near = [{"weight": 1e-3, "rate": 1 / 3}, {"weight": 1.00001e-3, "rate": 1 / 3}]
    assert [own["weight"] for own in rounded(near)] == [1e-3, 1.00001e-3]
    assert [own["rate"] for own in rounded(near)] == [0.3333, 0.3333]
