"""Tests of runs on several sources: stopped at a boundary, they go on exactly."""

import jax
import numpy as np
import pytest

from common.experiment import checkpoint, folder, json_file
from common.experiment.outcome import Stopped, StopRequest
from common.experiment.run import train_population
from tests.tiny_run import make_method, tiny


@pytest.mark.matrix
def test_a_stopped_run_ends_like_its_undisturbed_twin(tmp_path):
    changes = {"source": "synthetic_digits+digits", "num_steps": 30, "evaluation.every": 10}
    changes["alignment.multi_source_adversarial.num_sources"] = 2
    ends = []
    for name, is_stopped in (("whole", False), ("stopped", True)):
        # Two members, whose sources are split by seeds of their own.
        configs = [
            tiny(tmp_path / name, "multi_source_dann", seed=seed, **changes) for seed in (0, 1)
        ]
        if is_stopped:
            request = StopRequest()
            request.received = "SIGTERM"
            with pytest.raises(Stopped, match="at step 10"):
                train_population(configs, make_method, request)
        assert not train_population(configs, make_method, StopRequest())
        runs = [folder.run_folder(config) for config in configs]
        starts = [json_file.read_json(run / "config.json")["starts"] for run in runs]
        assert [own[-1]["first_step"] for own in starts] == [10 * is_stopped] * 2
        results = [json_file.read_json(run / "result.json") for run in runs]
        ends.append(
            {
                "hash": [own["params_sha256"] for own in results],
                "selections": [own["selections"] for own in results],
                "records": [(run / "metrics.jsonl").read_bytes() for run in runs],
                "weights": [checkpoint.load_run(run, "last") for run in runs],
            }
        )
    whole, stopped = ends
    jax.tree.map(np.testing.assert_array_equal, whole.pop("weights"), stopped.pop("weights"))
    assert whole == stopped
    assert whole["hash"][0] != whole["hash"][1]
