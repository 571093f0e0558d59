"""Tests of the section on what cross-validation chose."""

from pathlib import Path
from typing import Any

from common.experiment.reporting.fold_section import describe_folds
from common.experiment.reporting.run_record import Run
from common.experiment.setting import SCORE


def make_run(rate: float, fold: int) -> Run:
    about: dict[str, Any] = dict.fromkeys(Run._fields)
    data = {"fold": fold, "folds": 2, "target_labels_per_class": 4}
    config = {"method": "fine_tune", "seed": 0, "data": data, "init_from": {}}
    config["optimizer"] = {"learning_rate": rate}
    result = {
        "experiment": "rates",
        "task": "a>b",
        "method": "fine_tune",
        "seed": 0,
        "selections": {"last": {SCORE: 0.5 + fold / 10}},
    }
    about |= {"folder": Path("run"), "state": "done", "config": config, "result": result}
    return Run(**about)


def test_settings_stand_in_their_order_whichever_fold_was_read_first():
    runs = [make_run(1e-3, 0), make_run(3e-5, 1), make_run(3e-5, 0), make_run(1e-3, 1)]
    found = describe_folds(runs)
    assert [own["setting"] for own in found] == ["learning_rate=3e-05", "learning_rate=0.001"]
    assert [own["score"]["mean"] for own in found] == [0.55, 0.55]
    assert [own["missing"] for own in found] == [0, 0]
