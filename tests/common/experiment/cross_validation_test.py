"""Tests of choosing a setting by folds of the labelled examples."""

import json

import pytest

from common.experiment import cross_validation, family, folder, json_file, sweep
from common.experiment.outcome import StopRequest
from common.experiment.report import write_report
from common.experiment.reporting.fold_section import describe_folds
from common.experiment.reporting.run_record import read_runs
from common.experiment.setting import SCORE
from common.training.hparam import structure
from configs import base, method_row
from tests.tiny_run import build, make_method

SHORT = {
    **{"num_steps": 20, "data.augment": {}, "runtime.devices": 1, "evaluation.every": 20},
    **{"model.name": "mlp", "model.options": {"hidden": (8,)}, "data.target_labels_per_class": 4},
}
RATES = (1e-6, 0.03)


def resolve(config):
    return family.resolve_family(config, {}, base.get_config(), method_row)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A grid of two rates and two seeds of a row that starts from another."""
    root = tmp_path_factory.mktemp("cross")
    file, workdir = root / "grid.py", root / "runs"
    lines = [
        "from tests.tiny_run import build",
        f"SHORT = {SHORT!r}",
        "def get_config(argument=''):",
        f"    return build({str(workdir)!r}, 'fine_tune', SHORT)",
        "def sweep(add):",
        "    for seed in (0, 1):",
        f"        for rate in {RATES!r}:",
        "            add('', {'seed': seed, 'optimizer.learning_rate': rate,",
        "                     'init_from.overrides': {'optimizer': {'learning_rate': 0.01}}})",
    ]
    file.write_text("\n".join(lines))
    config = build(workdir, "fine_tune", SHORT)
    return tuple(sweep.expand(str(file), config, resolve, folds) for folds in (0, 2))


def test_every_setting_is_trained_once_a_fold_and_parents_without_labels_once(grid):
    configs, folded = grid
    assert [own["method"] for own in configs].count("source_only") == 2
    parents = [own for own in folded if own["method"] == "source_only"]
    assert parents == [own for own in configs if own["method"] == "source_only"]
    children = [own for own in folded if own["method"] == "fine_tune"]
    assert [own["data"]["fold"] for own in children] == [0, 1] * 4
    # Folds, rates and seeds of one row train in one program.
    assert len({json.dumps(structure(own), sort_keys=True) for own in children}) == 1


def write_scores(folded, score_of):
    for config in folded:
        if config["data"]["fold"] is not None:
            path = folder.run_folder(config)
            path.mkdir(parents=True, exist_ok=True)
            json_file.write_json(
                path / "result.json", {"selections": {"last": {SCORE: score_of(config)}}}
            )


def chosen_rates(configs, folded):
    found = cross_validation.choose(configs, folded)
    rates = {
        own["seed"]: own["optimizer"]["learning_rate"]
        for own in found
        if own["method"] == "fine_tune"
    }
    assert [own["method"] for own in found].count("source_only") == 2
    assert len(found) == 4
    return rates


@pytest.mark.parametrize(
    ("score_of", "expected"),
    [
        # Each seed chooses for itself, by the mean of its folds.
        (
            lambda own: (
                0.5
                + 0.1 * (own["seed"] == (own["optimizer"]["learning_rate"] > 0.01))
                - 0.05 * own["data"]["fold"]
            ),
            {0: RATES[0], 1: RATES[1]},
        ),
        # One lucky fold is no reason.
        (
            lambda own: (
                (0.9, 0.2)[own["data"]["fold"]] if own["optimizer"]["learning_rate"] < 0.01 else 0.6
            ),
            {0: RATES[1], 1: RATES[1]},
        ),
        # Of equal ones the first; a setting of which a fold failed is not chosen.
        (lambda own: 0.5, {0: RATES[0], 1: RATES[0]}),
        (
            lambda own: float("nan") if own["optimizer"]["learning_rate"] < 0.01 else 0.1,
            {0: RATES[1], 1: RATES[1]},
        ),
    ],
)
def test_the_best_mean_over_folds_is_chosen(score_of, expected, grid):
    write_scores(grid[1], score_of)
    assert chosen_rates(*grid) == expected


def test_a_sweep_with_folds_trains_chooses_and_reports(tmp_path, grid):
    def move(configs):
        moved = json.loads(json.dumps(configs))
        for config in moved:
            config["runtime"]["workdir"] = str(tmp_path)
        return moved

    configs, folded = map(move, grid)
    said = []
    assert not sweep.run_sweep(folded, make_method, StopRequest(), [], said.append)
    assert said == [
        "2 runs, 2 to train, in 1 programs",
        "8 runs, 8 to train, in 1 programs",
    ]
    left = cross_validation.choose(configs, folded)
    assert not sweep.run_sweep(left, make_method, StopRequest(), [], said.append)
    (root,) = {folder.experiment_folder(config) for config in configs}
    runs = read_runs([root])
    entries = describe_folds(runs)
    assert [own["setting"] for own in entries] == [
        f"learning_rate={json.dumps(rate)}" for rate in RATES
    ]
    assert sum(len(own["seeds"]) for own in entries) == 2
    # A rate of nothing learns nothing: the larger one wins.
    assert entries[1]["score"]["mean"] > entries[0]["score"]["mean"]
    text = write_report([root], tmp_path / "report").path.read_text()
    assert "## Chosen by cross-validation" in text
    assert "| fine_tune, cross-validated | 2 |" in text
    # Held-out examples are among those that the run was given labels of.
    for own in folded:
        if own["method"] == "fine_tune":
            result = json_file.read_json(folder.run_folder(own) / "result.json")
            assert result["target_labels_seen"] == 20
            assert 0 <= result["selections"]["last"][SCORE] <= 1
