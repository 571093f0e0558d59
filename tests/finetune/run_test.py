"""Whole runs of fine-tuning: stopped and gone on with, and what their results say."""

import json

import pytest

from common.experiment import folder
from common.experiment.outcome import Stopped, StopRequest
from common.experiment.single_run import train_family
from tests.tiny_run import make_method, tiny_family

CHANGES = {
    **{"num_steps": 20, "runtime.devices": 1, "runtime.log_every": 5, "evaluation.every": 10},
    **{"model.name": "mlp", "model.options": {"hidden": (8, 6)}, "model.normalization": "joint"},
    **{"data.augment": {}, "data.target_labels_per_class": 2},
}


@pytest.mark.matrix
@pytest.mark.parametrize("row", ["linear_probe", "gradual_unfreezing"])
def test_a_run_goes_on_bit_for_bit_and_says_what_it_forgot(row, tmp_path):
    request = StopRequest()
    family = tiny_family(tmp_path / "one", row, **CHANGES)
    train_family(family[:1], make_method, request)
    request.received = "SIGTERM"
    with pytest.raises(Stopped):
        train_family(family, make_method, request)
    train_family(family, make_method, StopRequest())
    twin = tiny_family(tmp_path / "twin", row, **CHANGES)
    train_family(twin, make_method, StopRequest())
    own, other = (
        json.loads((folder.run_folder(runs[-1]) / "result.json").read_text())
        for runs in (family, twin)
    )
    del own["warnings"], other["warnings"]
    assert own == other
    assert own["target_labels_seen"] == 20
    last = own["selections"]["last"]
    assert 0 <= last["source_val_accuracy"] <= 1 and "oracle/target_test_accuracy" in last
    if row == "linear_probe":
        assert own["parameters"]["trained"] == 6 * 10 + 10
