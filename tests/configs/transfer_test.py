"""A pretrained network on a folder of one's own pictures."""

import pytest

from common.experiment import family
from common.models.input_statistics import INPUT_STATISTICS
from common.models.network import FEATURE_EXTRACTORS
from common.models.normalization import LAYER_OF_POLICY
from common.models.pretrained.convert import FAMILIES
from configs import base, method_row, transfer

GIVEN = "pictures=photos,weights=w.safetensors,model=cifar_resnet20"


def test_every_network_with_weights_has_its_pictures():
    assert set(transfer.MODELS) == set(FAMILIES) <= set(FEATURE_EXTRACTORS)
    for _, statistics, policy in transfer.MODELS.values():
        assert statistics in INPUT_STATISTICS and policy in LAYER_OF_POLICY


@pytest.mark.parametrize("method", [*transfer.ROWS, "gradual_unfreezing", "dann"])
def test_one_folder_is_source_and_target(method):
    config = transfer.get_config(f"{GIVEN},method={method}")
    assert config.source == config.target == "folder:photos"
    method_row.check_method(config)
    assert bool(config.init_from.weights) == (method != "train_on_target")
    # No row learns from the source what it would learn from the target.
    assert config.init_from.method == ("linear_probe" if method == "lp_ft" else "")


def test_two_folders_are_a_pair():
    config = transfer.get_config(f"{GIVEN},source=drawings,method=fine_tune")
    assert (config.source, config.target) == ("folder:drawings", "folder:photos")
    assert config.init_from.method == "source_only" and config.init_from.weights == "w.safetensors"


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        (
            "weights=w.npz",
            "pictures is missing: write --config=configs/transfer.py:pictures=FOLDER",
        ),
        ("pictures=photos", "weights is missing"),
        (f"{GIVEN},model=lenet", "model is 'lenet'; with weights there are cifar_resnet20"),
        (f"{GIVEN},method=probe", "method is 'probe'; did you mean 'linear_probe'"),
    ],
)
def test_wrong_arguments_are_refused(argument, sentence):
    with pytest.raises(ValueError, match=sentence):
        transfer.get_config(argument)


def test_a_chain_starts_at_the_file_and_trains_its_probe_on_pictures_as_they_are(monkeypatch):
    monkeypatch.setattr(family, "check_sha256", lambda name, expected: "0" * 64)
    config = transfer.get_config(f"{GIVEN},method=lp_ft")
    probe, last = family.resolve_family(config, {}, base.get_config(), method_row)
    assert (probe["method"], probe["data"]["augment"]) == ("linear_probe", {})
    assert last["data"]["augment"] and last["init_from"]["overrides"]
    assert probe["init_from"]["weights"] == last["init_from"]["weights"] == "w.safetensors"


def test_the_grid_has_every_row_on_one_split():
    runs = []
    transfer.sweep(lambda argument, changes: runs.append((argument, changes)), GIVEN)
    assert len(runs) == len(transfer.ROWS) * len(transfer.SEEDS)
    assert {changes["data.split_seed"] for _, changes in runs} == {0}
